"""``python -m tests.campaign.mutants [FILE [PLACE]]``: try the mutants of some files, and list
those that no test notices."""

from __future__ import annotations

import sys

from .running import everything, explained, verdicts


def main(arguments: list[str]) -> None:
    """The arguments are the beginning of file names, and numbers of mutants of the last one."""
    names = [argument for argument in arguments if not argument.isdigit()]
    places = {int(argument) for argument in arguments if argument.isdigit()}
    chosen = [
        mutant
        for mutant in everything()
        if mutant.file.startswith(tuple(names or [""])) and (not places or mutant.place in places)
    ]
    reasons = explained()
    survived = 0
    for mutant, verdict in verdicts(chosen):
        known = (mutant.file, mutant.key) in reasons
        if mutant.place < 0:
            print(f"the tests of {mutant.file} do not pass without any change: {verdict}")
        elif verdict == "survived" or places:
            survived += 1
            word = "explained" if known and verdict == "survived" else verdict
            print(f"{word} {mutant.file}:{mutant.line} {mutant.place} {mutant.key}", flush=True)
    print(f"{len(chosen)} mutants, {survived} told of")


if __name__ == "__main__":
    main(sys.argv[1:])
