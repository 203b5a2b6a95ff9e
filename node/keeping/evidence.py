"""Evidence: one file that shows what was signed about an account, and whom two statements of his own name.

    ["unhush evidence 1", {network, account, speakers, statements, chains}]

    speakers    [[account, [[entry, body]…]]…]              identity operations; of the account itself too
    statements  [block…]                                    heads, receipts and absents
    chains      [[receipt, absent, [entry block…]]…]        by digest; from a head of the receipt down to what names it

Strict DAG-CBOR, and only one way to write the same: ascending, nothing twice,
no operation that does not count, no speaker who says nothing. So every byte is
there for a reason, and a changed one is found. Nothing in it is anybody's
unsigned word; what it concludes is worked out by whoever reads it
(docs/decisions/0041-whom-evidence-names.md).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from cbor2 import CBORDecodeEOF

from unhush.gossip.proto.contradictions import MAX_CHAIN, Contradiction, NoContradiction, find_contradiction
from unhush.identity.cid import Cid
from unhush.identity.codec import MAX_BLOCK_BYTES, MAX_ITEMS_FRAME, Value, decode, encode
from unhush.identity.entry import MAX_ENTRY_BYTES, UnverifiedEntry, parse_entry, verify_signature
from unhush.identity.errors import IdentityError, MalformedBytes
from unhush.identity.operations import OPEN, ROTATE, SignedOperation, parse_operation
from unhush.identity.statement import Absent, Heads, Receipt, Statement, parse_statement, verify_statement
from unhush.identity.trunk import MAX_STORED, State, find_trunk, fold
from unhush.node.errors import BadEvidence

MAGIC: Final = "unhush evidence 1"
# How every such file begins: a pair, and the text above.
BEGINNING: Final = b"\x82\x71" + MAGIC.encode()

MAX_SPEAKERS: Final = 64
MAX_STATEMENTS: Final = 512
MAX_CONTRADICTIONS: Final = 16
# Of all speakers together: of most accounts there are three or four, of none more than ``MAX_STORED``. With the
# entries of the chains they are fewer data items than a frame may have.
MAX_OPERATIONS: Final = 8_192
# A body may have 64 KiB and more fields than anybody reads; who pads his own must not crowd out the others.
MAX_OPERATION_BYTES: Final = 64 * 2**20
# All operations, entries and statements at their greatest length.
MAX_FILE_BYTES: Final = MAX_OPERATION_BYTES + (MAX_CHAIN + 1_024) * MAX_ENTRY_BYTES + MAX_STATEMENTS * MAX_BLOCK_BYTES
# Reading a rotate admits up to 512 keys, 50 ms; a trunk has two, the one that stands and its rival.
_MAX_ROTATES: Final = 2


@dataclass(frozen=True, slots=True)
class Speaker:
    """An account that says something, and which of its devices may."""

    account: Cid
    operations: tuple[SignedOperation, ...]
    state: State


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is signed, all of it checked: only ``check_evidence`` and ``gather_evidence`` make it."""

    network: str
    account: Cid
    speakers: tuple[Speaker, ...]
    statements: tuple[Statement, ...]
    contradictions: tuple[Contradiction, ...]

    def encode(self) -> bytes:
        """The bytes of the file."""
        fields: dict[str, Value] = {
            "network": self.network,
            "account": self.account,
            "speakers": [
                [speaker.account, [[op.entry.block, op.body] for op in speaker.operations]] for speaker in self.speakers
            ],
            "statements": [statement.block for statement in self.statements],
            "chains": [
                [each.receipt.digest, each.absent.digest, [entry.block for entry in each.chain]]
                for each in self.contradictions
            ],
        }
        return encode([MAGIC, fields])


def gather_evidence(
    network: str,
    account: Cid,
    operations: Mapping[Cid, Sequence[SignedOperation]],
    statements: Iterable[Statement],
    contradictions: Sequence[Contradiction],
) -> Evidence:
    """What of it can be shown to others; raises ``BadEvidence`` if not even the account's operations are here.

    Statements by devices that are not open are left out. The newest are kept if there are too many, and the first
    contradictions.
    """
    kept = _choose(contradictions)
    needed = [statement for each in kept for statement in (each.receipt, each.absent)]
    wanted = {each.digest: each for each in (*needed, *sorted(statements, key=lambda each: -each.time))}
    gathering = _Gathering(operations)
    if gathering.find_speaker(account) is None:
        raise BadEvidence(f"the operations of {account} are not here")
    shown: dict[bytes, Statement] = {}
    for each in wanted.values():
        speaker = gathering.find_speaker(each.account)
        if speaker is not None and _may_stand(each, account, speaker.state) and len(shown) < MAX_STATEMENTS:
            shown[each.digest] = each
    spoke = {account} | {each.account for each in shown.values()}
    evidence = Evidence(
        network,
        account,
        tuple(speaker for speaker in gathering.speakers() if speaker.account in spoke),
        tuple(shown[digest] for digest in sorted(shown)),
        tuple(sorted((each for each in kept if set(_pair_of(each)) <= shown.keys()), key=_pair_of)),
    )
    return check_evidence(evidence.encode())


def _choose(contradictions: Sequence[Contradiction]) -> list[Contradiction]:
    """As many as fit, the first first: anybody can make up short ones to crowd out what matters."""
    kept: list[Contradiction] = []
    room = MAX_CHAIN
    for each in contradictions:
        if len(kept) < MAX_CONTRADICTIONS and len(each.chain) <= room:
            kept.append(each)
            room -= len(each.chain)
    return kept


class _Gathering:
    """Speakers as they come, as long as there is room for their operations."""

    def __init__(self, operations: Mapping[Cid, Sequence[SignedOperation]]) -> None:
        self._operations = operations
        self._found: dict[Cid, Speaker | None] = {}
        self._bytes = MAX_OPERATION_BYTES
        self._count = MAX_OPERATIONS

    def find_speaker(self, account: Cid) -> Speaker | None:
        if account not in self._found:
            self._found[account] = self._take(account)
        return self._found[account]

    def _take(self, account: Cid) -> Speaker | None:
        speaker = _speaker(account, self._operations.get(account, ()))
        if speaker is None or len(self.speakers()) == MAX_SPEAKERS:
            return None
        size = sum(len(op.entry.block) + len(op.body) for op in speaker.operations)
        if size > self._bytes or len(speaker.operations) > self._count:
            return None
        self._bytes -= size
        self._count -= len(speaker.operations)
        return speaker

    def speakers(self) -> list[Speaker]:
        return sorted((each for each in self._found.values() if each is not None), key=lambda each: each.account)


def check_evidence(data: bytes) -> Evidence:
    """Check a file from nothing; raises ``BadEvidence`` with what is wrong with it."""
    try:
        return _check(data)
    except (IdentityError, NoContradiction) as exc:
        raise BadEvidence(f"this is no sound evidence: {exc}") from exc


def is_evidence(beginning: bytes) -> bool:
    """Whether a file that begins so means to be evidence."""
    return beginning.startswith(BEGINNING)


def _decode(data: bytes) -> Value:
    try:
        return decode(data, max_bytes=MAX_FILE_BYTES, max_items=MAX_ITEMS_FRAME)
    except MalformedBytes as exc:
        if isinstance(exc.__cause__, CBORDecodeEOF):
            raise MalformedBytes("the file ends in the middle") from exc
        raise


def _check(data: bytes) -> Evidence:
    match _decode(data):
        case [
            str() as magic,
            {
                "network": str() as network,
                "account": Cid() as account,
                "speakers": list() as speakers,
                "statements": list() as blocks,
                "chains": list() as chains,
                **more,
            },
        ] if magic == MAGIC and not more:
            pass
        case _:
            raise MalformedBytes("it is not laid out as evidence")
    _check_count("speakers", speakers, MAX_SPEAKERS)
    _check_count("statements", blocks, MAX_STATEMENTS)
    _check_count("chains", chains, MAX_CONTRADICTIONS)
    found = {speaker.account: speaker for speaker in (_read_speaker(item, network) for item in speakers)}
    _check_ascending("speakers", [_account_of(item).bytes for item in speakers])
    if sum(len(speaker.operations) for speaker in found.values()) > MAX_OPERATIONS:
        raise MalformedBytes(f"it has more than {MAX_OPERATIONS:,} operations")
    if account not in found:
        raise MalformedBytes("the operations of the account are not in it")
    statements = [_read_statement(block, network, account, found) for block in blocks]
    _check_ascending("statements", [statement.digest for statement in statements])
    if found.keys() - {account} - {statement.account for statement in statements}:
        raise MalformedBytes("an account is in it that says nothing")
    by_digest = {statement.digest: statement for statement in statements}
    contradictions = [_read_chain(item, by_digest, found[account].state, network) for item in chains]
    _check_ascending("chains", [digests[0] + digests[1] for digests in map(_pair_of, contradictions)])
    if sum(len(each.chain) for each in contradictions) > MAX_CHAIN:
        raise MalformedBytes(f"it has more than {MAX_CHAIN:,} entries")
    return Evidence(network, account, tuple(found.values()), tuple(statements), tuple(contradictions))


def _pair_of(contradiction: Contradiction) -> tuple[bytes, bytes]:
    return contradiction.receipt.digest, contradiction.absent.digest


def _check_count(name: str, items: Sequence[Value], most: int) -> None:
    if len(items) > most:
        raise MalformedBytes(f"it has {len(items):,} {name}, and {most} is what it may have")


def _check_ascending(name: str, keys: Sequence[bytes]) -> None:
    if any(low >= high for low, high in pairwise(keys)):
        raise MalformedBytes(f"the {name} do not ascend")


def _account_of(item: Value) -> Cid:
    match item:
        case [Cid() as account, list()]:
            return account
        case _:
            raise MalformedBytes("a speaker is an account and its operations")


def _read_speaker(item: Value, network: str) -> Speaker:
    account = _account_of(item)
    assert isinstance(item, list)
    rows = item[1]
    assert isinstance(rows, list)
    _check_count("operations of one account", rows, MAX_STORED)
    operations = []
    rotates = 0
    for row in rows:
        match row:
            case [bytes() as block, bytes() as body]:
                entry = parse_entry(block)
            case _:
                raise MalformedBytes("an operation is an entry and a body")
        rotates += entry.header.kind == ROTATE
        if entry.account != account or not entry.header.is_identity or rotates > _MAX_ROTATES:
            raise MalformedBytes("an operation is in it that does not count")
        operations.append(SignedOperation(verify_signature(entry, network), body))
    _check_ascending("operations", [op.entry.cid.bytes for op in operations])
    speaker = _speaker(account, operations)
    if speaker is None:
        raise MalformedBytes("an account is in it without its inception")
    if len(speaker.operations) != len(operations):
        raise MalformedBytes("an operation is in it that does not count")
    return speaker


def _speaker(account: Cid, operations: Sequence[SignedOperation]) -> Speaker | None:
    """The account as its operations say, with those alone that count; None without the inception."""
    parsed = [parse_operation(op.entry, op.body) for op in operations]
    trunk = find_trunk(account, parsed)
    if trunk is None:
        return None
    ids = trunk.ids()
    counting = sorted((op for op in operations if op.entry.cid in ids), key=lambda op: op.entry.cid)
    return Speaker(account, tuple(counting), fold(trunk))


def _read_statement(block: Value, network: str, account: Cid, speakers: Mapping[Cid, Speaker]) -> Statement:
    if not isinstance(block, bytes):
        raise MalformedBytes("a statement is a byte string")
    statement = verify_statement(parse_statement(block), network)
    speaker = speakers.get(statement.account)
    if speaker is None or not _may_stand(statement, account, speaker.state):
        raise MalformedBytes("a statement is in it that is not about the account, or not by an open device")
    return statement


def _may_stand(statement: Statement, account: Cid, state: State) -> bool:
    match statement.claim:
        case Heads():
            is_about = statement.account == account
        case Receipt() | Absent():
            is_about = statement.claim.of == account
        case _:
            is_about = False
    return is_about and state.cut_of(statement.key) == OPEN


def _read_chain(item: Value, statements: Mapping[bytes, Statement], state: State, network: str) -> Contradiction:
    match item:
        case [bytes() as receipt, bytes() as absent, list() as blocks] if (
            receipt in statements and absent in statements
        ):
            chain = _read_entries(blocks)
        case _:
            raise MalformedBytes("a chain names two of the statements and has entries")
    return find_contradiction(statements[receipt], statements[absent], chain, cut_of=state.cut_of, network=network)


def _read_entries(blocks: Sequence[Value]) -> list[UnverifiedEntry]:
    if len(blocks) > MAX_CHAIN:
        raise MalformedBytes(f"a chain has at most {MAX_CHAIN:,} entries")
    entries = []
    for block in blocks:
        if not isinstance(block, bytes):
            raise MalformedBytes("an entry is a byte string")
        entries.append(parse_entry(block))
    return entries
