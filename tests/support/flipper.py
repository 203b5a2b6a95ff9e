"""A process that turns one bit of a home's database after the other: ``HOME SEED COUNT ACTION``.

Each bit is turned in a fresh copy, which a process of its own then uses, for
damaged pages may end it. For each one line of JSON is printed:

* ``bit``, and ``told``: what the check of pages said (``clean``, ``damaged``, ``unreadable``)
* ``end``: ``well``, the name of an error of ours, ``!`` and the name of any other, or ``signal N``
* ``served``, ``wrong``: records that were read as people and peers read them, and those that are not what was stored
* with the action ``claim``: ``reach``, how many entries a receipt would cover, and how many of them are ``wrong``
* with the action ``repair``: ``kept`` and ``bad``, what a repair saved and what a check found afterwards
"""

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, Final

from tests.support.people import NETWORK, Clock

from unhush.identity.cid import cid_of, cid_of_digest
from unhush.identity.entry import parse_entry
from unhush.identity.errors import UnhushError
from unhush.storage import upkeep
from unhush.storage.pages import PageFile, Walk
from unhush.storage.records import Record
from unhush.storage.repair import repair
from unhush.storage.snapshot import Snapshot
from unhush.storage.store import Store
from unhush.storage.verify import verify_store

# What hangs is as bad as what crashes.
PATIENCE_S: Final = 20
PAGE_BITS: Final = 4096 * 8

Stored = dict[bytes, tuple[bytes, bytes | None]]


def served(snapshot: Snapshot, stored: Stored) -> Iterator[Record]:
    """Everything that people and peers can be given."""
    yield from snapshot.journal(0)
    for account in snapshot.accounts():
        yield from snapshot.operations(account)
        known = snapshot.account(account)
        if known is not None:
            yield from (record for _, record in snapshot.posts(known))
        snapshot.profile(account)
        for _, key, _ in list(snapshot.logs(account)):
            yield from snapshot.run(account, key, 0, 2**40, 2**30)
            yield from snapshot.branches(account, key)
        snapshot.summary(account)
    yield from (record for _, record in snapshot.home())
    for cid in list(stored):
        found = snapshot.record(cid_of_digest(cid))
        if found is not None:
            assert found.cid.digest == cid
            yield found
            yield from snapshot.replies(found.cid)


def read_all(home: Path) -> Stored:
    with Store(home, network=NETWORK, clock_ms=Clock()) as store, store.snapshot() as snapshot:
        return {record.cid.digest: (record.block, record.body) for record in snapshot.journal(0)}


def use(home: Path, stored: Stored, tell: Callable[[dict[str, Any]], None]) -> None:
    count = wrong = 0
    try:
        with Store(home, network=NETWORK, clock_ms=Clock()) as store, store.snapshot() as snapshot:
            for record in served(snapshot, stored):
                count += 1
                block, body = stored.get(cid_of(record.block).digest, (None, None))
                wrong += record.block != block or (record.body is not None and record.body != body)
    finally:
        tell({"served": count, "wrong": wrong})


def claim(home: Path, stored: Stored, tell: Callable[[dict[str, Any]], None]) -> None:
    """Every entry that a receipt would cover is looked for, and must be there with its body unless it is listed."""
    with Store(home, network=NETWORK, clock_ms=Clock()) as store, store.snapshot() as snapshot:
        for account in list(snapshot.promises()):
            receipt = snapshot.claim_receipt(account)
            listed = {entry.digest for entry, _ in receipt.withheld}
            wrong = reach = 0
            for head in receipt.heads:
                reach = head.seq + 1
                digest: bytes | None = head.entry.digest
                for _ in range(reach):
                    block, body = stored[digest or b""]
                    held = snapshot.record(cid_of_digest(digest or b""))
                    is_whole = held is not None and held.block == block and (held.body == body or digest in listed)
                    wrong += not is_whole
                    prev = parse_entry(block).header.prev
                    digest = prev.digest if prev is not None else None
                wrong += digest is not None
            tell({"reach": reach, "wrong": wrong})


def mend(home: Path, tell: Callable[[dict[str, Any]], None]) -> None:
    done = repair(home, network=NETWORK)
    tell({"kept": done.kept})
    with Store(home, network=NETWORK, clock_ms=Clock()) as store, store.snapshot() as snapshot:
        report = verify_store(snapshot, network=NETWORK, check_cid=lambda _cid, _block: True)
    tell({"bad": report.bad, "stale": len(_stale(home))})


def _stale(home: Path) -> list[str]:
    with Store(home, network=NETWORK, clock_ms=Clock()) as store:
        return store.find_stale()


def look(home: Path) -> str:
    try:
        return "damaged" if upkeep.check_database(home / "store").damaged else "clean"
    except UnhushError:
        return "unreadable"


def live(home: Path, stored: Stored, action: str, out: int) -> None:
    """The short life of one child."""

    def tell(facts: dict[str, Any]) -> None:
        os.write(out, json.dumps(facts).encode() + b"\n")

    signal.alarm(PATIENCE_S)
    tell({"told": look(home)})
    try:
        match action:
            case "repair":
                mend(home, tell)
            case "claim":
                claim(home, stored, tell)
            case _:
                use(home, stored, tell)
    except UnhushError as exc:
        tell({"end": type(exc).__name__})
    except BaseException as exc:
        tell({"end": f"!{type(exc).__name__}", "trace": traceback.format_exc()[-1500:]})
    else:
        tell({"end": "well"})


def flip(data: bytes, home: Path, bit: int, stored: Stored, action: str) -> dict[str, Any]:
    (home / "store").mkdir(parents=True, exist_ok=True)
    for left in (home / "store").iterdir():
        left.unlink()
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    (home / "store" / "data.mdb").write_bytes(changed)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # LMDB says what it asserts before it gives up
        live(home, stored, action, writing)
        os._exit(0)
    os.close(writing)
    facts: dict[str, Any] = {"bit": bit}
    with os.fdopen(reading) as lines:
        for line in lines:
            facts |= json.loads(line)
    _, status = os.waitpid(pid, 0)
    return facts | ({"end": f"signal {os.WTERMSIG(status)}"} if os.WIFSIGNALED(status) else {})


def pages_in_use(folder: Path) -> list[int]:
    """Also the two that say where everything begins; a bit of a free page would harm nobody."""
    walk = Walk()
    with PageFile(folder) as file:
        file.free_pages(walk)
        for name, tree in file.tables(walk).items():
            list(file.rows(name.decode(), tree, walk))
        assert not walk.damaged
        return [0, 1, *(number for number, is_used in enumerate(file._used) if is_used)]


def main() -> None:
    home, seed, count, action = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    data = (home / "store" / "data.mdb").read_bytes()
    stored = read_all(home)
    random = Random(seed)
    for _ in range(count):
        sys.stdout.write(
            json.dumps(flip(data, home / "flipped", random.randrange(len(data) * 8), stored, action)) + "\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
