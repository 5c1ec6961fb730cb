"""Makes the golden files of the format: ``python -m tests.format.golden.make TARGET``.

Run once for each version of the format, into ``version-N``; what is there is never made again,
for it stands for the logs that people have.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import chanlog

from ...storage.worlds import fixed_host, open_log, telling

KINDS = ("active", "closed", "clustered")


def plain(value: Any) -> Any:
    """What JSON cannot carry, as something it can."""
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    raise TypeError(type(value))


def describe(log: chanlog.Log) -> dict[str, Any]:
    """Everything that can be read from a log, as JSON has it."""
    found: dict[str, Any] = {}
    for name in log.channels():
        info = log.channel(name).info()
        found[name] = {
            "ended": info.ended,
            "start_offset": info.start_offset,
            "end_offset": info.end_offset,
            "created": info.created and info.created.isoformat(),
            "last": info.last and info.last.isoformat(),
            "retention": info.retention.as_record(),
            "cursors": info.cursors,
            "producers": {name: list(pair) for name, pair in info.producers.items()},
            "parent": info.parent and list(info.parent),
            "messages": [list(message) for message in log.channel(name).replay()],
        }
    described: dict[str, Any] = json.loads(json.dumps(found, default=plain, sort_keys=True))
    return described


def make(target: Path, kind: str) -> None:
    """One log with everything in it, and what it says."""
    log = open_log(target / kind, host=fixed_host())
    for count, _ in enumerate(telling(log)):
        if kind == "clustered" and count == 20:
            log.compact()
    if kind == "clustered":
        log.compact()
        log.channel("agent").publish("behind what is clustered")
    said = describe(log)
    if kind == "active":
        log.sync()
        log.channel("agent").publish("behind the durable mark")
        said = describe(log)
        image = target / "image"
        shutil.copytree(target / kind, image)
        log.close()
        shutil.rmtree(target / kind)
        image.rename(target / kind)
    log.close()
    (target / kind / "lock").unlink()
    (target / f"{kind}.json").write_text(json.dumps(said, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    for kind in KINDS:
        make(Path(sys.argv[1]), kind)
