"""What a receipt may say, worked out the slow way; and a process that claims and is killed: ``HOME``.

The process takes in a log piece by piece, out of order and partly without bodies, and says after each piece how far a
receipt would reach: ``reach SEQ ID``.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

from tests.support.people import Clock, Person, Written, ingest, open_home

from unhush.identity.cid import Cid, cid_of
from unhush.identity.entry import parse_entry
from unhush.identity.statement import MediaPolicy, Receipt
from unhush.storage.errors import DamagedRow
from unhush.storage.keeping.promises import Promise
from unhush.storage.records import BodyState, Record
from unhush.storage.store import Store

LENGTH = 200


def claim(store: Store, account: Cid) -> Receipt:
    with store.snapshot() as snapshot:
        return snapshot.claim_receipt(account)


def reach(receipt: Receipt, person: Person) -> int:
    """How many entries of a person's first device a receipt covers."""
    return next((head.seq + 1 for head in receipt.heads if head.key == person.key), 0)


def naive_reach(store: Store, written: list[Written], excused: set[Cid]) -> int:
    """The same from the rows of the journal alone: every one of them read, whatever any index says of it."""
    rows = list(_rows(store))
    held = {cid_of(record.block): record for record in rows}
    for count, each in enumerate(written):
        record = held.get(each.cid)
        if record is None or parse_entry(record.block).header != each.entry.header:
            return count
        if record.body != each.body and each.cid not in excused:
            return count
    return len(written)


def _rows(store: Store) -> Iterator[Record]:
    with store.snapshot() as snapshot:
        since = 0
        while True:
            try:
                for record in snapshot.rows(since):
                    since = record.aid
                    yield record
            except DamagedRow as exc:
                since = exc.aid
            else:
                return


def log_of(person: Person) -> list[Written]:
    return [person.post(f"post {number} " + "x" * 100) for number in range(LENGTH)]


def main(home: Path) -> None:
    clock = Clock()
    bob, random = Person("Bob", seed=2, clock_ms=clock), Random(home.name)
    written = log_of(bob)
    with open_home(home, clock) as store:
        ingest(store, bob.incept)
        store.promises.keep(bob.account, Promise(2**30, MediaPolicy.NONE, 0))
        print("ready", flush=True)
        at = 0
        while at < LENGTH:
            piece = written[at : at + random.randrange(1, 9)]
            late = [each for each in piece if random.random() < 0.2]
            ingest(store, *((each.without_body if each in late else each.arrival) for each in reversed(piece)))
            _say(store, bob)
            if random.random() < 0.3:
                store.withheld.add(random.choice(piece).cid, "why", clock())
                _say(store, bob)
            ingest(store, *(each.arrival for each in late))
            _say(store, bob)
            at += len(piece)
        for each in written:
            with store.snapshot() as snapshot:
                record = snapshot.record(each.cid)
            assert record is not None
            assert record.body is not None or record.body_state is BodyState.WITHHELD


def _say(store: Store, person: Person) -> None:
    receipt = claim(store, person.account)
    head = next((head for head in receipt.heads if head.key == person.key), None)
    if head is not None:
        print(f"reach {head.seq} {head.entry} {len(receipt.withheld)}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
