"""The campaigns of the simulated disk: so many states after power cuts, each opened and checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from random import Random

from ..campaign import FAILURES_MAX, Outcome, Progress
from .author import Author
from .checking import Found, Lost, Wrong, check
from .history import View
from .power import Content, Cut, Moment
from .scenarios import LIVES, World

__all__ = ["chain", "cuts", "run_recovery", "run_states", "try_again"]

# How many are also looked at from outside.
_LOOKS_SHARE = 8
_STATES_PER_WORLD_MAX = 1000
_CHAINS_PER_LIFE_MAX = 10
_DEPTH_MAX = 4


def cuts(moment: Moment, seed: str) -> Iterator[Cut]:
    """What is tried at a moment, without an end: all lost, all kept, and then by turns one of the
    systematic states and a random one. The same seed gives the same, however many are taken."""
    systematic = moment.systematic()
    yield next(systematic)
    yield next(systematic)
    random = Random(seed)
    while True:
        yield moment.any_systematic(random)
        yield moment.random(random)


def different(moment: Moment, seed: str, count: int) -> Iterator[tuple[int, Cut]]:
    """Up to ``count`` different states with their places among the cuts of a moment. (At many
    moments there are only a few.)"""
    known: set[int] = set()
    # Where there is room for few, it is not always for the same two.
    first = 2 * Random(seed).randrange(2) if count < 4 else 0
    for place, cut in enumerate(cuts(moment, seed)):
        if len(known) == count or place > 3 * count + 2:
            return
        if place >= first and cut.key not in known:
            known.add(cut.key)
            yield place, cut


def run_states(count: int, seed: int, progress: Progress) -> Outcome:
    """Cut the power while logs are written, compacted, closed and opened."""
    outcome = Outcome()
    facts: Counter[str] = Counter()
    share = min(_STATES_PER_WORLD_MAX, -(-count // LIVES))
    number = 0
    while outcome.tried < count:
        world = World(number, seed)
        facts["lives"] += 1
        facts["steps"] += world.author.disk.step
        if not _states_of(world, min(share, count - outcome.tried), outcome, facts, progress):
            break
        number += 1
    outcome.facts = dict(facts)
    return outcome


def _states_of(
    world: World, count: int, outcome: Outcome, facts: Counter[str], progress: Progress
) -> bool:
    """Try ``count`` states of one life, spread over its moments; returns whether to go on."""
    author = world.author
    moments = author.disk.step + 1
    tried = 0
    for moment in author.disk.moments():
        room = count * (moment.step + 1) // moments - tried
        for place, cut in different(moment, world.seed_of(moment), room):
            outcome.tried += 1
            tried += 1
            try:
                found = _check(world, moment, cut)
            except Wrong as wrong:
                where = f"{world.number} {world.seed} {moment.step} {place}"
                outcome.fail(
                    f"{world.name}, behind step {moment.step} ({moment.what}), {cut.what}: "
                    f"{wrong}. Again: python -m tests.campaign.disk {where}"
                )
            else:
                facts["states with a torn tail"] += bool(found.kept)
                least, most = author.history.bounds(moment.step)
                facts["states that lost what they might"] += found.units < most
                facts["states that kept more than they had to"] += found.units > least
        if not _goes_on(outcome, progress):
            return False
    return True


def _goes_on(outcome: Outcome, progress: Progress) -> bool:
    """After so many failures more tell nothing."""
    return progress(outcome.tried) and len(outcome.failures) < FAILURES_MAX


def _check(world: World, moment: Moment, cut: Cut) -> Found:
    history = world.author.history
    bounds = history.bounds(moment.step)
    now_ns = world.author.clock.now_ns
    look = cut.key % _LOOKS_SHARE == 0
    return check(moment.files(cut), history, bounds, now_ns=now_ns, look=look)


def try_again(number: int, seed: int, step: int, place: int) -> Found:
    """One state of ``power-states`` again, as its failure names it. Raises ``Wrong``."""
    world = World(number, seed)
    moment = world.author.disk.moment(step)
    for at, cut in enumerate(cuts(moment, world.seed_of(moment))):
        if at == place:
            return _check(world, moment, cut)
    raise AssertionError


# Cuts while a log is opened after a cut.


def run_recovery(count: int, seed: int, progress: Progress) -> Outcome:
    """Cut the power while a log is opened after a cut, and again, and again."""
    outcome = Outcome()
    facts: Counter[str] = Counter()
    number = 0
    while outcome.tried < count and _goes_on(outcome, progress):
        world = World(number % LIVES, seed + number // LIVES)
        facts["lives"] += 1
        for place in range(max(1, min(_CHAINS_PER_LIFE_MAX, count // (100 * LIVES)))):
            try:
                outcome.tried += chain(world, place, facts)
            except Wrong as wrong:
                outcome.tried += 1
                outcome.fail(
                    f"{world.name}: {wrong}. Again: python -m tests.campaign.disk "
                    f"{world.number} {world.seed} {place}"
                )
        number += 1
    outcome.facts = dict(facts)
    return outcome


def chain(world: World, place: int, facts: Counter[str]) -> int:
    """Cut the power of a life somewhere; open the log and cut it there; and so on, deeper. Returns
    how many states were checked. Raises ``Wrong``."""
    random = Random(f"{world.seed} {world.number} {place}")
    moment = world.author.disk.moment(random.randint(0, world.author.disk.step))
    cut = moment.random(random)
    history = world.author.history
    now_ns = world.author.clock.now_ns
    files, bounds = moment.files(cut), history.bounds(moment.step)
    told = f"cut behind step {moment.step} ({moment.what}), {cut.what}"
    tried = 0
    kept: tuple[Lost, ...] = ()
    for depth in range(1, _DEPTH_MAX + 1):
        try:
            tried += 1
            found = check(files, history, bounds, now_ns=now_ns, kept=kept, use=False, look=True)
            facts[f"openings at depth {depth}"] += 1
            author = resume(files, history.views[found.units], now_ns, random)
            history, now_ns, kept = author.history, author.clock.now_ns, found.kept
            states = []
            for moment in author.disk.moments():
                for cut in _some(moment, author.opened, random):
                    files, bounds = moment.files(cut), history.bounds(moment.step)
                    states.append((files, bounds, moment, cut))
                    what = f"step {moment.step} of {author.opened} ({moment.what}), {cut.what}"
                    tried += 1
                    facts[f"states at depth {depth + 1}"] += 1
                    try:
                        check(files, history, bounds, now_ns=now_ns, kept=kept)
                    except Wrong as wrong:
                        raise Wrong(f"then {what}: {wrong}") from wrong
        except Wrong as wrong:
            raise Wrong(f"{told}: {wrong}") from wrong
        files, bounds, moment, cut = random.choice(states)
        told += f", then behind step {moment.step} of {author.opened} ({moment.what}), {cut.what}"
    return tried


def _some(moment: Moment, opened: int, random: Random) -> Iterator[Cut]:
    """More of them during the opening, and fewer behind it."""
    yield moment.any_systematic(random)
    if moment.step <= opened:
        yield moment.random(random)


def resume(files: Mapping[str, Content], view: View, now_ns: int, random: Random) -> Author:
    """Somebody who opens what a power cut has left, goes on for a moment, and dies."""
    policy = random.choice(("always", "os", "os"))
    author = Author(policy, random, files=files, view=view, now_ns=now_ns)
    for _ in range(random.choice((0, 1, 2))):
        live = [m for m in author.history.models.values() if not m.ended and not m.deleted]
        author.publish(random.choice(live).name if live else "made later")
    if random.random() < 0.2 and not any(m.retention for m in author.history.models.values()):
        author.compact()
    if random.random() < 0.3:
        author.close()
    author.die()
    return author
