"""Producers: retries never double, gaps are errors, an older epoch is fenced."""

from __future__ import annotations

import pytest

import chanlog
from chanlog.channels import encoding
from chanlog.channels import producer as producing

from ..support import gather, replayed, spawn


def test_it_counts_its_own_messages(channel, face):
    producer = face(channel).producer("agent")
    assert (producer.name, producer.epoch, producer.sequence()) == ("agent", 0, 0)
    assert [face(producer).publish(n) for n in range(3)] == [0, 1, 2]
    channel.publish("someone else")
    assert face(producer).publish(3) == 4
    assert list(face(producer).publish_many([4, 5])) == [5, 6]
    assert producer.sequence() == 6
    assert channel.info().producers == {"agent": (0, 6)}


def test_a_retry_returns_the_first_offset_and_writes_nothing(channel, face):
    producer = channel.producer("agent")
    first = []
    for n in range(5):
        channel.publish("between")
        first.append(face(producer).publish(n))
    again = [face(producer).publish("ignored", sequence=n) for n in range(5)]
    assert again == first == [1, 3, 5, 7, 9]
    assert channel.info().end_offset == 10
    assert producer.sequence() == 5


def test_a_sequence_may_be_given_each_time(channel, face):
    producer = channel.producer("agent")
    for n in (0, 0, 1, 1, 0, 2, 2):
        face(producer).publish(n, sequence=n)
    assert replayed(channel) == [0, 1, 2]


@pytest.mark.parametrize("ahead", [1, 2, 10**9])
def test_a_gap_is_an_error(channel, face, ahead):
    producer = channel.producer("agent")
    producer.publish(0)
    for attempt in (
        lambda: face(producer).publish("x", sequence=1 + ahead),
        lambda: face(producer).publish_many(["x"], sequence=1 + ahead),
    ):
        with pytest.raises(chanlog.SequenceGap) as caught:
            attempt()
        error = caught.value
        assert (error.channel, error.producer) == ("workflow-42", "agent")
        assert (error.sequence, error.expected) == (1 + ahead, 1)
    assert replayed(channel) == [0]
    assert producer.sequence() == 1


def test_many_known_and_new(channel, face):
    producer = channel.producer("agent")
    assert list(face(producer).publish_many([0, 1, 2, 3, 4])) == [0, 1, 2, 3, 4]
    channel.publish("between")
    assert list(face(producer).publish_many([2, 3, 4, 5, 6], sequence=2)) == [2, 3, 4, 6, 7]
    assert list(face(producer).publish_many([5, 6], sequence=5)) == [6, 7]
    assert list(face(producer).publish_many([4, 5], sequence=4)) == [4, 6]
    assert replayed(channel) == [0, 1, 2, 3, 4, "between", 5, 6]
    assert producer.sequence() == 7


def test_none_of_many_is_nothing(channel, face):
    producer = channel.producer("agent")
    assert list(face(producer).publish_many([])) == []
    assert producer.sequence() == 0


def test_many_are_all_or_nothing(channel, face):
    producer = channel.producer("agent")
    with pytest.raises(chanlog.PayloadError):
        face(producer).publish_many([1, object()])
    assert producer.sequence() == 0
    assert channel.info().end_offset == 0
    assert face(producer).publish(1, sequence=0) == 0


def test_a_newer_epoch_fences_the_older(channel, face):
    old = face(channel).producer("agent", epoch=3)
    old.publish("old")
    new = face(channel).producer("agent", epoch=4)
    for attempt in (
        lambda: face(old).publish("x"),
        lambda: face(old).publish("old", sequence=0),
        lambda: face(old).publish_many(["x"]),
        lambda: face(channel).producer("agent", epoch=3),
        lambda: face(channel).producer("agent"),
    ):
        with pytest.raises(chanlog.ProducerFenced) as caught:
            attempt()
        error = caught.value
        assert (error.channel, error.producer, error.current_epoch) == ("workflow-42", "agent", 4)
    assert face(new).publish("new") == 1
    assert replayed(channel) == ["old", "new"]
    assert channel.info().producers == {"agent": (4, 2)}


def test_opening_alone_fences(channel):
    old = channel.producer("agent", epoch=0)
    channel.producer("agent", epoch=1)
    with pytest.raises(chanlog.ProducerFenced):
        old.publish("x")
    assert channel.info().end_offset == 0


def test_the_sequence_goes_on_across_epochs(channel, face):
    channel.producer("agent", epoch=0).publish_many("abc")
    new = channel.producer("agent", epoch=7)
    assert new.sequence() == 3
    assert face(new).publish("b", sequence=1) == 1
    assert face(new).publish("d", sequence=3) == 3
    assert replayed(channel) == list("abcd")


def test_the_same_epoch_opens_again(channel):
    one, two = channel.producer("agent", epoch=2), channel.producer("agent", epoch=2)
    one.publish("a")
    assert two.sequence() == 1
    assert two.publish("a", sequence=0) == 0
    two.publish("b")
    assert one.sequence() == 2
    assert replayed(channel) == ["a", "b"]


def test_names_and_channels_are_apart(log):
    one, two = log.channel("one"), log.channel("two")
    a, b, c = one.producer("a", epoch=5), one.producer("b"), two.producer("a")
    a.publish("a")
    b.publish("b")
    c.publish("c")
    assert one.info().producers == {"a": (5, 1), "b": (0, 1)}
    assert two.info().producers == {"a": (0, 1)}


def test_the_message_is_like_any_other(log):
    channel = log.channel("w", sender="me")
    channel.producer("agent").publish(1, type="t", key="k", headers={"h": 1})
    channel.producer("agent").publish_many([2], type="u")
    one, two = channel.replay()
    assert one[2:] == (1, "t", "k", {"h": 1}, "me")
    assert two[2:] == (2, "u", None, None, "me")


def test_opening_creates_the_channel(log, face):
    face(log.channel("w")).producer("agent", epoch=1)
    assert list(log.channels()) == ["w"]
    assert log.channel("w").info().producers == {"agent": (1, 0)}


@pytest.mark.parametrize("epoch", [-1, "1", 1.5, None])
def test_what_cannot_be_an_epoch(channel, epoch):
    with pytest.raises(chanlog.InvalidOption):
        channel.producer("agent", epoch=epoch)


@pytest.mark.parametrize("sequence", [-1, "1", 1.5])
def test_what_cannot_be_a_sequence(channel, sequence):
    with pytest.raises((chanlog.InvalidOption, chanlog.SequenceGap)):
        channel.producer("agent").publish(1, sequence=sequence)
    assert channel.info().end_offset == 0


def test_the_state_survives_reopening(disk):
    with disk.open() as log:
        channel = log.channel("w")
        producer = channel.producer("agent", epoch=1)
        channel.publish("between")
        producer.publish_many("abc")
        channel.publish("between")
        producer.publish("d")
        channel.producer("silent", epoch=9)
    for _ in range(2):
        with disk.open() as log:
            channel = log.channel("w")
            assert channel.info().producers == {"agent": (1, 4), "silent": (9, 0)}
            producer = channel.producer("agent", epoch=1)
            assert producer.sequence() == 4
            found = [producer.publish("x", sequence=n) for n in range(4)]
            assert found == [1, 2, 3, 5]
            with pytest.raises(chanlog.SequenceGap):
                producer.publish("x", sequence=5)
            with pytest.raises(chanlog.ProducerFenced):
                channel.producer("agent", epoch=0)
            with pytest.raises(chanlog.ProducerFenced):
                channel.producer("silent", epoch=8)
            assert channel.info().end_offset == 6


@pytest.mark.parametrize("reopen", [False, True])
def test_the_state_survives_compaction(disk, reopen):
    options = {"segment_bytes": 64 * 1024}
    with disk.open(**options) as log:
        channel, noise = log.channel("w"), log.channel("noise")
        producer = channel.producer("agent", epoch=2)
        first = []
        for n in range(400):
            noise.publish("y" * 200)
            if n % 3 == 0:
                channel.publish("between")
            first.append(producer.publish([n, "x" * 400]))
        log.compact()
        if not reopen:
            check_sequences(channel, producer, first)
    if reopen:
        with disk.open(**options) as log:
            channel = log.channel("w")
            check_sequences(channel, channel.producer("agent", epoch=2), first)


def check_sequences(channel, producer, first):
    """The newest are known for sure; an old one may have expired, but never doubles."""
    assert producer.sequence() == 400
    for n in (399, 398, 390):
        assert producer.publish("x", sequence=n) == first[n]
    for n in range(0, 400, 37):
        try:
            assert producer.publish("x", sequence=n) == first[n]
        except chanlog.SequenceExpired as error:
            assert error.oldest > n
    assert channel.info().end_offset == first[-1] + 1
    assert producer.publish("next", sequence=400) == first[-1] + 1


def test_a_retry_of_what_was_trimmed_doubles_nothing(channel):
    producer = channel.producer("agent")
    producer.publish_many(range(10))
    channel.trim(before=8)
    assert producer.publish("x", sequence=9) == 9
    try:
        assert producer.publish("x", sequence=2) == 2
    except chanlog.SequenceExpired as error:
        assert error.oldest > 2
    assert channel.info().end_offset == 10


def test_a_trimmed_channel_keeps_its_producers_over_compaction(disk):
    """Everything a producer wrote is gone from the disk, its sequence is not."""
    with disk.open(segment_bytes=64 * 1024) as log:
        channel = log.channel("w")
        producer = channel.producer("agent", epoch=3)
        for _ in range(300):
            producer.publish("x" * 600)
        channel.trim(before=300)
        log.compact()
    with disk.open(segment_bytes=64 * 1024) as log:
        channel = log.channel("w")
        assert channel.info().producers == {"agent": (3, 300)}
        assert channel.info().end_offset == 300
        assert channel.producer("agent", epoch=3).publish("next", sequence=300) == 300


def test_an_ended_channel(channel):
    producer = channel.producer("agent")
    producer.publish("a")
    channel.end()
    with pytest.raises(chanlog.ChannelEnded):
        producer.publish("b")
    assert producer.sequence() == 1


def test_a_recreated_channel_knows_no_producer(log):
    channel = log.channel("w")
    old = channel.producer("agent", epoch=5)
    old.publish("a")
    channel.delete()
    with pytest.raises(chanlog.ChannelDeleted):
        old.publish("b")
    again = log.channel("w")
    assert again.info().producers == {}
    assert again.producer("agent", epoch=0).publish("new") == 0


def test_retries_from_many_threads_double_nothing(channel):
    producer = channel.producer("agent")

    def attempt():
        return [producer.publish(n, sequence=n) for n in range(100)]

    assert gather([spawn(attempt) for _ in range(4)]) == [list(range(100))] * 4
    assert replayed(channel) == list(range(100))


def test_many_large_ones_are_encoded_once_or_twice(channel, monkeypatch):
    """Of items too large for one batch a thousand were encoded for each that was written."""
    encoded = 0
    honest = encoding.encode_batches

    def counting(items, *args):
        nonlocal encoded
        encoded += len(items)
        return honest(items, *args)

    monkeypatch.setattr(producing, "encode_batches", counting)
    producer = channel.producer("agent")
    producer.publish_many(["x" * 4000] * 3000)
    assert encoded < 4 * 3000 + 2 * 1024
    assert [producer.publish("again", sequence=n) for n in (0, 1023, 2999)] == [0, 1023, 2999]
    assert channel.info().end_offset == 3000


def test_opening_the_epoch_that_is_open_writes_nothing(log, channel, face):
    face(channel).producer("agent", epoch=2)
    before = log.statistics().appends
    assert face(channel).producer("agent", epoch=2).publish("x") == 0
    assert log.statistics().appends == before + 1


def test_a_retry_from_too_long_ago_is_told(channel, face):
    """What is remembered of a producer is bounded: an offset for each time that somebody else
    published between two of its messages. Of an older one it is known that it was published,
    and not where."""
    producer = channel.producer("agent")
    for number in range(1030):
        producer.publish(number)
        channel.publish("between")
    oldest = 1030 - 1024
    assert face(producer).publish("ignored", sequence=oldest) == 2 * oldest
    with pytest.raises(chanlog.SequenceExpired) as caught:
        face(producer).publish("ignored", sequence=oldest - 1)
    assert (caught.value.sequence, caught.value.oldest) == (oldest - 1, oldest)
    assert channel.info().end_offset == 2060
