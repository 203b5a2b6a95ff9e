"""What the rule of identity costs: folding, reading a stranger's bytes, judging a log.

Not named ``identity.py``: as a script's neighbour it would hide the package of that name.
"""

import random
import statistics
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from unhush.identity.building import build_add, build_inception, build_revoke, build_rotate
from unhush.identity.cid import Cid
from unhush.identity.entry import Entry, Header, decode_body, parse_entry, sign_entry, verify_signature
from unhush.identity.keys import PublicKey, SigningKey, is_admissible
from unhush.identity.operations import (
    NOTHING,
    OPEN,
    Device,
    Op,
    SignedOperation,
    Table,
    find_raw_generation,
    parse_operation,
)
from unhush.identity.trunk import State, find_generation, find_trunk, fold, judge
from unhush.identity.words import Words

HOW: dict[str, Any] = {"time_ms": 0, "salt": bytes(16), "network": "bench"}
WORDS = Words(bytes(32))
LOG = 1_000


def bench_identity() -> dict[str, Any]:
    """The rule of identity, without disk or network; medians. Machines here are shared: read ratios."""
    return {**bench_fold(), **bench_rotates(), **bench_judge()}


def bench_fold() -> dict[str, Any]:
    figures: dict[str, Any] = {}
    made = flooded_account(390)
    account, parsed = made[0].entry.account, [read(operation) for operation in made]
    for count in (1, 10, 100, 390):
        spent = median(partial(state_of, account, parsed[:count]))
        figures[f"folds per second of a set of {count}, parsed"] = round(1 / spent)
    for count in (1, 10, 100, 390):
        spent = median(partial(read_and_fold, account, made[:count]), least=5)
        figures[f"from bytes to state, signatures and keys checked: {count} operations, ms"] = round(spent * 1e3, 2)
    return figures


def bench_rotates() -> dict[str, Any]:
    figures: dict[str, Any] = {}
    born = build_inception(WORDS, device=keys(1)[0], name="laptop", **HOW)
    incept = read(born)
    assert isinstance(incept, Table)
    rows = [Device(key, "device") for key in keys(256)]
    for length in (1, 16, 256):
        made = build_rotate(WORDS, length, incept.id, incept.id, rows, **HOW)
        table, fields, signer = read(made), decode_body(made.body), made.entry.header.key
        assert isinstance(table, Table)
        assert find_raw_generation(fields, incept.next, signer) == find_generation(incept, table) == length
        raw = median(partial(find_raw_generation, fields, incept.next, signer))
        parsed = median(partial(find_generation, incept, table))
        whole = median(partial(read_anew, made), least=5)
        figures[f"rotate to {length}: its generation before its keys are admitted, µs"] = round(raw * 1e6, 1)
        figures[f"rotate to {length}: its generation once parsed, µs"] = round(parsed * 1e6, 1)
        figures[f"rotate to {length}: read whole, 256 devices never seen before, ms"] = round(whole * 1e3, 1)
    derive = median(lambda: Words(WORDS.entropy).commitment(0), least=5)
    figures["all turn keys and commitments of 24 words, ms"] = round(derive * 1e3, 1)
    return figures


def bench_judge() -> dict[str, Any]:
    key, account = SigningKey(bytes(32)), flooded_account(1)[0].entry.account
    log: dict[Cid, Entry] = {}
    prev = None
    for seq in range(LOG):
        entry = sign_entry(key, Header(account, key.public, seq, prev, 0, "post", account, 1), "bench")
        log[entry.cid], prev = entry, entry.cid
    assert prev is not None
    cuts = {"open": OPEN, "cut at its newest": (LOG - 1, prev.bytes), "cut at nothing": NOTHING}
    return {
        f"judge a log of {LOG:,} entries, {how}, ms": round(median(partial(judge, cut, log)) * 1e3, 2)
        for how, cut in cuts.items()
    }


def keys(count: int) -> list[PublicKey]:
    rng = random.Random(1)
    return [SigningKey(rng.randbytes(32)).public for _ in range(count)]


def flooded_account(count: int) -> list[SignedOperation]:
    """An inception, and adds and revokes of ever new devices by its root."""
    device, *others = keys(count)
    born = build_inception(WORDS, device=device, name="laptop", **HOW)
    account, root = born.entry.account, WORDS.root(0)
    made = [born]
    for at, key in enumerate(others):
        if at % 2:
            made.append(build_add(root, account, account, Device(key, "new"), **HOW))
        else:
            made.append(build_revoke(root, account, account, key, NOTHING, **HOW))
    return made


def read(made: SignedOperation) -> Table | Op:
    """From bytes, as a stranger's node reads it."""
    return parse_operation(verify_signature(parse_entry(made.entry.block), "bench"), made.body)


def read_anew(made: SignedOperation) -> Table | Op:
    """As ``read``, for keys met for the first time."""
    is_admissible.cache_clear()
    return read(made)


def read_and_fold(account: Cid, made: Iterable[SignedOperation]) -> State:
    is_admissible.cache_clear()
    return state_of(account, [read(operation) for operation in made])


def state_of(account: Cid, operations: Iterable[Table | Op]) -> State:
    trunk = find_trunk(account, operations)
    assert trunk is not None
    return fold(trunk)


def median(work: Callable[[], object], *, least: int = 30) -> float:
    """Seconds of one call: the median of as many as fit half a second."""
    spent: list[float] = []
    until = time.perf_counter() + 0.5
    while len(spent) < least or (time.perf_counter() < until and len(spent) < 5_000):
        began = time.perf_counter()
        work()
        spent.append(time.perf_counter() - began)
    return statistics.median(spent)
