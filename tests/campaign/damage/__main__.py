"""Make one try again: ``python -m tests.campaign.damage LAYOUT SIZE FILE KIND NUMBER WAY``, or
``python -m tests.campaign.damage open SEED NUMBER``."""

from __future__ import annotations

import sys

from .checking import check
from .layouts import layout
from .opening import hostile, survive
from .trying import KINDS, Try


def main(arguments: list[str]) -> None:
    """Say what is damaged, and raise what is wrong."""
    if arguments[0] == "open":
        seed, number = map(int, arguments[1:])
        print("opened" if survive(hostile(seed, number), number) else "refused")
        return
    name, size, file, kind, place, way = arguments
    one = Try(name, int(size), file, kind, int(place), way)
    log = layout(one.layout, one.size)
    damage = KINDS[one.kind].make(one.file, log.files[one.file], one.number)
    print(damage.text)
    for place in log.touched(file, damage.changed(log)):
        print(f"  {place.start} to {place.stop}: {place.header}")
    check(log, damage, one.way)
    print("right")


if __name__ == "__main__":
    main(sys.argv[1:])
