"""Thousands of random lives with thieves: one state per set, and the healing rotate heals (PROTOCOL §3).

A failure names the seed; ``tests.support.histories.live(seed)`` is that life again.
"""

from collections import Counter
from random import Random

import pytest
from tests.identity.battery import check_history, feed
from tests.support.histories import Ink, Paper, live

from unhush.identity import trunk as rules
from unhush.identity.cid import DAG_CBOR_PREFIX, Cid, cid_of
from unhush.identity.keys import PublicKey
from unhush.identity.operations import ADD, FREEZE, NOTHING, REVOKE, Device, Op, Table
from unhush.identity.trunk import ADDED, MAX_STORED, Alarm, find_trunk, fold
from unhush.identity.words import commit


def check_seeds(seeds: range, press: type[Paper] | type[Ink] = Paper, *, length: int = 16) -> None:
    for seed in seeds:
        try:
            check_history(live(seed, press, length=length), Random(seed), rules)
        except Exception as error:
            error.add_note(f"seed {seed} on {press.__name__}, length {length}")
            raise


def test_10_000_lives_with_thieves_end_in_one_state_and_heal() -> None:
    check_seeds(range(10_000))


@pytest.mark.long
@pytest.mark.parametrize("part", range(10))
def test_100_000_lives_with_thieves_end_in_one_state_and_heal(part: int) -> None:
    check_seeds(range(10_000 * (part + 1), 10_000 * (part + 2)))


@pytest.mark.long
def test_1_000_long_lives_end_in_one_state_and_heal() -> None:
    check_seeds(range(1_000), length=80)


def test_100_lives_in_real_bytes_and_signatures_end_in_one_state_and_heal() -> None:
    check_seeds(range(100), Ink)


@pytest.mark.long
def test_500_lives_in_real_bytes_and_signatures_end_in_one_state_and_heal() -> None:
    check_seeds(range(1_000, 1_500), Ink)


def test_the_lives_see_every_kind_of_trouble() -> None:
    seen: Counter[str] = Counter()
    for seed in range(1_000):
        history, rng = live(seed), Random(seed)
        before = history.storm
        for share in (1.0, 0.95, 0.5, 0.2):
            held = [operation for operation in before[1:] if rng.random() < share]
            trunk = find_trunk(history.account, [before[0], *held])
            assert trunk is not None
            state = fold(trunk)
            seen.update(alarm.value for alarm in state.alarms)
            seen.update(["closed"] * state.closed + ["later generation"] * (state.generation > 2))
            seen.update(["nothing left"] * (NOTHING in state.cuts.values()))
        seen.update(["thief wrote"] * bool(history.forged) + ["quiet"] * (not history.forged))
        forks = Counter((entry.header.key, entry.header.seq) for entry in (*history.honest, *history.forged))
        seen.update(["fork"] * (max(forks.values(), default=0) > 1))
    wanted = {
        "twice",
        "frozen",
        "flooded",
        "closed",
        "later generation",
        "nothing left",
        "thief wrote",
        "quiet",
        "fork",
    }
    assert {trouble for trouble in wanted if seen[trouble] < 10} == set()


def test_the_same_seed_is_the_same_life() -> None:
    assert live(5) == live(5)
    assert live(5, Ink) == live(5, Ink)


# --- a stolen root that signs without end ---------------------------------------------


def flood_of(count: int, seed: int) -> tuple[Cid, list[Table | Op]]:
    """Two rotates with 192 devices each, and what the thief of their root signs on both."""
    rng = Random(seed)
    turn, root, account = PublicKey(rng.randbytes(32)), PublicKey(rng.randbytes(32)), cid_of(rng.randbytes(8))
    keys = [PublicKey(rng.randbytes(32)) for _ in range(1_000)]
    rows = tuple(Device(key, "row") for key in keys[:192])
    rotates = [Table(cid_of(rng.randbytes(8)), turn, root, bytes(32), (turn,), rows) for _ in range(2)]
    flood: list[Table | Op] = [Table(account, root, root, commit(turn, bytes(32)), (), rows[:1]), *rotates]
    for _ in range(count):
        cid, device, on = Cid(DAG_CBOR_PREFIX + rng.randbytes(32)), rng.choice(keys), rng.choice(rotates).id
        match rng.randrange(20):
            case 0:
                flood.append(Op(cid, root, on, FREEZE))
            case choice if choice < 9:
                flood.append(Op(cid, root, on, ADD, device, "flood"))
            case _:
                cut = NOTHING if rng.random() < 0.3 else (rng.randrange(9), cid.bytes)
                flood.append(Op(cid, root, on, REVOKE, device, "", cut))
    return account, flood


def check_flood(count: int, *, batch: int, seed: int) -> None:
    account, flood = flood_of(count, seed)
    fed = feed(account, flood, [batch] * (count // batch + 1), rules)
    trunk = find_trunk(account, flood)
    assert fed == trunk
    assert trunk is not None
    # Inception, two rotates, freeze, 192 revokes of listed devices, 65 adds and 65 revokes of others. No table
    # leaves more: each row beyond 192 takes two places of unlisted devices for its one.
    assert len(trunk.ids()) == 4 + 192 + 2 * (ADDED + 1) <= MAX_STORED
    assert fold(trunk).alarms == {Alarm.TWICE, Alarm.FROZEN, Alarm.FLOODED}


def test_of_100_000_valid_operations_by_a_stolen_root_at_most_390_stay() -> None:
    check_flood(100_000, batch=500, seed=1)


@pytest.mark.long
@pytest.mark.parametrize("batch", [20, 5_000, 100_000])
def test_in_batches_of_any_size_at_most_390_of_100_000_stay(batch: int) -> None:
    check_flood(100_000, batch=batch, seed=2)
