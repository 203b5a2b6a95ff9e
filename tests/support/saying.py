"""Statements of people to test with, signed as their devices would, true or not."""

from tests.support.people import NETWORK, START_MS, Device, Person

from unhush.identity.cid import Cid, cid_of
from unhush.identity.statement import (
    MAX_TERM_MS,
    Absent,
    Card,
    Claim,
    Head,
    Heads,
    MediaPolicy,
    Receipt,
    Withheld,
    sign_statement,
)
from unhush.storage.arrivals import Arrival
from unhush.storage.keeping.speakers import Operation
from unhush.storage.keeping.statements import SignedStatement, Took
from unhush.storage.store import Store

DAY_MS = 24 * 60 * 60 * 1000


def say(
    person: Person,
    claim: Claim,
    *,
    time: int = START_MS,
    term_ms: int = 7 * DAY_MS,
    by: Device | None = None,
    ops: tuple[Arrival, ...] = (),
    network: str = NETWORK,
) -> SignedStatement:
    """A statement of a person's device, with these operations beside it."""
    key = (by or person.device).key
    made = sign_statement(
        key, person.account, claim, time=time, expires=time + min(term_ms, MAX_TERM_MS), network=network
    )
    return SignedStatement(made.block, tuple(Operation(each.entry, each.body or b"") for each in ops))


def card(number: int = 1) -> Card:
    return Card((f"/ip4/192.0.2.1/tcp/{number}",), ())


def heads(number: int = 0) -> Heads:
    return Heads((), number.to_bytes(32, "big"))


def receipt(of: Cid, *reached: Head, withheld: tuple[Withheld, ...] = (), identity: bytes = bytes(32)) -> Receipt:
    return Receipt(of, reached, withheld, identity, MediaPolicy.NONE)


def absent(of: Cid, entry: bytes = b"an entry") -> Absent:
    return Absent(of, cid_of(entry), "because")


def take(
    store: Store, *items: SignedStatement, now_ms: int = START_MS, asked: frozenset[Cid] = frozenset()
) -> list[Took]:
    return store.statements.take(items, now_ms, asked=asked)
