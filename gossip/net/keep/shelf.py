"""What the statements protocol reads from the store and writes to it; on threads beside the loop."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from unhush.gossip.proto.frames import Operation
from unhush.gossip.proto.proving import Pair
from unhush.gossip.proto.statements import (
    MAX_ITEMS,
    MAX_ITEMS_BYTES,
    Items,
    Since,
    ToldStatement,
    does_want,
    fitting,
    whom_it_concerns,
)
from unhush.identity.cid import Cid
from unhush.identity.errors import IdentityError
from unhush.identity.keys import PublicKey
from unhush.identity.statement import Receipt, Statement, UnverifiedStatement, parse_statement
from unhush.storage.keeping.speakers import Operation as HeldOperation
from unhush.storage.keeping.statements import USUAL_BYTES, SignedStatement, Took
from unhush.storage.snapshot import Snapshot
from unhush.storage.store import Store

# So often 256 statements are looked through for one answer to ``since``: what nobody wants takes no answers.
MAX_LOOKS: Final = 4
# Processor time for one answer to ``about``; an account begun within it is read to its end. Of the rest somebody else
# may be asked.
MAX_ABOUT_S: Final = 0.25
# Accounts whose receipts and cards are looked at when the network starts, and keepers of one account that are minded.
MAX_ACCOUNTS: Final = 4_096
MAX_KEEPERS: Final = 32


@dataclass(frozen=True, slots=True)
class Gained:
    """A statement that is new here."""

    told: ToldStatement
    statement: UnverifiedStatement
    is_trusted: bool = False  # a receipt of a keeper whose word counts

    @property
    def concerns(self) -> tuple[Cid, ...]:
        return whom_it_concerns(self.statement)


@dataclass(slots=True)
class TakenIn:
    """What became of statements that a peer gave."""

    gained: list[Gained] = field(default_factory=list)
    known: list[bytes] = field(default_factory=list)  # digests of those held, now or before
    is_faulty: bool = False


@dataclass(slots=True)
class Known:
    """What is held about some accounts that others keep."""

    until_ms: dict[Pair, int] = field(default_factory=dict)  # when each keeper's receipt ends
    keys: dict[Pair, dict[PublicKey, None]] = field(default_factory=dict)  # the devices that gave receipts
    proven_ms: dict[Pair, int] = field(default_factory=dict)
    trusted: set[Pair] = field(default_factory=set)  # whose word counts
    cards: dict[Cid, list[Statement]] = field(default_factory=dict)


class Shelf:
    """Of one store."""

    def __init__(self, store: Store, clock_ms: Callable[[], int]) -> None:
        self._store = store
        self._clock_ms = clock_ms

    def later(self, asked: Since) -> Items:
        """No answer now: ask again in a while."""
        epoch = self._store.statements.epoch
        return Items((), epoch, asked.n if asked.epoch == epoch else 0, is_more=True)

    def since(self, asked: Since) -> tuple[Items, int]:
        """What was gained since, of whom the asker's filter names; and how many statements were looked at for it."""
        epoch = self._store.statements.epoch
        n = asked.n if asked.epoch == epoch else 0
        chosen: list[ToldStatement] = []
        room, looked_at = USUAL_BYTES, 0
        for _ in range(MAX_LOOKS):
            found, upto = self._store.statements.since(n, MAX_ITEMS - len(chosen), max_bytes=room)
            looked_at += len(found)
            if not found:
                return Items(tuple(chosen), epoch, upto), looked_at
            wanted = [told for told in map(_told, found) if _is_wanted(told, asked.carriage)]
            if chosen and len(fitting([*chosen, *wanted])) < len(chosen) + len(wanted):
                break  # these come with the next question
            chosen += fitting(wanted)
            n = upto
            room -= sum(told.travel_bytes for told in wanted)
            if room <= 0 or len(chosen) == MAX_ITEMS:
                break
        return Items(tuple(chosen), epoch, n, is_more=True), looked_at

    def about(self, accounts: Iterable[Cid]) -> Items:
        """What is held about accounts, as much as fits; no more is read than that, nor for longer than is fair."""
        found: dict[bytes, ToldStatement] = {}
        until_s = time.thread_time() + MAX_ABOUT_S
        room = MAX_ITEMS_BYTES
        for account in dict.fromkeys(accounts):
            for signed in self._store.statements.about(account, max_bytes=room):
                told = _told(signed)
                if told.block not in found:
                    found[told.block] = told
                    room -= told.travel_bytes
            if room <= 0 or len(found) >= MAX_ITEMS or time.thread_time() >= until_s:
                break
        return Items(fitting(found.values()))

    def take(self, items: Sequence[ToldStatement], asked: frozenset[Cid]) -> TakenIn:
        """Take in what a peer gave; ``asked``: accounts that are of interest here beside those carried."""
        taken = TakenIn()
        signed = [
            SignedStatement(each.block, tuple(HeldOperation(op.entry, op.body) for op in each.ops)) for each in items
        ]
        outcomes = self._store.statements.take(signed, self._clock_ms(), asked=asked)
        for told, took in zip(items, outcomes, strict=True):
            match took:
                case Took.REJECTED:
                    taken.is_faulty = True
                case Took.STORED:
                    statement = parse_statement(told.block)
                    taken.gained.append(Gained(told, statement, self._is_trusted(statement)))
                    taken.known.append(statement.digest)
                case Took.KNOWN | Took.OLDER:
                    taken.known.append(parse_statement(told.block).digest)
                case _:
                    pass
        return taken

    def _is_trusted(self, statement: UnverifiedStatement) -> bool:
        if not isinstance(statement.claim, Receipt):
            return False
        with self._store.snapshot() as snapshot:
            return snapshot.trusts(statement.claim.of, statement.account)

    def trusted(self, pairs: Iterable[Pair]) -> frozenset[Pair]:
        """Those of them whose word counts now: accepted by the owner of the account, or followed by the reader."""
        with self._store.snapshot() as snapshot:
            return frozenset(pair for pair in pairs if snapshot.trusts(*pair))

    def read(self, items: Iterable[ToldStatement]) -> list[Gained]:
        """What this node said itself."""
        return [Gained(told, parse_statement(told.block)) for told in items]

    def find_cursor(self, peer_id: str) -> tuple[bytes, int] | None:
        return self._store.statements.cursors.find(peer_id)

    def note_cursor(self, peer_id: str, epoch: bytes, n: int) -> None:
        self._store.statements.cursors.note(peer_id, epoch, n)

    def look_up(self, accounts: Iterable[Cid], own: Cid | None) -> Known:
        """Who keeps these accounts by a fresh receipt, when that was last proven, and how accounts are reached."""
        known = Known()
        now_ms = self._clock_ms()
        with self._store.snapshot() as snapshot:
            for account in list(accounts)[:MAX_ACCOUNTS]:
                keepers: set[Cid] = set()
                for statement in trusted_first(snapshot, account):
                    if statement.account == own or not is_fresh(statement, now_ms):
                        continue
                    if statement.account not in keepers and len(keepers) == MAX_KEEPERS:
                        continue
                    keepers.add(statement.account)
                    pair = Pair(account, statement.account)
                    if snapshot.trusts(*pair):
                        known.trusted.add(pair)
                    known.until_ms[pair] = max(statement.expires, known.until_ms.get(pair, 0))
                    known.keys.setdefault(pair, {})[statement.key] = None
                for proof in self._store.proofs.of(account) if keepers else ():
                    pair = Pair(account, proof.keeper)
                    if proof.ok and pair in known.until_ms:
                        known.proven_ms[pair] = max(proof.at_ms, known.proven_ms.get(pair, 0))
                for who in {account, *keepers} - known.cards.keys():
                    known.cards[who] = snapshot.cards(who)
        return known


def trusted_first(snapshot: Snapshot, account: Cid) -> list[Statement]:
    """The receipts for an account, of keepers whose word counts before all others, and of both the newest first.

    Strangers' are as many and as new as they like, and whoever takes the first few must not miss the others for them.
    """
    found = snapshot.receipts_of(account)
    trusted = {keeper for keeper in {each.account for each in found} if snapshot.trusts(account, keeper)}
    return sorted(found, key=lambda each: each.account not in trusted)


def is_fresh(statement: Statement | UnverifiedStatement, now_ms: int) -> bool:
    """Whether a receipt promises anything now: one without heads ends what was promised before."""
    claim = statement.claim
    return isinstance(claim, Receipt) and bool(claim.heads) and statement.expires > now_ms


def _told(signed: SignedStatement) -> ToldStatement:
    return ToldStatement(signed.block, tuple(Operation(op.entry, op.body) for op in signed.ops))


def _is_wanted(told: ToldStatement, carriage: bytes) -> bool:
    if not carriage:
        return True
    try:
        return does_want(carriage, whom_it_concerns(parse_statement(told.block)))
    except IdentityError:  # a damaged row; whoever reads it will say so
        return False
