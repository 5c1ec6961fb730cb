"""Races that were found by trying schedules; each is tried in every schedule to one preemption."""

from __future__ import annotations

from ..campaign.races.exploring import every
from ..campaign.races.scenarios import SCENARIOS
from ..campaign.races.schedules import points_of
from ..campaign.races.world import scheduled


def wrong_schedules(name, preemptions=1):
    """The errors of all schedules of a scenario with so few preemptions."""
    scenario = SCENARIOS[name]
    with scheduled():
        tries = list(every(scenario, points_of(scenario), preemptions))
    assert len(tries) > 1
    return [(found.plan, found.error) for found in tries if found.error is not None]


def test_closing_a_reader_that_is_read_from():
    """``close`` emptied the buffer that the other thread was taking a message out of, which then
    raised ``IndexError``; and what that thread went on to decode was given out after the close."""
    assert wrong_schedules("close, follow") == []


def test_closing_a_reader_that_begins_to_wait():
    """``close`` looked for a waiter between the reader's look at ``closed`` and its saying that it
    waits, found none, and the reader waited for ever."""
    assert wrong_schedules("close, get") == []


def test_opening_a_producer_in_two_threads():
    """One went over the producers while the other added one: ``RuntimeError``."""
    assert wrong_schedules("retry, retry") == []


def test_deleting_a_channel_that_is_read():
    """A replay made in the moment of the delete was empty, and one that had begun told of a trim:
    the start of a deleted channel lies behind every message."""
    assert wrong_schedules("delete, replay") == []


def test_forking_in_the_middle_of_a_close():
    """The child's ``close`` waited for the lock of a thread that it does not have; or, as the log
    that was being closed was off the list already, it was not refused and kept the folder's
    lock."""
    assert wrong_schedules("fork, close") == []


def test_forking_in_the_middle_of_a_compaction():
    """``compact`` in the child waited for the parent's compaction."""
    assert wrong_schedules("fork, compact", preemptions=0) == []
