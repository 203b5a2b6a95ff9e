"""The statements protocol ``/unhush/statements/1``: what accounts sign outside their logs, asked for and told.

One side asks on a stream of its own, up to 64 questions one after the other; the
other answers each. A statement says itself who signed it, so it may come from
anybody; the few identity operations beside it let a stranger judge whether that
key may speak for its account.

    {type "since", epoch, n, for}             → what the other gained since, of whom the filter names
    {type "about", accounts ≤ 16}             → what is held about these
    {type "tell", items}                      → how many were taken
    {type "prove", of, entry, nonce}          → a possession or an absent, or nothing

Unknown fields are skipped, and a question of an unknown type is answered with
nothing, so that version 1 can grow.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from unhush.gossip.proto.carriage import MAX_CARRIAGE_BYTES, is_carriage, may_carry
from unhush.gossip.proto.faults import MalformedFrame
from unhush.gossip.proto.frames import Operation
from unhush.identity.cid import Cid
from unhush.identity.codec import Value, decode_map, encode
from unhush.identity.entry import MAX_BODY_BYTES, MAX_ENTRY_BYTES
from unhush.identity.errors import MalformedBytes
from unhush.identity.statement import Absent, Possession, Receipt, Statement, UnverifiedStatement

PROTOCOL: Final = "/unhush/statements/1"

# Questions on one stream: a home that was away for a month asks ``since`` for as many screens as this.
MAX_QUESTIONS: Final = 64
MAX_ACCOUNTS: Final = 16
MAX_ITEMS: Final = 256
# The inception, two tables of a generation, a freeze, and what was said of the device: all that judging it takes.
MAX_OPERATIONS: Final = 6
MAX_STATEMENT_BYTES: Final = 65_536
# A payload with items, everything counted. 256 receipts have some 100 KiB; one lists at most 256 withheld entries.
MAX_ITEMS_BYTES: Final = 524_288
# A filter of 2 KiB, or sixteen links, and names.
MAX_QUESTION_BYTES: Final = 4_096
EPOCH_BYTES: Final = 8
NONCE_BYTES: Final = 16
# Of a cursor that was never given.
NO_EPOCH: Final = bytes(EPOCH_BYTES)

_MAX_INT: Final = 2**63 - 1
# 256 items with six operations each are 21 data items apiece.
_MAX_DATA_ITEMS: Final = 8_192
# Heads of the strings and lists around one statement and each of its operations.
_ITEM_OVERHEAD: Final = 8
_OPERATION_OVERHEAD: Final = 9
# The map around items: its keys, an epoch and a number.
_FRAME_OVERHEAD: Final = 64


@dataclass(frozen=True, slots=True)
class ToldStatement:
    """A statement as it travels: its block, and what lets one judge who signed it."""

    block: bytes
    ops: tuple[Operation, ...] = ()

    @property
    def travel_bytes(self) -> int:
        """What it takes in a frame, at most."""
        ops = sum(len(op.entry) + len(op.body) + _OPERATION_OVERHEAD for op in self.ops)
        return len(self.block) + ops + _ITEM_OVERHEAD


@dataclass(frozen=True, slots=True)
class Since:
    """What did you gain since number ``n`` of your count ``epoch``, of the accounts in ``carriage``?

    An empty filter asks for everything: whoever carries more accounts than a filter tells apart.
    """

    epoch: bytes
    n: int
    carriage: bytes = b""


@dataclass(frozen=True, slots=True)
class About:
    """What do you hold about these accounts: their cards and heads, receipts and absents of them?"""

    accounts: tuple[Cid, ...]


@dataclass(frozen=True, slots=True)
class Tell:
    """Statements that the sender gained just now, and thinks the other side wants."""

    items: tuple[ToldStatement, ...]


@dataclass(frozen=True, slots=True)
class Prove:
    """Show that you hold the body of this entry of the account ``of``: SHA-256(nonce ‖ body), signed."""

    of: Cid
    entry: Cid
    nonce: bytes


@dataclass(frozen=True, slots=True)
class Unknown:
    """A question of a later version; it is answered with nothing."""


@dataclass(frozen=True, slots=True)
class Items:
    """Statements; in answer to ``since`` with the count of the answerer, and how far it was looked."""

    items: tuple[ToldStatement, ...] = ()
    epoch: bytes = b""
    n: int = 0
    is_more: bool = False


@dataclass(frozen=True, slots=True)
class Taken:
    """How many of the statements told were new and are kept."""

    n: int


Question: TypeAlias = Since | About | Tell | Prove
Answer: TypeAlias = Items | Taken


def fitting(items: Iterable[ToldStatement]) -> tuple[ToldStatement, ...]:
    """As many from the front as one frame takes."""
    chosen: list[ToldStatement] = []
    room = MAX_ITEMS_BYTES - _FRAME_OVERHEAD
    for item in items:
        room -= item.travel_bytes
        if room < 0 or len(chosen) == MAX_ITEMS:
            break
        chosen.append(item)
    return tuple(chosen)


def whom_it_concerns(statement: UnverifiedStatement | Statement) -> tuple[Cid, ...]:
    """Who makes a statement, and of whom it is: by these a filter chooses."""
    claim = statement.claim
    if isinstance(claim, Receipt | Absent | Possession) and claim.of != statement.account:
        return (statement.account, claim.of)
    return (statement.account,)


def does_want(carriage: bytes, accounts: Iterable[Cid]) -> bool:
    """Whether who sent this filter wants statements of one of these accounts."""
    return not carriage or any(may_carry(carriage, account) for account in accounts)


def encode_question(question: Question) -> bytes:
    """Raises ``ValueError`` for what nobody would take."""
    match question:
        case Since(epoch, n, carriage):
            fields: dict[str, Value] = {"type": "since", "epoch": epoch, "n": n, "for": carriage}
        case About(accounts):
            fields = {"type": "about", "accounts": list(accounts)}
        case Tell(items):
            fields = {"type": "tell", "items": _listed(items)}
        case Prove(of, entry, nonce):
            fields = {"type": "prove", "of": of, "entry": entry, "nonce": nonce}
    return _bounded(fields)


def parse_question(payload: bytes) -> Question | Unknown:
    """Raises ``MalformedFrame``."""
    fields = _fields(payload)
    match fields:
        case {"type": "tell", "items": list() as items}:
            return Tell(_parse_items(items))
        case {"type": str() as kind} if len(payload) > MAX_QUESTION_BYTES:
            raise MalformedFrame(f"a question {kind[:32]!r} has at most {MAX_QUESTION_BYTES} bytes")
        case {"type": "since", "epoch": bytes() as epoch, "n": int() as n, "for": bytes() as carriage}:
            _check_count(epoch, n)
            if len(carriage) > MAX_CARRIAGE_BYTES or not is_carriage(carriage):
                raise MalformedFrame("for: not a filter of accounts")
            return Since(epoch, n, carriage)
        case {"type": "about", "accounts": list() as accounts}:
            if not 1 <= len(accounts) <= MAX_ACCOUNTS:
                raise MalformedFrame(f"accounts: not 1 to {MAX_ACCOUNTS} of them")
            linked = tuple(map(_link, accounts))
            if len(set(linked)) < len(linked):
                raise MalformedFrame("accounts: one is asked about twice")
            return About(linked)
        case {"type": "prove", "of": of, "entry": entry, "nonce": bytes() as nonce} if len(nonce) == NONCE_BYTES:
            return Prove(_link(of), _link(entry), nonce)
        case {"type": "since" | "about" | "tell" | "prove" as kind}:
            raise MalformedFrame(f"not a question {kind!r}")
        case {"type": str()}:
            return Unknown()
        case _:
            raise MalformedFrame("a question without a type")


def encode_answer(answer: Answer) -> bytes:
    """Raises ``ValueError`` for what nobody would take."""
    match answer:
        case Items(items, epoch, n, is_more):
            fields: dict[str, Value] = {"type": "statements", "items": _listed(items)}
            if epoch:
                fields |= {"epoch": epoch, "n": n, "more": is_more}
        case Taken(n):
            fields = {"type": "taken", "n": n}
    return _bounded(fields)


def parse_answer(payload: bytes) -> Answer:
    """Raises ``MalformedFrame``."""
    match _fields(payload):
        case {
            "type": "statements",
            "items": list() as items,
            "epoch": bytes() as epoch,
            "n": int() as n,
            "more": bool() as is_more,
        }:
            _check_count(epoch, n)
            return Items(_parse_items(items), epoch, n, is_more)
        case {"type": "statements", "items": list() as items}:
            return Items(_parse_items(items))
        case {"type": "taken", "n": int() as n} if not isinstance(n, bool) and 0 <= n <= MAX_ITEMS:
            return Taken(n)
        case _:
            raise MalformedFrame("not an answer to a question about statements")


def _bounded(fields: dict[str, Value]) -> bytes:
    payload = encode(fields)
    if len(payload) > MAX_ITEMS_BYTES:
        raise ValueError(f"statements have at most {MAX_ITEMS_BYTES} bytes in a frame, these {len(payload)}")
    return payload


def _listed(items: Sequence[ToldStatement]) -> list[Value]:
    if len(items) > MAX_ITEMS:
        raise ValueError(f"at most {MAX_ITEMS} statements travel in a frame, not {len(items)}")
    return [[item.block, [[op.entry, op.body] for op in item.ops]] for item in items]


def _fields(payload: bytes) -> dict[str, Value]:
    try:
        return decode_map(payload, max_bytes=MAX_ITEMS_BYTES, max_items=_MAX_DATA_ITEMS)
    except MalformedBytes as exc:
        raise MalformedFrame(str(exc)) from exc


def _check_count(epoch: bytes, n: int) -> None:
    if len(epoch) != EPOCH_BYTES or isinstance(n, bool) or not 0 <= n <= _MAX_INT:
        raise MalformedFrame("not a number in a count of statements")


def _parse_items(items: Sequence[Value]) -> tuple[ToldStatement, ...]:
    if len(items) > MAX_ITEMS:
        raise MalformedFrame(f"at most {MAX_ITEMS} statements travel in a frame")
    return tuple(map(_parse_item, items))


def _parse_item(item: Value) -> ToldStatement:
    match item:
        case [bytes() as block, list() as ops] if len(block) <= MAX_STATEMENT_BYTES and len(ops) <= MAX_OPERATIONS:
            return ToldStatement(block, tuple(map(_parse_operation, ops)))
    raise MalformedFrame(f"a statement travels as its block and at most {MAX_OPERATIONS} operations")


def _parse_operation(pair: Value) -> Operation:
    match pair:
        case [bytes() as entry, bytes() as body] if len(entry) <= MAX_ENTRY_BYTES and len(body) <= MAX_BODY_BYTES:
            return Operation(entry, body)
    raise MalformedFrame("an operation travels as entry and body")


def _link(value: object) -> Cid:
    if not isinstance(value, Cid) or not value.is_dag_cbor:
        raise MalformedFrame("accounts and entries are named by dag-cbor links")
    return value
