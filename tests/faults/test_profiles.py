"""A double fails only as the imitated engine can, and can only what the engine can."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

import chanlog
from chanlog.testing.faults import FAULTS, OPERATIONS, PROFILES, Faults

RULES = {
    "crash": "get", "delay": "publish", "disconnect": "get", "duplicate": "publish",
    "expire_lease": "ack", "fence": "publish", "full": "publish", "lose_ack": "publish",
    "lose_commit": "commit", "lose_write": "publish", "redeliver": "get", "reorder": "publish",
    "slow": "get", "tear": "publish",
}  # fmt: skip

REFUSED = {"kafka": {"duplicate", "full", "lose_write"}, "nats": {"lose_write"}, "redis": set()}


@pytest.fixture
def log():
    with chanlog.open() as log:
        yield log


@pytest.mark.parametrize("name", PROFILES)
def test_what_each_profile_permits(log, name):
    """The whole table, by asking: what is refused names a profile that permits it."""
    assert RULES.keys() == FAULTS.keys()
    faults = Faults(log, profile=name, seed=1)
    for kind, operation in RULES.items():
        if kind in REFUSED[name]:
            with pytest.raises(
                chanlog.InvalidOption, match=f"{name} cannot fail by {kind}"
            ) as caught:
                getattr(faults.on(operation), kind)()
            assert "redis" in str(caught.value)
            with pytest.raises(chanlog.InvalidOption, match="cannot fail"):
                faults.mix(**{kind: 0.5})
        else:
            getattr(faults.on(operation), kind)()
            faults.mix(**{kind: 0.5})
            assert "; see " in PROFILES[name].permits[kind] or kind == "fence"
    assert PROFILES[name].permits.keys() == FAULTS.keys() - REFUSED[name]


def test_each_fault_says_what_it_does_and_to_what():
    for kind in FAULTS.values():
        assert kind.does
        assert kind.operations <= OPERATIONS


@pytest.mark.parametrize(
    "wrong",
    [
        lambda f: f.on("publsh"),
        lambda f: f.on("publish", nth=0),
        lambda f: f.on("publish", every=True),
        lambda f: f.on("publish", times=-1),
        lambda f: f.on("get").duplicate(),
        lambda f: f.on("publish").delay(-1),
        lambda f: f.on("get").slow("1"),
        lambda f: f.on("publish").reorder(0),
        lambda f: f.on("publish").crash(lose=-1),
        lambda f: f.mix(lose_ack=1.5),
        lambda f: f.mix(lose_ack=True),
        lambda f: f.mix(lose_akc=0.5),
        lambda f: f.crash(lose="all"),
    ],
)
def test_what_makes_no_sense_is_refused_where_it_enters(log, wrong):
    faults = Faults(log, profile="redis", seed=1)
    with pytest.raises(chanlog.InvalidOption):
        wrong(faults)
    faults.log.channel("a").publish(1)
    assert faults.trace == ("    1 publish 'a' -> 0",)


@pytest.mark.parametrize("options", [{"profile": "rabbit"}, {"profile": "redis", "seed": "7"}])
def test_wrong_options(log, options):
    with pytest.raises(chanlog.InvalidOption):
        Faults(log, **options)


def test_it_can_what_the_engine_can(log):
    redis = Faults(log, profile="redis").log
    nats = Faults(log, profile="nats").log
    kafka = Faults(log, profile="kafka").log
    assert redis.capabilities.engine == "redis"
    channel = redis.channel("a")
    for refused in (
        nats.atomic,
        lambda: channel.fork("b"),
        lambda: channel.publish(1, durable=True),
        lambda: channel.producer("p").publish(1, durable=True),
        lambda: channel.cursor("c").commit(0, durable=True),
        lambda: channel.configure(chanlog.Retention(bytes=100)),
        lambda: kafka.channel("a").configure(
            chanlog.Retention(expires_at=datetime(2040, 1, 1, tzinfo=UTC))
        ),
    ):
        with pytest.raises(chanlog.Unsupported) as caught:
            refused()
        assert caught.value.engine in str(caught.value)
    with kafka.atomic(durable=True) as frame:
        frame.publish("a", 1)
    kafka.compact()


@pytest.mark.parametrize("name", PROFILES)
def test_what_the_log_behind_it_cannot_the_double_cannot_either(log, name):
    inner = log.capabilities
    double = Faults(log, profile=name).log.capabilities
    for feature in ("frames", "forks", "producers", "groups", "durable", "compaction"):
        assert getattr(double, feature) <= getattr(inner, feature)
    assert double.retention <= inner.retention
