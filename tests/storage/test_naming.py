"""Names in order: a signal in the middle of the sorted list leaves the dict right, and the order is
made anew."""

from __future__ import annotations

import pytest
from sortedcontainers import SortedList

from chanlog.storage.naming import SortedNames


def walked(names, start="", *, inclusive=True):
    return list(names.walk(start, inclusive=inclusive))


def some(*names):
    found = SortedNames()
    for name in names:
        found[name] = name.upper()
    return found


def test_it_is_walked_in_order():
    names = some("b", "c", "a")
    names["b"] = "again"
    assert walked(names) == ["a", "b", "c"]
    assert walked(names, "b") == ["b", "c"]
    assert walked(names, "b", inclusive=False) == ["c"]
    del names["b"]
    assert walked(names) == ["a", "c"]
    assert dict(names) == {"a": "A", "c": "C"}


@pytest.mark.parametrize("when", ["before", "behind"])
@pytest.mark.parametrize("what", ["add", "remove"])
def test_a_signal_inside_the_sorted_list(monkeypatch, what, when):
    """A name was in the list twice, or not in it, when a signal had hit its change: a listing then
    had a channel twice, or never again."""
    names = some("a", "c", "e")
    change = getattr(SortedList, what)

    def signalled(self, name):
        if when == "behind":
            change(self, name)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(SortedList, what, signalled)
        with pytest.raises(KeyboardInterrupt):
            if what == "add":
                names["b"] = "B"
            else:
                del names["c"]
    # More changes, which must not take the list for right.
    names["d"] = "D"
    del names["a"]
    assert walked(names) == sorted(names)
    assert set(names) == ({"b", "c", "d", "e"} if what == "add" else {"d", "e"})
    names["f"] = "F"
    assert walked(names) == sorted(names)
