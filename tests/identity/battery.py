"""What must hold of every history under the rule, or under any would-be rule.

``rules`` is the module under test: ``identity/trunk.py`` for the histories, a
damaged copy of it for the mutants.
"""

from collections.abc import Iterable, Sequence
from random import Random
from typing import Any

from tests.identity import rulebook
from tests.support.histories import History

from unhush.identity.cid import Cid
from unhush.identity.entry import Entry
from unhush.identity.keys import PublicKey
from unhush.identity.operations import NOTHING, Op, Table

MOST_STORED = 390


def check_history(history: History, rng: Random, rules: Any) -> None:
    """All properties at once, in the storm and after it; raises ``AssertionError``."""
    for operations in (history.storm, history.operations):
        trunk = rules.find_trunk(history.account, operations)
        assert trunk is not None
        check_agreement(trunk, history.account, operations, rules)
        check_delivery(history.account, operations, trunk, rng, rules)
        check_union(history.account, operations, trunk, rng, rules)
    check_healing(history, trunk, rng, rules)
    check_partial_knowledge(history, rng, rules)


def check_agreement(trunk: Any, account: Cid, operations: Iterable[Table | Op], rules: Any) -> Any:
    """The second opinion says the same; gives the state."""
    book = rulebook.read(account, operations)
    if trunk is None or book is None:
        assert trunk is None
        assert book is None
        return None
    state = rules.fold(trunk)
    assert (state.generation, state.table, state.root) == (book.generation, book.table, book.root)
    assert dict(state.cuts) == book.cuts
    assert dict(state.names) == book.names
    assert state.closed == book.closed
    assert {alarm.value for alarm in state.alarms} == book.alarms
    assert trunk.ids() == book.stored
    assert len(trunk.ids()) <= MOST_STORED
    return state


def check_partial_knowledge(history: History, rng: Random, rules: Any) -> None:
    """Whoever holds some operations and some entries judges them as the page says."""
    share = rng.random()
    said = rng.choice((history.storm, history.operations))
    held = [operation for operation in said if rng.random() < share]
    if rng.random() < 0.9:
        held.append(said[0])
    rng.shuffle(held)
    state = check_agreement(rules.find_trunk(history.account, held), history.account, held, rules)
    if state is None:
        return
    entries = [entry for entry in (*history.honest, *history.forged) if rng.random() < 0.9]
    for device, log in logs_of(entries).items():
        cut = state.cut_of(device)
        cut = NOTHING if cut is None else cut
        verdicts = rules.judge(cut, log)
        assert {cid: verdict.value for cid, verdict in verdicts.items()} == rulebook.judge(cut, log.values())


def check_delivery(account: Cid, operations: list[Table | Op], final: Any, rng: Random, rules: Any) -> None:
    """Any order, any repetition, keeping only what is to be stored: the end is the same."""
    arriving = operations + rng.choices(operations, k=3)
    rng.shuffle(arriving)
    sizes = []
    while sum(sizes) < len(arriving):
        sizes.append(rng.randint(1, 1 + len(arriving) // 4))
    assert feed(account, arriving, sizes, rules) == final


def feed(account: Cid, arriving: Sequence[Table | Op], sizes: Iterable[int], rules: Any) -> Any:
    """Deliver in batches to a node that keeps only ``ids()``, and orphans until their table is known."""
    trunk, kept, generation, at = None, list[Table | Op](), -1, 0
    for size in sizes:
        kept += arriving[at : at + size]
        at += size
        trunk = rules.find_trunk(account, kept)
        if trunk is None:
            continue
        assert trunk.generation >= generation, "generations never fall"
        generation = trunk.generation
        assert len(trunk.ids()) <= MOST_STORED
        kept = keep(trunk, kept)
    return trunk


def keep(trunk: Any, operations: Iterable[Table | Op]) -> list[Table | Op]:
    """Rule 8: what is stored, and orphans."""
    stored = trunk.ids()
    known = {operation.id for operation in operations if isinstance(operation, Table)}
    return [
        operation
        for operation in operations
        if operation.id in stored or (isinstance(operation, Op) and operation.prev not in known)
    ]


def check_union(account: Cid, operations: list[Table | Op], final: Any, rng: Random, rules: Any) -> None:
    """Nodes that each saw a part and stored their part of it know, together, all there is to know."""
    shares: list[list[Table | Op]] = [[], [], []]
    for operation in operations:
        for share in rng.sample(shares, rng.choice((1, 1, 2))):
            share.append(operation)
    union: list[Table | Op] = []
    for share in shares:
        trunk = rules.find_trunk(account, share)
        union += share if trunk is None else keep(trunk, share)
    assert rules.find_trunk(account, union) == final


def check_healing(history: History, final: Any, rng: Random, rules: Any) -> None:
    """After the healing rotate all honest history is in force and nothing of the thief, whatever he signs later."""
    state = rules.fold(final)
    assert state.table == history.healed.id
    assert dict(state.cuts) == {row.key: row.cut for row in history.healed.devices}
    assert not state.alarms
    forged = {entry.cid for entry in history.forged}
    everything = [*history.honest, *history.forged]
    for verdicts in standings(state, everything, rules):
        for cid, verdict in verdicts.items():
            assert (verdict.value == "in force") == (cid not in forged)
    for verdicts in standings(state, [entry for entry in everything if rng.random() < 0.7], rules):
        assert not {cid for cid in verdicts.keys() & forged if verdicts[cid].value == "in force"}


def standings(state: Any, entries: Iterable[Entry], rules: Any) -> Iterable[Any]:
    for device, log in logs_of(entries).items():
        cut = state.cut_of(device)
        yield rules.judge(NOTHING if cut is None else cut, log)


def logs_of(entries: Iterable[Entry]) -> dict[PublicKey, dict[Cid, Entry]]:
    logs: dict[PublicKey, dict[Cid, Entry]] = {}
    for entry in entries:
        logs.setdefault(entry.header.key, {})[entry.cid] = entry
    return logs
