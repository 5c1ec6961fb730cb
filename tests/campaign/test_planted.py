"""Each planted bug is caught by name; and what checks that can fail.

The catches are those of ``python -m tests.campaign planted`` at its small size, one test for each
bug, so that a bug that gets away is named.
"""

from __future__ import annotations

import pytest

from .campaign import Progress
from .planted.detecting import try_detectors, try_plant
from .planted.planting import Edit, Plant, StalePlant, edited, planted_text
from .planted.reading import PLANTS, read_plants
from .planted.run import PLANTED, pairs

LEAST = 25
A_TEST = "tests/storage/test_syncing.py::test_a_roll_before_the_sync"


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_it_is_caught(plant):
    assert try_plant(plant, plant.caught_by[:1]) == []


def test_without_a_plant_nothing_is_caught():
    """Otherwise a test that always fails would catch everything."""
    assert try_detectors(plant.caught_by[0] for plant in PLANTS) == []


def test_the_plants():
    names = [plant.name for plant in PLANTS]
    assert len(set(names)) == len(names) >= LEAST
    for plant in PLANTS:
        assert plant.story.endswith(".")
        assert plant.edits
        assert plant.caught_by
    assert PLANTED.small == len(PLANTS) <= PLANTED.full == len(pairs())


def test_none_is_stale():
    """Whoever changes code that a plant changes writes the plant anew."""
    for plant in PLANTS:
        assert edited(plant)


def a_plant(before: str, after: str, function: str = "_lead") -> Plant:
    edit = Edit("storage/syncing.py", function, (before,), (after,))
    return Plant("a-plant", "For this test.", (edit,), (A_TEST,))


def test_a_bug_that_nobody_looks_for_is_told():
    harmless = a_plant("store.syncs += 1", "store.syncs += 2")
    (told,) = try_plant(harmless, harmless.caught_by)
    assert told.startswith(f"a-plant: was not caught by {A_TEST}: ")


@pytest.mark.parametrize(
    ("after", "what"),
    [
        ("raise NameError", "everyday use shows it: "),
        ("import nothing_of_this_name", "everyday use shows it: "),
        ("store.syncs +=", f"was not caught by {A_TEST}: "),
    ],
)
def test_broken_code_is_no_bug(after, what):
    """A module that does not even run would be caught by every test there is."""
    broken = a_plant("store.syncs += 1", after)
    (told,) = try_plant(broken, broken.caught_by)
    assert told.startswith(f"a-plant: {what}")


def test_a_detector_that_does_not_exist_catches_nothing():
    plant = a_plant("store.syncs += 1", "store.syncs += 1")
    missing = ["tests/storage/test_syncing.py::test_no_such", "no-such-campaign --count 1"]
    told = try_plant(plant, missing)
    assert len(told) == len(missing)
    assert all("was not caught" in what for what in told)
    assert len(try_detectors(missing)) == len(missing)


@pytest.mark.parametrize(
    ("before", "function"),
    [
        ("store.syncs += 2", "_lead"),
        ("with store.lock:", "_lead"),
        ("store.syncs += 1", "_close"),
        ("store.syncs += 1", "no_such_function"),
    ],
)
def test_a_stale_plant_is_an_error(before, function):
    """The code it changes is gone, is there twice, or is another function's."""
    stale = a_plant(before, "pass", function)
    with pytest.raises(StalePlant):
        edited(stale)
    (told,) = try_plant(stale, stale.caught_by)
    assert told.startswith("a-plant: ")


def test_an_edit_is_found_at_any_depth():
    text = "class A:\n    def f(self):\n        if self:\n            return 1\n        return 2\n"
    edit = Edit("", "A.f", ("if self:", "    return 1"), ("if not self:", "    pass"))
    assert planted_text(text, edit) == text.replace("if self", "if not self").replace(
        "return 1", "pass"
    )


def test_a_plant_is_read():
    text = """What they are.

# one
It is a bug,
and that is all.

@ log.py Log.close
  with self:
-     a
+     b

+     c

@ log.py open
- d

> tests/x.py::test_y
> disk --count 3
"""
    first = Edit("log.py", "Log.close", ("with self:", "    a"), ("with self:", "    b", "    c"))
    second = Edit("log.py", "open", ("d",), ())
    caught_by = ("tests/x.py::test_y", "disk --count 3")
    expected = Plant("one", "It is a bug, and that is all.", (first, second), caught_by)
    assert read_plants(text) == [expected]
    assert read_plants(text + text.partition("\n\n")[2]) == [expected, expected]
    with pytest.raises(ValueError, match="not a line of an edit: x y"):
        read_plants(text.replace("- d", "x y"))


def test_the_campaign_counts_and_stops():
    outcome = PLANTED.run(2, 1, Progress(seconds=0.0))
    assert outcome.failures == []
    assert outcome.tried == 1
    assert outcome.facts["bugs"] == 2
    assert outcome.facts["campaigns"] == 0
