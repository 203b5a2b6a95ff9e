"""Promises: the accounts this home keeps for everyone, and how much of each.

A promise is a decision of this home's operator; it follows from no record and
is told to others by receipts. An account that is kept is carried as one that is
followed, has a tier of its own (``room/tiers.py``) with the budget as its
limit, and loses nothing to make room for others.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from unhush.identity.cid import Cid, cid_of_digest
from unhush.identity.codec import Value, decode_map, encode
from unhush.identity.errors import MalformedBytes
from unhush.identity.statement import MediaPolicy
from unhush.storage import logs
from unhush.storage.environment import Environment
from unhush.storage.errors import BadPromise, StoreUnreadable
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn

# Every one of them is told to each neighbour and announced now and then; more than this one box hardly serves.
MAX_PROMISES: Final = 100_000
MAX_BUDGET_BYTES: Final = 2**62

_NONE: Final = "nothing is kept for others"  # in a transaction's memo


@dataclass(frozen=True, slots=True)
class Promise:
    """``budget_bytes`` bounds entries and bodies, and once more what ``media`` names. Raises ``BadPromise``."""

    budget_bytes: int
    media: MediaPolicy
    since_ms: int

    def __post_init__(self) -> None:
        if not 0 < self.budget_bytes <= MAX_BUDGET_BYTES:
            raise BadPromise(f"a promise has a budget of at least a byte, not {self.budget_bytes}")
        if not 0 <= self.since_ms < 2**63:
            raise BadPromise(f"a promise cannot begin at {self.since_ms}")


class Promises:
    """The promises of one store; thread- and process-safe as the store is."""

    def __init__(self, environment: Environment, announce: Callable[[], None]) -> None:
        self._environment = environment
        self._announce = announce

    def keep(self, account: Cid, promise: Promise) -> None:
        """Promise to keep an account, or change the promise; raises ``BadPromise`` for one too many.

        What was refused of it for want of room is wanted again.
        """

        def keep(txn: Txn) -> None:
            is_new = txn.get(Table.PROMISES, account.digest) is None
            if is_new and txn.count(Table.PROMISES) >= MAX_PROMISES:
                raise BadPromise(f"this home keeps {MAX_PROMISES:,} accounts already")
            _put(txn, account, promise)

        self._environment.run(keep)
        self._announce()

    def drop(self, account: Cid) -> bool:
        """Take a promise back; False if there was none. What is held stays, as of anybody else."""
        was_there = self._environment.run(lambda txn: txn.delete(Table.PROMISES, account.digest))
        self._announce()
        return was_there

    def all(self) -> dict[Cid, Promise]:
        with self._environment.read() as txn:
            return {cid_of_digest(digest): _unpack(value) for digest, value in txn.scan(Table.PROMISES)}

    def find(self, account: Cid) -> Promise | None:
        with self._environment.read() as txn:
            return find_promise(txn, account)


def is_kept(txn: Txn, account: Cid) -> bool:
    """Asked with every batch that comes; most homes keep nobody."""
    if txn.memo.get(_NONE):
        return False
    if not txn.count(Table.PROMISES):
        txn.memo[_NONE] = True
        return False
    return txn.get(Table.PROMISES, account.digest) is not None


def iter_kept(txn: Txn) -> Iterator[Cid]:
    for digest, _ in txn.scan(Table.PROMISES):
        yield cid_of_digest(digest)


def find_promise(txn: Txn, account: Cid) -> Promise | None:
    value = txn.get(Table.PROMISES, account.digest)
    return _unpack(value) if value is not None else None


def mark_full(txn: Txn, account: Cid) -> None:
    """Something was refused for want of room: nothing more is wanted, until ``want_again``."""
    promise = find_promise(txn, account)
    if promise is not None:
        txn.put(Table.PROMISES, account.digest, _pack(promise, is_full=True))


def want_again(txn: Txn, account: Cid) -> None:
    """There is room again, for what was refused below what is held as well."""
    promise = find_promise(txn, account)
    if promise is not None:
        _put(txn, account, promise)


def _put(txn: Txn, account: Cid, promise: Promise) -> None:
    txn.put(Table.PROMISES, account.digest, _pack(promise))
    for _, _, log in logs.iter_logs(txn, account):
        txn.delete(Table.FLOORS, log)


def is_full(txn: Txn, account: Cid) -> bool:
    """Whether nothing more of an account is wanted, because there was no room for it."""
    value = txn.get(Table.PROMISES, account.digest) if is_kept(txn, account) else None
    return value is not None and _fields(value).get("full") is True


def _pack(promise: Promise, *, is_full: bool = False) -> bytes:
    fields: dict[str, Value] = {
        "budget": promise.budget_bytes,
        "media": promise.media.value,
        "since": promise.since_ms,
    }
    return encode(fields | {"full": True} if is_full else fields)


def _unpack(value: bytes) -> Promise:
    try:
        match _fields(value):
            case {"budget": int() as budget, "media": str() as media, "since": int() as since_ms}:
                return Promise(budget, MediaPolicy(media), since_ms)
    except (BadPromise, ValueError) as exc:
        raise StoreUnreadable(f"a stored promise is damaged: {exc}") from exc
    raise StoreUnreadable("a stored promise is damaged")


def _fields(value: bytes) -> dict[str, Value]:
    try:
        return decode_map(value)
    except MalformedBytes as exc:
        raise StoreUnreadable(f"a stored promise is damaged: {exc}") from exc
