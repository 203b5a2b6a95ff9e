"""Statements held: the newest of each (type, account, key, subject), numbered in the order gained (PROTOCOL §4).

Whoever offers them here is a stranger, and anybody may sign for an account of
his own. So only what is about somebody who is carried, known or asked for is
kept, a few of each sort for each account, and all of it together in a bounded
part of the disk. Who may speak for whom is judged when a statement is read: a
device that was cut off since is not heard any more.

``n`` follows this home's order of gaining and ``epoch`` is which home's order it
is: whoever asks "what since" names both.
"""

import os
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum
from hashlib import sha256
from typing import Final, NamedTuple

from unhush.identity.cid import Cid, cid_of_digest
from unhush.identity.errors import IdentityError, UnknownStatement
from unhush.identity.operations import OPEN
from unhush.identity.statement import (
    Absent,
    Card,
    Heads,
    Possession,
    Receipt,
    Statement,
    UnverifiedStatement,
    parse_statement,
    stored_statement,
    verify_statement,
)
from unhush.storage import accounts, settings
from unhush.storage.admission import Admitted
from unhush.storage.carried import is_carried
from unhush.storage.environment import Environment
from unhush.storage.keeping import speakers
from unhush.storage.keeping.speakers import MAX_OPERATIONS, Operation
from unhush.storage.keeping.trust import is_trusted
from unhush.storage.logs import pack_u64
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn

__all__ = ["Operation", "SignedStatement", "Statements", "Took"]

# An author's clock beyond this is wrong (PROTOCOL §4).
MAX_AHEAD_MS: Final = 10 * 60 * 1000
# All statements together, with the operations beside them: some hundred thousand.
MAX_BYTES: Final = 64 * 2**20
# Room is made down to here, not one by one.
ENOUGH_BYTES: Final = 56 * 2**20
# Of receipts for one account: more keepers than anybody counts. Strangers' come and go among those places.
MAX_RECEIPTS: Final = 64
# Devices of one account that say something.
MAX_OF_DEVICES: Final = 64
# Entries of one account that somebody does not give.
MAX_ABSENTS: Final = 256
# Receipts for one account that are kept beside an absent that names them: one such pair may name a keeper, and to
# name it once is enough.
MAX_NAMED: Final = 16
# Receipts of one trusted keeper before the next one's have their turn: a keeper has few boxes, and may add 64 devices.
MAX_OF_ONE: Final = 4
# Receipts of others that are read where keepers are counted: strangers make as many as they like.
MAX_OTHERS: Final = 16
# Of one sort about one account, by those who are not trusted, all together.
MAX_OTHERS_BYTES: Final = 512 * 1024
# Of one account that is not trusted and speaks of others, with its operations, once room has to be made.
MAX_SPEAKER_BYTES: Final = 256 * 1024
# Of one that is trusted: a keeper of ten thousand accounts needs some of it.
MAX_TRUSTED_BYTES: Final = 8 * 2**20
# About one account by those who are not trusted, once room has to be made.
MAX_ABOUT_BYTES: Final = 2**20
# Operations that are read in one go for accounts that are not known: 256 KiB of keys to admit take half a second.
MAX_WORK_BYTES: Final = 256 * 1024
# Peers whose count is remembered; of those that are forgotten everything is asked again.
MAX_CURSORS: Final = 1_024
MAX_PEER_BYTES: Final = 128
# What ended is dropped so often.
SWEEP_EVERY_MS: Final = 60 * 60 * 1000
EPOCH_BYTES: Final = 8
# As a frame of /unhush/statements/1 takes them.
USUAL_BYTES: Final = 448 * 1024

_EPOCH: Final = b"statement-epoch"  # in META
_LAST: Final = b"statement-last"  # in META: the number given last
_BYTES: Final = b"statement-bytes"  # in META: what all rows take
_STAMP: Final = b"statement-stamp"  # in META: the last stamp of a cursor

_ROW: Final = struct.Struct(">QQQ32s")  # n, time, expires, digest of the block
_CURSOR: Final = struct.Struct(">8sQQ")


class SignedStatement(NamedTuple):
    """A statement as it travels, with what lets a stranger judge who signed it."""

    block: bytes
    ops: tuple[Operation, ...] = ()


class Took(Enum):
    """What became of a statement that was offered."""

    STORED = "stored"
    KNOWN = "known"
    OLDER = "older"  # a newer one of the same is held
    EARLY = "early"  # its author's clock runs ahead of ours
    EXPIRED = "expired"
    UNPROVEN = "unproven"  # by nothing known here may its key speak for its account
    UNASKED = "unasked"  # about nobody who is carried or known, of a type we do not know, or one too many
    REJECTED = "rejected"  # the sender's fault


class Type(Enum):
    """The types that are held; a possession is an answer to one question, and kept by who asked."""

    HEADS = 1
    CARD = 2
    RECEIPT = 3
    ABSENT = 4
    NAMED = 5  # a receipt that was the newest when an absent of the same device came that names it (decision 41)


_MOST: Final = {
    Type.HEADS: MAX_OF_DEVICES,
    Type.CARD: MAX_OF_DEVICES,
    Type.RECEIPT: MAX_RECEIPTS,
    Type.ABSENT: MAX_ABSENTS,
    Type.NAMED: MAX_NAMED,
}


@dataclass(frozen=True, slots=True)
class _Arrival:
    """One on its way in: verified, and what beside it says that its key may speak."""

    statement: Statement
    key: bytes
    operations: tuple[Admitted, ...]


class Statements:
    """The statements of one store; thread- and process-safe as the store is."""

    def __init__(
        self, environment: Environment, *, network: str, clock_ms: Callable[[], int], announce: Callable[[], None]
    ) -> None:
        self._environment = environment
        self._network = network
        self._clock_ms = clock_ms
        self._announce = announce
        self._epoch: bytes | None = None
        self._swept_at_ms: int | None = None

    @property
    def epoch(self) -> bytes:
        """Names this home's order of gaining; a home made of a backup has another."""
        if self._epoch is None:
            with self._environment.read() as txn:
                self._epoch = txn.get(Table.META, _EPOCH)
        if self._epoch is None:
            self._epoch = os.urandom(EPOCH_BYTES) if self._environment.is_read_only else self._make_epoch()
        return self._epoch

    def _make_epoch(self) -> bytes:
        def make(txn: Txn) -> bytes:
            found = txn.get(Table.META, _EPOCH)
            if found is None:
                found = os.urandom(EPOCH_BYTES)
                txn.put(Table.META, _EPOCH, found)
            return found

        return self._environment.run(make)

    # -- taking

    def take(self, items: Sequence[SignedStatement], now_ms: int, *, asked: frozenset[Cid] = frozenset()) -> list[Took]:
        """What became of each. ``asked``: accounts about which somebody here asked, though nobody knows them."""
        judging = _Judging(self._network, now_ms, asked)
        with self._environment.read() as txn:
            judged = [judging.judge(txn, item) for item in items]
        if any(isinstance(each, _Arrival) for each in judged):
            outcomes = self._environment.run(lambda txn: _store(txn, judged, now_ms))
            if Took.STORED in outcomes:
                self._announce()
        else:
            outcomes = [each for each in judged if isinstance(each, Took)]
        if self._swept_at_ms is None or not 0 <= now_ms - self._swept_at_ms < SWEEP_EVERY_MS:
            self._swept_at_ms = now_ms
            self.sweep(now_ms)
        return outcomes

    def sweep(self, now_ms: int) -> int:
        """Drop what ended, but for cards, and operations of accounts that say nothing any more; how many it were."""
        with self._environment.read() as txn:
            ended = [key for key, row in txn.scan(Table.STATEMENTS) if _has_ended(key, row, now_ms)]
            is_due = bool(ended) or any(True for _ in _iter_idle_speakers(txn))
        if not is_due or self._environment.is_read_only:
            return 0

        def drop(txn: Txn) -> int:
            dropped = 0
            for key in ended:
                row = txn.get(Table.STATEMENTS, key)
                if row is not None and _has_ended(key, row, now_ms):
                    _drop(txn, key)
                    dropped += 1
            for account in list(_iter_idle_speakers(txn)):
                _count(txn, speakers.drop(txn, account))
            return dropped

        return self._environment.run(drop)

    # -- giving

    def since(self, n: int, most: int, *, max_bytes: int = USUAL_BYTES) -> tuple[list[SignedStatement], int]:
        """What was gained after number ``n``, in that order, and up to which number that is all.

        A number that was never given here is of another count, which begins at the beginning.
        """
        found: list[SignedStatement] = []
        now_ms = self._clock_ms()
        with self._environment.read() as txn:
            last = _last_number(txn)
            after = n if n <= last else 0
            size = 0
            for number, key in txn.scan(Table.STATEMENT_LOG, start=pack_u64(after + 1)):
                signed = _find_signed(txn, key, now_ms)
                if signed is None:
                    continue
                size += _size_of(signed)
                if (found and size > max_bytes) or len(found) == most:
                    return found, int.from_bytes(number, "big") - 1
                found.append(signed)
            return found, last

    def about(self, account: Cid, *, max_bytes: int | None = None) -> list[SignedStatement]:
        """Cards and heads of an account, receipts and absents of it; what helps most comes first.

        Cards stay when they end, and are the last then: who moved may be found by nothing else. With ``max_bytes``
        nothing is read after what would be too much.
        """
        found: list[SignedStatement] = []
        size = 0
        with self._environment.read() as txn:
            for each in list_about(txn, account, self._clock_ms()):
                found.append(SignedStatement(each.block, speakers.operations_for(txn, each.account, each.key)))
                size += _size_of(found[-1])
                if max_bytes is not None and size > max_bytes:
                    break
        return found

    # -- cursors

    def note_cursor(self, peer: str, epoch: bytes, n: int) -> None:
        """Remember how far the count of a peer was read; of the peers asked longest ago it is forgotten."""
        key = _peer_key(peer)
        if len(epoch) != EPOCH_BYTES or not 0 <= n < 2**63:
            raise ValueError("no number of any count")

        def note(txn: Txn) -> None:
            stamp = int.from_bytes(txn.get(Table.META, _STAMP) or b"", "big") + 1
            txn.put(Table.META, _STAMP, pack_u64(stamp))
            if txn.get(Table.STATEMENT_CURSORS, key) is None and txn.count(Table.STATEMENT_CURSORS) >= MAX_CURSORS:
                rows = ((_CURSOR.unpack(row)[2], other) for other, row in txn.scan(Table.STATEMENT_CURSORS))
                txn.delete(Table.STATEMENT_CURSORS, min(rows)[1])
            txn.put(Table.STATEMENT_CURSORS, key, _CURSOR.pack(epoch, n, stamp))

        self._environment.run(note)

    def find_cursor(self, peer: str) -> tuple[bytes, int] | None:
        """The epoch and the number up to which the count of a peer was read."""
        with self._environment.read() as txn:
            row = txn.get(Table.STATEMENT_CURSORS, _peer_key(peer))
        if row is None or len(row) != _CURSOR.size:
            return None
        epoch, n, _ = _CURSOR.unpack(row)
        return epoch, n


def _peer_key(peer: str) -> bytes:
    key = peer.encode()
    if not 0 < len(key) <= MAX_PEER_BYTES:
        raise ValueError(f"a peer is named by at most {MAX_PEER_BYTES} bytes")
    return key


def forget_epoch(txn: Txn) -> None:
    """Call in a home made of a backup: what it gains next is no continuation of the other's order."""
    txn.delete(Table.META, _EPOCH)


# -- judging


class _Judging:
    """Looks at what was offered, cheapest first; nothing is stored yet."""

    def __init__(self, network: str, now_ms: int, asked: frozenset[Cid]) -> None:
        self._network = network
        self._now_ms = now_ms
        self._asked = asked
        self._work_bytes = MAX_WORK_BYTES

    def judge(self, txn: Txn, item: SignedStatement) -> Took | _Arrival:
        try:
            parsed = parse_statement(item.block)
        except UnknownStatement:
            return Took.UNASKED
        except IdentityError:
            return Took.REJECTED
        if len(item.ops) > MAX_OPERATIONS:
            return Took.REJECTED
        if (early := self._look(txn, parsed)) is not None:
            return early
        key = _key_of(parsed)
        if (held := _compare(txn, key, parsed)) is not None:
            return held
        try:
            statement = verify_statement(parsed, self._network)
            if speakers.may_speak(txn, parsed.account, parsed.key):
                return _Arrival(statement, key, ())
            operations = self._admit(txn, parsed.account, item.ops)
        except IdentityError:
            return Took.REJECTED
        state = speakers.find_state_with(txn, parsed.account, operations) if operations else None
        if state is None or state.cut_of(parsed.key) != OPEN:
            return Took.UNPROVEN
        return _Arrival(statement, key, tuple(operations))

    def _look(self, txn: Txn, parsed: UnverifiedStatement) -> Took | None:
        if isinstance(parsed.claim, Possession):
            return Took.UNASKED
        if parsed.time > self._now_ms + MAX_AHEAD_MS:
            return Took.EARLY
        if parsed.expires <= self._now_ms and not isinstance(parsed.claim, Card):
            return Took.EXPIRED
        about = about_of(parsed)
        is_wanted = about in self._asked or is_carried(txn, about) or accounts.find_number(txn, about) is not None
        return None if is_wanted else Took.UNASKED

    def _admit(self, txn: Txn, account: Cid, operations: Sequence[Operation]) -> list[Admitted]:
        """Who brings more than can be read in one go is heard another time."""
        self._work_bytes -= sum(len(each.body) for each in operations)
        return speakers.admit(txn, account, operations, self._network) if self._work_bytes >= 0 else []


def about_of(statement: UnverifiedStatement | Statement) -> Cid:
    """The account a statement is about: its own, or whom its author keeps."""
    claim = statement.claim
    return claim.of if isinstance(claim, Receipt | Absent | Possession) else statement.account


def _type_of(statement: UnverifiedStatement | Statement) -> Type:
    match statement.claim:
        case Heads():
            return Type.HEADS
        case Card():
            return Type.CARD
        case Receipt():
            return Type.RECEIPT
        case _:
            return Type.ABSENT


def _key_of(statement: UnverifiedStatement) -> bytes:
    who = statement.account.digest + statement.key.bytes
    return about_of(statement).digest + bytes([_type_of(statement).value]) + who + statement.claim.subject


def _compare(txn: Txn, key: bytes, parsed: UnverifiedStatement | Statement) -> Took | None:
    """KNOWN or OLDER; None if it is the newest of its kind."""
    row = txn.get(Table.STATEMENTS, key)
    if row is None or len(row) < _ROW.size:
        return None
    _, time, _, digest = _ROW.unpack_from(row)
    if digest == parsed.digest:
        return Took.KNOWN
    return Took.OLDER if (time, digest) > (parsed.time, parsed.digest) else None


# -- rows


def _store(txn: Txn, judged: Sequence[Took | _Arrival], now_ms: int) -> list[Took]:
    outcomes = [_put(txn, each, now_ms) if isinstance(each, _Arrival) else each for each in judged]
    if _find_count(txn) > MAX_BYTES:
        _make_room(txn)
    return outcomes


def _put(txn: Txn, arrival: _Arrival, now_ms: int) -> Took:
    """Store one; what may have changed since it was judged is looked at again."""
    statement = arrival.statement
    if (held := _compare(txn, arrival.key, statement)) is not None:
        return held
    if arrival.operations and not speakers.may_speak(txn, statement.account, statement.key):
        _count(txn, speakers.put(txn, statement.account, arrival.operations, statement.key))
    if not speakers.may_speak(txn, statement.account, statement.key):
        return Took.UNPROVEN
    _write(txn, arrival.key, statement)
    if isinstance(statement.claim, Absent):
        _keep_named(txn, arrival.key, statement.claim, now_ms)
    _keep_few(txn, arrival.key, now_ms)
    return Took.STORED if txn.get(Table.STATEMENTS, arrival.key) is not None else Took.UNASKED


def _write(txn: Txn, key: bytes, statement: Statement) -> None:
    _drop(txn, key)
    number = pack_u64(_last_number(txn) + 1)
    row = _ROW.pack(int.from_bytes(number, "big"), statement.time, statement.expires, statement.digest)
    txn.put(Table.META, _LAST, number)
    txn.put(Table.STATEMENTS, key, row + statement.block)
    txn.put(Table.STATEMENT_LOG, number, key)
    _count(txn, len(key) + len(row) + len(statement.block))


def _keep_named(txn: Txn, key: bytes, absent: Absent, now_ms: int) -> None:
    """Keep a receipt beside the absent that names it: the next receipt would take its place, and the pair is gone."""
    named_key = key[:32] + bytes([Type.NAMED.value]) + key[33:]
    _drop(txn, named_key)
    receipt_key = key[:32] + bytes([Type.RECEIPT.value]) + key[33:97] + absent.of.digest
    row = txn.get(Table.STATEMENTS, receipt_key)
    receipt = _read(txn, receipt_key, row) if row is not None else None
    if receipt is not None and receipt.digest == absent.receipt:
        _write(txn, named_key, receipt)
        _keep_few(txn, named_key, now_ms)


def _keep_few(txn: Txn, key: bytes, now_ms: int) -> None:
    """Of one sort about one account only so many stay; of those who are not trusted only so many bytes."""
    rows = _list_rows(txn, key[:33])
    size = sum(row.size for row in rows)
    if len(rows) <= _MOST[Type(key[32])] and size <= MAX_OTHERS_BYTES:
        return
    size = 0
    for number, row in enumerate(_rank(txn, rows, now_ms)):
        if row.rank >= Rank.TOLD:
            size += row.size
        if number >= _MOST[Type(key[32])] or size > MAX_OTHERS_BYTES:
            _drop(txn, row.key)


class Rank(IntEnum):
    """Whose word is kept longest."""

    HERE = 0  # this device's own
    OURS = 1  # of another device of our account
    TRUSTED = 2  # of a keeper that counts, or of a carried account about itself
    TOLD = 3  # anybody's about our account
    CARRIED = 4  # anybody's about an account that is carried
    FAR = 5


# Types in which an account speaks of itself.
_OWN_WORDS: Final = frozenset((Type.HEADS.value, Type.CARD.value))


class _Ranking:
    """Ranks statements by their keys; what it looked up it remembers for one round."""

    def __init__(self, txn: Txn) -> None:
        self._txn = txn
        self._own = settings.find_own_account(txn)
        self._device = settings.find_own_device(txn)
        self._known: dict[bytes, Rank] = {}

    def rank(self, key: bytes) -> Rank:
        about, speaker, device = key[:32], key[33:65], key[65:97]
        if self._own is not None and speaker == self._own.digest:
            return Rank.HERE if self._device is not None and device == self._device.bytes else Rank.OURS
        pair = key[:65]
        if pair not in self._known:
            is_own_word = key[32] in _OWN_WORDS and about == speaker
            self._known[pair] = self._judge(cid_of_digest(about), cid_of_digest(speaker), is_own_word=is_own_word)
        return self._known[pair]

    def _judge(self, about: Cid, speaker: Cid, *, is_own_word: bool) -> Rank:
        is_near = is_carried(self._txn, about)
        if (is_own_word and is_near) or (about != speaker and is_trusted(self._txn, about, speaker)):
            return Rank.TRUSTED
        if about == self._own:
            return Rank.TOLD
        return Rank.CARRIED if is_near else Rank.FAR


class _Row(NamedTuple):
    """What is known of a statement without reading it."""

    key: bytes
    time: int
    expires: int
    digest: bytes
    size: int
    rank: Rank = Rank.FAR

    @property
    def speaker(self) -> bytes:
        return self.key[33:65]


def _list_rows(txn: Txn, prefix: bytes) -> list[_Row]:
    found = []
    for key, row in txn.scan(Table.STATEMENTS, prefix):
        _, time, expires, digest = _ROW.unpack_from(row.ljust(_ROW.size, b"\x00"))
        found.append(_Row(key, time, expires, digest, len(key) + len(row)))
    return found


def _rank(txn: Txn, rows: Iterable[_Row], now_ms: int) -> list[_Row]:
    """Those that matter most first: our own, then of those who are trusted, a few of each in turn, then the newest."""
    ranking = _Ranking(txn)
    newest = sorted(rows, key=lambda row: (row.expires > now_ms, row.time, row.digest), reverse=True)
    turns: Counter[bytes] = Counter()
    found = []
    for at, row in enumerate(newest):
        found.append((ranking.rank(row.key), turns[row.speaker] // MAX_OF_ONE, at, row))
        turns[row.speaker] += 1
    return [row._replace(rank=rank) for rank, _, _, row in sorted(found)]


def _make_room(txn: Txn) -> None:
    """Drop until there is room again: what is more than one's share, then what matters least, the oldest first.

    This device's own stays. Operations go with the last statement of who they are of, or a flood of them would push out
    everything else.
    """
    for speaker in list(_iter_idle_speakers(txn)):  # of those whose place others took, nobody needs them
        _count(txn, speakers.drop(txn, speaker))
    if _find_count(txn) <= ENOUGH_BYTES:
        return
    ranking = _Ranking(txn)
    keys = [key for _, key in txn.scan(Table.STATEMENT_LOG)]
    sizes = {key: len(key) + len(row) for key, row in txn.scan(Table.STATEMENTS)}
    left = Counter(key[33:65] for key in keys)
    ranked = [(ranking.rank(key), key) for key in keys]
    over = _find_over(txn, ranked, sizes)
    order = sorted(
        ((key not in over, -rank, number, key) for number, (rank, key) in enumerate(ranked) if rank > Rank.HERE),
    )
    for _, _, _, key in order:
        if _find_count(txn) <= ENOUGH_BYTES:
            break
        _drop(txn, key)
        left[key[33:65]] -= 1
        if not left[key[33:65]]:
            _count(txn, speakers.drop(txn, cid_of_digest(key[33:65])))


def _find_over(txn: Txn, ranked: Sequence[tuple[Rank, bytes]], sizes: Mapping[bytes, int]) -> set[bytes]:
    """What is beyond the share of who speaks, or of whom others speak about; the newest stay."""
    spoken: Counter[tuple[bool, bytes]] = Counter()
    for key, row in txn.scan(Table.SPEAKERS):
        spoken[False, key[:32]] += len(row)
    about: Counter[bytes] = Counter()
    over = set()
    for rank, key in reversed(ranked):
        if rank < Rank.TRUSTED:
            continue
        is_told = rank >= Rank.TOLD
        size, speaker = sizes.get(key, 0), (not is_told, key[33:65])
        if spoken[speaker] + size > (MAX_SPEAKER_BYTES if is_told else MAX_TRUSTED_BYTES) or (
            is_told and about[key[:32]] + size > MAX_ABOUT_BYTES
        ):
            over.add(key)
            continue
        spoken[speaker] += size
        about[key[:32]] += size if is_told else 0
    return over


def _drop(txn: Txn, key: bytes) -> None:
    row = txn.get(Table.STATEMENTS, key)
    if row is None:
        return
    txn.delete(Table.STATEMENTS, key)
    txn.delete(Table.STATEMENT_LOG, row[:8])
    _count(txn, -len(key) - len(row))


def _iter_idle_speakers(txn: Txn) -> Iterator[Cid]:
    """Accounts whose operations wait here for nothing; walks all statements, so it is asked seldom."""
    speaking = {key[33:65] for key, _ in txn.scan(Table.STATEMENTS)}
    for digest in sorted({key[:32] for key, _ in txn.scan(Table.SPEAKERS)} - speaking):
        yield cid_of_digest(digest)


def _has_ended(key: bytes, row: bytes, now_ms: int) -> bool:
    if len(key) != _KEY_BYTES or len(row) < _ROW.size:
        return True
    return key[32] != Type.CARD.value and _ROW.unpack_from(row)[2] <= now_ms


_KEY_BYTES: Final = 32 + 1 + 32 + 32 + 32


def _last_number(txn: Txn) -> int:
    return int.from_bytes(txn.get(Table.META, _LAST) or b"", "big")


def _find_count(txn: Txn) -> int:
    return int.from_bytes(txn.get(Table.META, _BYTES) or b"", "big")


def _count(txn: Txn, delta: int) -> None:
    if delta:
        txn.put(Table.META, _BYTES, pack_u64(max(_find_count(txn) + delta, 0)))


# -- reading


def find_statements(txn: Txn, about: Cid, kind: Type, now_ms: int) -> list[Statement]:
    """Those whose key may speak now, the newest first; of what ended only cards, and these last."""
    found = [
        statement
        for key, row in txn.scan(Table.STATEMENTS, about.digest + bytes([kind.value]))
        if (statement := _read(txn, key, row)) is not None and (kind is Type.CARD or statement.expires > now_ms)
    ]
    return sorted(found, key=lambda each: (each.expires <= now_ms, -each.time, each.digest))


def is_held(txn: Txn, statement: Statement) -> bool:
    """Whether this very statement is held, and not another of its kind."""
    row = txn.get(Table.STATEMENTS, _key_of(UnverifiedStatement(*statement)))
    return row is not None and row[_ROW.size :] == statement.block


def find_counting(txn: Txn, about: Cid, now_ms: int) -> list[Statement]:
    """Receipts for an account by others, the newest first: by us, by those who are trusted, and a few of anybody's.

    Of others only so many are read, each of them costs as much as its author likes.
    """
    rows = _list_rows(txn, about.digest + bytes([Type.RECEIPT.value]))
    fresh = (row for row in rows if row.expires > now_ms and row.speaker != about.digest)
    found, others = [], 0
    for row in _rank(txn, fresh, now_ms):
        if row.rank >= Rank.TOLD:
            if others == MAX_OTHERS:
                break
            others += 1
        block = txn.get(Table.STATEMENTS, row.key)
        statement = _read(txn, row.key, block) if block is not None else None
        if statement is not None and statement.expires > now_ms:
            found.append(statement)
    return sorted(found, key=lambda each: (-each.time, each.digest))


def list_about(txn: Txn, account: Cid, now_ms: int) -> list[Statement]:
    """Everything about an account that may be said; what helps most comes first."""
    held = (_read(txn, key, row) for key, row in txn.scan(Table.STATEMENTS, account.digest))
    found = {each.digest: each for each in held if each is not None}  # a receipt may stand beside an absent too
    order = {Type.CARD: 0, Type.HEADS: 1, Type.RECEIPT: 2, Type.ABSENT: 3}
    return sorted(
        (each for each in found.values() if each.expires > now_ms or isinstance(each.claim, Card)),
        key=lambda each: (
            each.expires <= now_ms,
            order[_type_of(each)],
            not is_trusted(txn, account, each.account),
            -each.time,
            each.digest,
        ),
    )


def _find_signed(txn: Txn, key: bytes, now_ms: int) -> SignedStatement | None:
    row = txn.get(Table.STATEMENTS, key)
    statement = _read(txn, key, row) if row is not None else None
    if statement is None or (statement.expires <= now_ms and not isinstance(statement.claim, Card)):
        return None
    return SignedStatement(statement.block, speakers.operations_for(txn, statement.account, statement.key))


def _read(txn: Txn, key: bytes, row: bytes) -> Statement | None:
    """What a row holds, if it is what was stored and its key may still speak."""
    block = row[_ROW.size :]
    if len(row) < _ROW.size or _ROW.unpack_from(row)[3] != sha256(block).digest():
        return None
    try:
        statement = stored_statement(block)
    except IdentityError:
        return None
    if not _is_filed_under(statement, key):
        return None
    return statement if speakers.may_speak(txn, statement.account, statement.key) else None


def _is_filed_under(statement: Statement, key: bytes) -> bool:
    own = _key_of(UnverifiedStatement(*statement))
    if key[32:33] != bytes([Type.NAMED.value]):
        return own == key
    return isinstance(statement.claim, Receipt) and (own[:32], own[33:97]) == (key[:32], key[33:97])


def _size_of(signed: SignedStatement) -> int:
    return len(signed.block) + sum(len(each.entry) + len(each.body) for each in signed.ops)
