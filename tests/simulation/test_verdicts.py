"""Keepers that lie are told apart, and honest ones are never accused: a small world for each seed.

``UNHUSH_SEEDS=7`` or ``UNHUSH_SEEDS=100-200`` runs these seeds instead of the usual ones: twenty always, and eighty
more with the long tests.
"""

import os
from collections import Counter

import pytest
from tests.support.keepers import COURT, DROPPED, NOISE, World, frame_by_times, frame_everybody

from unhush.gossip.proto.verdicts import Verdict, Word

ALWAYS = range(20)
LONG = range(20, 100)
STEP = 10
MISFORTUNES = {
    "older disk", "lost body", "lost entry", "stops keeping", "revoke", "delete", "hoard", "branch", "hole",
}  # fmt: skip


def seeds(usual: range) -> range:
    first, _, last = os.environ.get("UNHUSH_SEEDS", "").partition("-")
    return range(int(first), int(last or first) + 1) if first else usual


def told_apart(world: World) -> bool:
    verdicts = {name: reader.verdict() for name, reader in world.readers.items()}
    return (
        _is_gap(verdicts["dropper"], world)
        and verdicts["staller"].word is Word.BEHIND
        and _is_withheld(verdicts["withholder"], world)
    )


def _is_gap(verdict: Verdict, world: World) -> bool:
    gaps = {seq for log in verdict.logs for low, high in log.gaps for seq in range(low, high + 1)}
    names = [each.keeper for each in verdict.accused]
    heard = {(each.seq, each.who, each.reason) for log in verdict.logs for each in log.said}
    return (
        verdict.word is Word.GAP
        and DROPPED in gaps
        and (DROPPED, world.stranger.person.account, NOISE) in heard
        and names == [world.dropper.person.account]
    )


def _is_withheld(verdict: Verdict, world: World) -> bool:
    return verdict.word is Word.WITHHELD and verdict.by == ((world.withholder.person.account, COURT),)


def run(seed: int) -> World:
    world = World(seed)
    world.run()
    assert world.settle(lambda: told_apart(world)), f"seed {seed}: {world.happened} " + "; ".join(
        f"{name}: {reader.verdict().word}" for name, reader in world.readers.items()
    )
    for reader in world.readers.values():
        world.audit(reader)
    named = {each.keeper for _, each in world.accusations}
    assert named == {world.dropper.person.account}, f"seed {seed}: {world.happened}"
    assert frame_everybody(world) == {world.dropper.person.account}, f"seed {seed}: {world.happened}"
    return world


@pytest.mark.timeout(600)
def test_three_lying_keepers_get_three_verdicts_and_no_honest_one_is_accused() -> None:
    """A stranger's reasons change none of them.

    By their times alone honest keepers would be named in the same worlds, and every misfortune happens in some.
    """
    happened: Counter[str] = Counter()
    framed = 0
    asked = seeds(ALWAYS)
    for seed in asked:
        world = run(seed)
        happened.update(world.happened)
        framed += len(frame_by_times(world) - {world.dropper.person.account})
    if asked == ALWAYS:
        assert framed >= 5
        assert set(happened) >= MISFORTUNES


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.skipif(bool(os.environ.get("UNHUSH_SEEDS")), reason="seeds were named")
@pytest.mark.parametrize("first", LONG[::STEP])
def test_three_lying_keepers_get_three_verdicts_and_no_honest_one_is_accused_many_times(first: int) -> None:
    for seed in range(first, first + STEP):
        run(seed)


def test_a_seed_gives_the_same_again() -> None:
    assert [each.digest for each in run(3).statements] == [each.digest for each in run(3).statements]
