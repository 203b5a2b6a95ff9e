"""A process that turns one bit of a home after the other and asks what it would sign: ``HOME ACCOUNT SEED COUNT``.

Each bit is turned in a fresh copy, which a child of its own then opens, for damaged pages may end it. For each one line
of JSON is printed: ``bit``; ``end``: ``well``, the name of an error of ours, ``!`` and the name of any other, or
``signal N``; ``claimed``: entries a receipt would cover; ``false``: those of them that are not there as they were.
"""

import json
import os
import signal
import sys
from pathlib import Path
from random import Random
from typing import Any, Final

from tests.support.people import Clock

from unhush.identity.cid import Cid, cid_of_digest, parse_cid
from unhush.identity.entry import parse_entry
from unhush.identity.errors import UnhushError
from unhush.identity.statement import Receipt
from unhush.storage.snapshot import Snapshot
from unhush.storage.store import Store

PATIENCE_S: Final = 20
NETWORK: Final = "main"

Stored = dict[bytes, tuple[bytes, bytes | None]]  # by digest: entry block and body


def read_rows(home: Path) -> Stored:
    """Every row of the journal, by nothing but the rows themselves."""
    with open_store(home) as store, store.snapshot() as snapshot:
        return {record.cid.digest: (record.block, record.body) for record in snapshot.rows(0)}


def open_store(home: Path) -> Store:
    return Store(home, network=NETWORK, clock_ms=Clock())


def covered(receipt: Receipt, stored: Stored) -> list[Cid]:
    """Every entry that a receipt says is held, by walking down from its heads; ``KeyError`` where the walk ends."""
    listed = {withheld.entry for withheld in receipt.withheld}
    found = []
    for head in receipt.heads:
        at: Cid | None = head.entry
        for seq in range(head.seq, -1, -1):
            assert at is not None
            header = parse_entry(stored[at.digest][0]).header
            assert (header.account, header.key, header.seq) == (receipt.of, head.key, seq)
            if at not in listed:
                found.append(at)
            at = header.prev
        assert at is None
    return found


def count_false(snapshot: Snapshot, claimed: list[Cid], stored: Stored) -> int:
    """Entries claimed that cannot be read here as they were stored."""
    false = 0
    for cid in claimed:
        record = snapshot.record(cid)
        block, body = stored[cid.digest]
        false += record is None or record.block != block or record.body != body or body is None
    return false


def live(home: Path, account: Cid, stored: Stored, out: int) -> None:
    """The short life of one child."""
    facts: dict[str, Any] = {}
    signal.alarm(PATIENCE_S)
    try:
        with open_store(home) as store, store.snapshot() as snapshot:
            claimed = covered(snapshot.claim_receipt(account), stored)
            facts = {"claimed": len(claimed), "false": count_false(snapshot, claimed, stored)}
        facts["end"] = "well"
    except UnhushError as exc:
        facts["end"] = type(exc).__name__
    except BaseException as exc:
        facts["end"] = f"!{exc!r}"
    os.write(out, json.dumps(facts).encode() + b"\n")


def flip(data: bytes, home: Path, bit: int, account: Cid, stored: Stored) -> dict[str, Any]:
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
        live(home, account, stored, writing)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as lines:
        facts: dict[str, Any] = {"bit": bit} | json.loads(lines.readline() or "{}")
    _, status = os.waitpid(pid, 0)
    return facts | ({"end": f"signal {os.WTERMSIG(status)}"} if os.WIFSIGNALED(status) else {})


def choose_bits(data: bytes, stored: Stored, account: Cid, random: Random, count: int) -> list[int]:
    """Half of them anywhere, half in what the account wrote."""
    bodies = [
        body for block, body in stored.values() if body is not None and parse_entry(block).header.account == account
    ]
    bits = [random.randrange(len(data) * 8) for _ in range(count // 2)]
    while len(bits) < count:
        body = random.choice(bodies)
        at = data.find(body)
        if at >= 0:  # a large one lies in pages of its own, whole; a small one too
            bits.append((at + random.randrange(len(body))) * 8 + random.randrange(8))
    return bits


def main() -> None:
    home, account = Path(sys.argv[1]), parse_cid(sys.argv[2])
    random, count = Random(int(sys.argv[3])), int(sys.argv[4])
    data = (home / "store" / "data.mdb").read_bytes()
    stored = read_rows(home)
    assert cid_of_digest(account.digest) == account
    for bit in choose_bits(data, stored, account, random, count):
        sys.stdout.write(json.dumps(flip(data, home / "flipped", bit, account, stored)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
