"""The frames of a sync session: what they say, and their one encoding (PROTOCOL §5).

A frame is a strict DAG-CBOR map with a ``type``. Unknown types and unknown
fields are skipped, so that version 1 can grow; a known frame that breaks its
own rules is a ``MalformedFrame``, the sender's fault. Once a frame value
exists, every bound it must keep has been checked.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeAlias

from unhush.gossip.proto import limits
from unhush.gossip.proto.carriage import is_carriage
from unhush.gossip.proto.faults import MalformedFrame, OtherVersion
from unhush.gossip.proto.ranges import BadRanges, Ranges
from unhush.identity.cid import Cid
from unhush.identity.codec import MAX_FRAME_BYTES, MAX_ITEMS_FRAME, Value, decode_map, encode
from unhush.identity.errors import MalformedBytes
from unhush.identity.keys import KEY_BYTES, PublicKey

_MAX_INT: Final = 2**63 - 1
_NETWORK_CHARS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
_MAX_NETWORK_CHARS: Final = 32
_LAST_NIBBLE: Final = 15


class Reason(StrEnum):
    """Why an entry comes without its body."""

    WITHHELD = "withheld"
    DELETED = "deleted"
    MALFORMED = "malformed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Hello:
    """Who speaks, what it can take, and where it says it can be dialled."""

    network: str
    agent: str
    frame_bytes: int = limits.MAX_FRAME_LIMIT_BYTES
    state_bytes: int = limits.MAX_STATE_BYTES
    listen: tuple[str, ...] = ()
    nonce: bytes = b""  # if it can reconcile
    accounts: int = 0  # that it could reconcile
    takes_runs: bool = False  # it reads ``RunsFrame``


@dataclass(frozen=True, slots=True)
class Carries:
    """Accounts the sender now carries, or no longer does.

    ``again``: carried as before, but more was gained than is remembered, so that they should be asked for by name.
    """

    add: tuple[Cid, ...] = ()
    drop: tuple[Cid, ...] = ()
    again: tuple[Cid, ...] = ()


@dataclass(frozen=True, slots=True)
class WantedAccount:
    """One account asked for: everything of it that is not listed as held.

    ``tips`` says of logs which entry is held at the highest number named, ``forks`` from where on branches are.
    """

    account: Cid
    ops: tuple[Cid, ...] = ()
    logs: Mapping[PublicKey, Ranges] = field(default_factory=dict)
    depth: int = 0
    is_live: bool = True
    tips: Mapping[PublicKey, bytes] = field(default_factory=dict)
    forks: Mapping[PublicKey, int] = field(default_factory=dict)

    @property
    def cost(self) -> int:
        """What the other side is charged for remembering this, in the agreed units."""
        pieces = sum(len(held) for held in self.logs.values())
        return (
            limits.ACCOUNT_COST
            + limits.OPERATION_COST * len(self.ops)
            + limits.LOG_COST * len(self.logs)
            + limits.RANGE_COST * pieces
            + limits.TIP_COST * len(self.tips)
            + limits.FORK_COST * len(self.forks)
        )


@dataclass(frozen=True, slots=True)
class Want:
    """Accounts asked for (again: replaced) and no longer asked for; drops act first.

    ``is_all`` asks for what the journal gains in any account that both sides were found to carry.
    """

    accounts: tuple[WantedAccount, ...] = ()
    drop: tuple[Cid, ...] = ()
    is_all: bool = False


Rows: TypeAlias = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class RangesFrame:
    """Where two carriers compare what they hold; a row is the nibbles with which accounts begin, and of these

    ``parts``: the fingerprints of the 16 parts into which the next nibble divides them; ``lists``: each, as a piece of
    its digest and a fingerprint of its state; ``verdicts``: one byte for each that was listed. So many frames of the
    peer's are ``answered`` in full, with this one.
    """

    answered: int
    parts: Rows = ()
    lists: Rows = ()
    verdicts: Rows = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """An identity operation as it travels."""

    entry: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class Item:
    """A record of a log as it travels; without a body it says why."""

    entry: bytes
    body: bytes | None
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Entries:
    """Identity operations, and a run of consecutive records of one log, ascending.

    ``is_beside`` if they are sent to show a fork: then several may stand at one number, and the receiver may hold
    others there.
    """

    account: Cid
    ops: tuple[Operation, ...] = ()
    key: PublicKey | None = None
    items: tuple[Item, ...] = ()
    is_beside: bool = False


@dataclass(frozen=True, slots=True)
class RunsFrame:
    """Several ``Entries`` at once, of any accounts, in the order they are to be taken in.

    The records of one of them ascend, and may leave numbers out. Only for a peer that said it takes them.
    """

    rows: tuple[Entries, ...]


@dataclass(frozen=True, slots=True)
class FindFrame:
    """Which account's inception is signed by this root key?"""

    root: PublicKey


@dataclass(frozen=True, slots=True)
class FoundFrame:
    """The inceptions held that this root key signed, each with its table that stands; none, if none is held."""

    root: PublicKey
    ops: tuple[Operation, ...] = ()


@dataclass(frozen=True, slots=True)
class PeersFrame:
    """Whom do you know?"""


@dataclass(frozen=True, slots=True)
class KnownPeer:
    """Where a peer may be dialled, and which accounts it may carry (``carriage.py``); hearsay."""

    address: str
    carriage: bytes = b""


@dataclass(frozen=True, slots=True)
class KnownFrame:
    """Peers the sender is connected with, or was lately."""

    peers: tuple[KnownPeer, ...] = ()


@dataclass(frozen=True, slots=True)
class Points:
    """On the branch the sender shows of a log, these entries stand at these numbers, ascending."""

    account: Cid
    key: PublicKey
    at: Mapping[int, bytes]


@dataclass(frozen=True, slots=True)
class Need:
    """These records of an account are asked for."""

    n: int
    account: Cid
    ids: tuple[Cid, ...]


@dataclass(frozen=True, slots=True)
class ThreadFrame:
    """What answers under a root is asked for; ``account`` wrote the root.

    ``held`` names what need not come, each by the start of its digest.
    """

    n: int
    root: Cid
    account: Cid
    held: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Concerning:
    """What concerns an account is asked for, the newest of it; ``held`` names what need not come."""

    n: int
    account: Cid
    held: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Given:
    """An answer to question ``n``, or a part of it: records of one account, whichever devices wrote them.

    Each bears its own valid signature; ``ops`` say who may speak for the account, and ``profile`` is the record in
    which it says who it is. Without an account it only says that there is no more.
    """

    n: int
    account: Cid | None = None
    ops: tuple[Operation, ...] = ()
    items: tuple[Item, ...] = ()
    is_more: bool = False
    profile: Item | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """Records nobody asked for, of one account, that concern another which the peer carries."""

    about: Cid
    account: Cid
    ops: tuple[Operation, ...]
    items: tuple[Item, ...]
    profile: Item | None = None


@dataclass(frozen=True, slots=True)
class Credit:
    """So many more bytes of ``entries`` are welcome."""

    bytes: int


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """Everything asked by the first ``wants`` want frames has been sent."""

    wants: int


@dataclass(frozen=True, slots=True)
class ErrorFrame:
    """Why the sender closes."""

    code: str
    text: str


Question: TypeAlias = Need | ThreadFrame | Concerning
Frame: TypeAlias = (
    Hello
    | Carries
    | Want
    | RangesFrame
    | Entries
    | RunsFrame
    | FindFrame
    | FoundFrame
    | PeersFrame
    | KnownFrame
    | Points
    | Question
    | Given
    | Offer
    | Credit
    | CaughtUp
    | ErrorFrame
)


def encode_frame(frame: Frame) -> bytes:  # noqa: PLR0912  # one branch a frame
    """The payload that says ``frame``."""
    match frame:
        case Hello():
            offered: dict[str, Value] = {"frame": frame.frame_bytes, "state": frame.state_bytes}
            if frame.nonce:
                offered["ranges"] = (frame.nonce, frame.accounts)
            if frame.takes_runs:
                offered["runs"] = True
            hello: dict[str, Value] = {
                "type": "hello",
                "version": limits.PROTOCOL_VERSION,
                "network": frame.network,
                "agent": frame.agent,
                "limits": offered,
            }
            return encode(hello | ({"listen": frame.listen} if frame.listen else {}))
        case Carries():
            again: dict[str, Value] = {"again": frame.again} if frame.again else {}
            return encode({"type": "carries", "add": frame.add, "drop": frame.drop, **again})
        case Want():
            accounts = [_wanted_value(wanted) for wanted in frame.accounts]
            all_: dict[str, Value] = {"all": True} if frame.is_all else {}
            return encode({"type": "want", "accounts": accounts, "drop": frame.drop, **all_})
        case RangesFrame():
            rows = {"parts": frame.parts, "lists": frame.lists, "verdicts": frame.verdicts}
            said: dict[str, Value] = {name: list(each) for name, each in rows.items() if each}
            return encode({"type": "ranges", "answered": frame.answered, **said})
        case Entries():
            return encode({"type": "entries", **_entries_value(frame)})
        case RunsFrame():
            return encode({"type": "runs", "runs": [_entries_value(row) for row in frame.rows]})
        case FindFrame():
            return encode({"type": "find", "root": frame.root.bytes})
        case FoundFrame():
            return encode({"type": "found", "root": frame.root.bytes, "ops": _operation_values(frame.ops)})
        case PeersFrame():
            return encode({"type": "peers"})
        case KnownFrame():
            return encode({"type": "known", "peers": [(peer.address, peer.carriage) for peer in frame.peers]})
        case Points():
            at = list(frame.at.items())
            return encode({"type": "points", "account": frame.account, "key": frame.key.bytes, "at": at})
        case Need():
            return encode({"type": "need", "n": frame.n, "account": frame.account, "ids": frame.ids})
        case ThreadFrame():
            named: dict[str, Value] = {"root": frame.root, "account": frame.account}
            return encode({"type": "thread", "n": frame.n, "held": frame.held, **named})
        case Concerning():
            return encode({"type": "concerning", "n": frame.n, "account": frame.account, "held": frame.held})
        case Given() | Offer():
            return encode(_records_value(frame))
        case Credit():
            return encode({"type": "credit", "bytes": frame.bytes})
        case CaughtUp():
            return encode({"type": "caught_up", "wants": frame.wants})
        case ErrorFrame():
            return encode({"type": "error", "code": frame.code, "text": frame.text})


def parse_frame(payload: bytes) -> Frame | None:
    """Read a payload; ``None`` for a type we do not know. Raises ``MalformedFrame`` or ``OtherVersion``."""
    try:
        fields = decode_map(payload, max_bytes=MAX_FRAME_BYTES, max_items=MAX_ITEMS_FRAME)
    except MalformedBytes as exc:
        raise MalformedFrame(str(exc)) from exc
    type_ = fields.get("type")
    if type(type_) is not str or not 1 <= len(type_.encode()) <= limits.MAX_TYPE_BYTES:
        raise MalformedFrame("a frame has no type")
    parse = _PARSERS.get(type_)
    return None if parse is None else parse(fields)


# --- to values -------------------------------------------------------------------------------------------


def _wanted_value(wanted: WantedAccount) -> Value:
    fields: dict[str, Value] = {
        "account": wanted.account,
        "ops": wanted.ops,
        "logs": [(key.bytes, held.pairs) for key, held in wanted.logs.items()],
        "live": wanted.is_live,
    }
    if wanted.depth:
        fields["depth"] = wanted.depth
    if wanted.tips:
        fields["tips"] = [wanted.tips.get(key, b"") for key in wanted.logs]
    if wanted.forks:
        fields["forks"] = [(key.bytes, seq) for key, seq in wanted.forks.items()]
    return fields


def _entries_value(frame: Entries) -> dict[str, Value]:
    fields: dict[str, Value] = {"account": frame.account}
    if frame.ops:
        fields["ops"] = _operation_values(frame.ops)
    if frame.key is not None:
        fields["key"] = frame.key.bytes
        fields["items"] = [_item_value(item) for item in frame.items]
    if frame.is_beside:
        fields["beside"] = True
    return fields


def _records_value(frame: Given | Offer) -> Value:
    fields: dict[str, Value] = {}
    if frame.account is not None:
        fields |= {"account": frame.account, "items": [_item_value(item) for item in frame.items]}
    if frame.ops:
        fields["ops"] = _operation_values(frame.ops)
    if frame.profile is not None:
        fields["profile"] = _item_value(frame.profile)
    if isinstance(frame, Given):
        return {"type": "given", "n": frame.n, "more": frame.is_more, **fields}
    return {"type": "offer", "about": frame.about, **fields}


def _operation_values(ops: tuple[Operation, ...]) -> list[Value]:
    return [(op.entry, op.body) for op in ops]


def _item_value(item: Item) -> Value:
    if item.body is not None:
        return (item.entry, item.body)
    return (item.entry, None, (item.reason or Reason.UNKNOWN).value)


# --- from values -----------------------------------------------------------------------------------------


def _parse_hello(fields: Mapping[str, Value]) -> Hello:
    # Only the version is sure to be there in a hello of another version.
    version = _int(fields, "version")
    if version != limits.PROTOCOL_VERSION:
        raise OtherVersion(f"this node speaks version {limits.PROTOCOL_VERSION}, the peer {version}")
    network = _text(fields, "network", _MAX_NETWORK_CHARS)
    if not network or not _NETWORK_CHARS.issuperset(network):
        raise MalformedFrame("hello: a network is 1 to 32 of a-z 0-9 -")
    offered = fields.get("limits")
    if not isinstance(offered, dict):
        raise MalformedFrame("hello: no limits")
    frame_bytes = _int(offered, "frame")
    if frame_bytes < limits.MIN_FRAME_LIMIT_BYTES:
        raise MalformedFrame(f"hello: frames of {frame_bytes} bytes cannot carry every record")
    listen = _list(fields, "listen") if "listen" in fields else []
    if len(listen) > limits.MAX_LISTEN or not all(map(_is_address, listen)):
        raise MalformedFrame(f"hello: not at most {limits.MAX_LISTEN} addresses")
    agent = _text(fields, "agent", limits.MAX_AGENT_BYTES)
    nonce, accounts = _reconciles(offered["ranges"]) if "ranges" in offered else (b"", 0)
    takes_runs = offered.get("runs") is True
    listening = tuple(map(str, listen))
    return Hello(network, agent, frame_bytes, _int(offered, "state"), listening, nonce, accounts, takes_runs)


def _reconciles(value: Value) -> tuple[bytes, int]:
    match value:
        case [bytes() as nonce, int() as accounts] if len(nonce) == limits.NONCE_BYTES and _is_seq(accounts):
            return nonce, accounts
        case _:
            raise MalformedFrame(f"hello: ranges is no pair of {limits.NONCE_BYTES} bytes and a number")


def _is_address(value: Value) -> bool:
    # Only that it is a short text: what it says is judged by whoever would dial it, and may be of a later version.
    return type(value) is str and len(value.encode()) <= limits.MAX_ADDRESS_BYTES


def _parse_carries(fields: Mapping[str, Value]) -> Carries:
    add, drop = _links(fields, "add"), _links(fields, "drop")
    if not set(add).isdisjoint(drop):
        raise MalformedFrame("carries: an account is both added and dropped")
    return Carries(add, drop, _links(fields, "again") if "again" in fields else ())


def _parse_want(fields: Mapping[str, Value]) -> Want:
    accounts = tuple(_parse_wanted(item) for item in _list(fields, "accounts"))
    drop = _links(fields, "drop")
    asked = {wanted.account for wanted in accounts}
    if len(asked) != len(accounts) or not asked.isdisjoint(drop):
        raise MalformedFrame("want: an account is named twice")
    is_all = fields.get("all", False)
    if not isinstance(is_all, bool):
        raise MalformedFrame("want: all is neither true nor false")
    return Want(accounts, drop, is_all)


def _parse_ranges(fields: Mapping[str, Value]) -> RangesFrame:
    parts = _rows(fields, "parts", lambda size: size == 16 * limits.FINGERPRINT_BYTES)
    item_bytes = 2 * limits.PIECE_BYTES
    lists = _rows(fields, "lists", lambda size: size % item_bytes == 0 and size <= limits.MAX_LISTED * item_bytes)
    verdicts = _rows(fields, "verdicts", lambda size: 0 < size <= limits.MAX_LISTED)
    if len(parts) + len(lists) + len(verdicts) > limits.RANGES_PER_FRAME:
        raise MalformedFrame(f"ranges: more than {limits.RANGES_PER_FRAME} rows")
    return RangesFrame(_int(fields, "answered"), parts, lists, verdicts)


def _rows(fields: Mapping[str, Value], name: str, is_size: Callable[[int], bool]) -> Rows:
    rows: list[tuple[bytes, bytes]] = []
    for row in _list(fields, name) if name in fields else ():
        match row:
            case [bytes() as prefix, bytes() as said] if (
                len(prefix) <= limits.MAX_PREFIX and max(prefix, default=0) <= _LAST_NIBBLE and is_size(len(said))
            ):
                rows.append((prefix, said))
            case _:
                raise MalformedFrame(f"ranges: a row of {name} is no pair of nibbles and bytes of its size")
    return tuple(rows)


def _parse_wanted(value: Value) -> WantedAccount:
    if not isinstance(value, dict):
        raise MalformedFrame("want: an account is no map")
    ops = _links(value, "ops")
    if len(ops) > limits.MAX_OPERATIONS:
        raise MalformedFrame(f"want: more than {limits.MAX_OPERATIONS} operations of one account")
    rows = _list(value, "logs")
    if len(rows) > limits.MAX_LOGS:
        raise MalformedFrame(f"want: more than {limits.MAX_LOGS} logs of one account")
    logs: dict[PublicKey, Ranges] = {}
    for row in rows:
        match row:
            case [bytes() as key, list() as pairs] if len(key) == KEY_BYTES:
                logs[PublicKey(key)] = _ranges(pairs)
            case _:
                raise MalformedFrame("want: a log is no pair of a key and ranges")
    if len(logs) != len(rows):
        raise MalformedFrame("want: a log is named twice")
    is_live = value.get("live")
    if not isinstance(is_live, bool):
        raise MalformedFrame("want: live is neither true nor false")
    depth = _int(value, "depth") if "depth" in value else 0
    tips = _tips(value, logs) if "tips" in value else {}
    forks = _forks(value) if "forks" in value else {}
    return WantedAccount(_account(value), ops, logs, depth, is_live, tips, forks)


def _tips(value: Mapping[str, Value], logs: Mapping[PublicKey, Ranges]) -> dict[PublicKey, bytes]:
    rows = _list(value, "tips")
    if len(rows) != len(logs):
        raise MalformedFrame(f"want: {len(rows)} tips of {len(logs)} logs")
    tips: dict[PublicKey, bytes] = {}
    for (key, held), row in zip(logs.items(), rows, strict=True):
        if row == b"":
            continue
        if type(row) is not bytes or len(row) != limits.TIP_BYTES or not held:
            raise MalformedFrame(f"want: a tip is {limits.TIP_BYTES} bytes of the digest of an entry held, or none")
        tips[key] = row
    return tips


def _forks(value: Mapping[str, Value]) -> dict[PublicKey, int]:
    rows = _list(value, "forks")
    if len(rows) > limits.MAX_FORKS:
        raise MalformedFrame(f"want: more than {limits.MAX_FORKS} forks of one account")
    forks: dict[PublicKey, int] = {}
    for row in rows:
        match row:
            case [bytes() as key, int() as seq] if len(key) == KEY_BYTES and _is_seq(seq):
                forks[PublicKey(key)] = seq
            case _:
                raise MalformedFrame("want: a fork is no pair of a key and a number")
    if len(forks) != len(rows):
        raise MalformedFrame("want: a fork is named twice")
    return forks


def _is_seq(value: int) -> bool:
    # Exact types: True is an int to isinstance.
    return type(value) is int and 0 <= value <= _MAX_INT


def _ranges(pairs: list[Value]) -> Ranges:
    if len(pairs) > limits.MAX_RANGES:
        raise MalformedFrame(f"want: a log in more than {limits.MAX_RANGES} ranges")
    checked: list[tuple[int, int]] = []
    for pair in pairs:
        # Exact types: True is an int to isinstance.
        if type(pair) is not list or len(pair) != 2 or type(pair[0]) is not int or type(pair[1]) is not int:
            raise MalformedFrame("want: a range is no pair of numbers")
        checked.append((pair[0], pair[1]))
    try:
        return Ranges.of(checked)
    except BadRanges as exc:
        raise MalformedFrame(f"want: {exc}") from exc


def _parse_entries(fields: Mapping[str, Value]) -> Entries:
    ops = tuple(_parse_operation(row) for row in _list(fields, "ops")) if "ops" in fields else ()
    items = tuple(_parse_item(row) for row in _list(fields, "items")) if "items" in fields else ()
    if not ops and not items:
        raise MalformedFrame("entries: nothing in it")
    key, is_beside = fields.get("key"), fields.get("beside", False)
    if not isinstance(is_beside, bool):
        raise MalformedFrame("entries: beside is neither true nor false")
    if key is None and not items:
        return Entries(_account(fields), ops, is_beside=is_beside)
    if type(key) is not bytes or len(key) != KEY_BYTES or not items:
        raise MalformedFrame("entries: a run is a key of 32 bytes and items")
    return Entries(_account(fields), ops, PublicKey(key), items, is_beside)


def _parse_runs(fields: Mapping[str, Value]) -> RunsFrame:
    rows = _list(fields, "runs")
    if not 1 <= len(rows) <= limits.MAX_RUNS:
        raise MalformedFrame(f"runs: not 1 to {limits.MAX_RUNS} of them")
    runs: list[Entries] = []
    for row in rows:
        if not isinstance(row, dict):
            raise MalformedFrame("runs: one is no map")
        runs.append(_parse_entries(row))
        if runs[-1].is_beside:
            raise MalformedFrame("runs: one shows a fork")
    return RunsFrame(tuple(runs))


def _parse_operation(row: Value) -> Operation:
    match row:
        case [bytes() as entry, bytes() as body] if _is_record(entry, body):
            return Operation(entry, body)
        case _:
            raise MalformedFrame("entries: an operation is no pair of an entry and its body")


def _parse_item(row: Value) -> Item:
    match row:
        case [bytes() as entry, bytes() as body] if _is_record(entry, body):
            return Item(entry, body)
        case [bytes() as entry, None] if _is_record(entry, b""):
            return Item(entry, None, Reason.UNKNOWN)
        case [bytes() as entry, None, str() as reason] if _is_record(entry, b""):
            if len(reason.encode()) > limits.MAX_REASON_BYTES:
                raise MalformedFrame("entries: a reason is too long")
            # A reason of a later version is as good as none to us.
            return Item(entry, None, Reason(reason) if reason in _REASONS else Reason.UNKNOWN)
        case _:
            raise MalformedFrame("entries: an item is no entry with its body or the reason it lacks")


_REASONS: Final = frozenset(reason.value for reason in Reason)


def _is_record(entry: bytes, body: bytes) -> bool:
    return 0 < len(entry) <= limits.MAX_ENTRY_BYTES and len(body) <= limits.MAX_BODY_BYTES


def _parse_find(fields: Mapping[str, Value]) -> FindFrame:
    return FindFrame(_key(fields, "root"))


def _parse_found(fields: Mapping[str, Value]) -> FoundFrame:
    ops = tuple(_parse_operation(row) for row in _list(fields, "ops"))
    if len(ops) > limits.MAX_FOUND:
        raise MalformedFrame(f"found: more than {limits.MAX_FOUND} tables")
    return FoundFrame(_key(fields, "root"), ops)


def _parse_known(fields: Mapping[str, Value]) -> KnownFrame:
    rows = _list(fields, "peers")
    if len(rows) > limits.MAX_PEERS_TOLD:
        raise MalformedFrame(f"known: more than {limits.MAX_PEERS_TOLD} peers")
    peers: list[KnownPeer] = []
    for row in rows:
        match row:
            case [str() as address, bytes() as carriage] if _is_address(address) and is_carriage(carriage):
                peers.append(KnownPeer(address, carriage))
            case _:
                raise MalformedFrame("known: a peer is no pair of an address and what it carries")
    return KnownFrame(tuple(peers))


def _parse_points(fields: Mapping[str, Value]) -> Points:
    rows = _list(fields, "at")
    if not 1 <= len(rows) <= limits.POINTS_PER_FRAME:
        raise MalformedFrame(f"points: not 1 to {limits.POINTS_PER_FRAME} of them")
    at: dict[int, bytes] = {}
    before = -1
    for row in rows:
        match row:
            case [int() as seq, bytes() as tip] if _is_seq(seq) and seq > before and len(tip) == limits.TIP_BYTES:
                at[seq] = tip
                before = seq
            case _:
                raise MalformedFrame("points: not ascending pairs of a number and the start of a digest")
    return Points(_account(fields), _key(fields, "key"), at)


def _parse_need(fields: Mapping[str, Value]) -> Need:
    ids = _links(fields, "ids")
    if not 1 <= len(ids) <= limits.MAX_NEED_IDS or len(set(ids)) != len(ids):
        raise MalformedFrame(f"need: not 1 to {limits.MAX_NEED_IDS} different records")
    return Need(_int(fields, "n"), _account(fields), ids)


def _parse_thread(fields: Mapping[str, Value]) -> ThreadFrame:
    return ThreadFrame(_int(fields, "n"), _link(fields, "root"), _account(fields), _held(fields))


def _parse_concerning(fields: Mapping[str, Value]) -> Concerning:
    return Concerning(_int(fields, "n"), _account(fields), _held(fields))


def _held(fields: Mapping[str, Value]) -> tuple[bytes, ...]:
    rows = _list(fields, "held") if "held" in fields else []
    held = tuple(row for row in rows if type(row) is bytes and len(row) == limits.TIP_BYTES)
    if len(held) != len(rows) or len(held) > limits.MAX_HELD:
        raise MalformedFrame(f"held: not at most {limits.MAX_HELD} times {limits.TIP_BYTES} bytes of a digest")
    return held


def _parse_given(fields: Mapping[str, Value]) -> Given:
    is_more = fields.get("more")
    if not isinstance(is_more, bool):
        raise MalformedFrame("given: more is neither true nor false")
    if "account" not in fields:
        if is_more or not fields.keys().isdisjoint(("items", "ops", "profile")):
            raise MalformedFrame("given: of no account")
        return Given(_int(fields, "n"))
    ops, items, profile = _parse_records(fields)
    return Given(_int(fields, "n"), _account(fields), ops, items, is_more, profile)


def _parse_offer(fields: Mapping[str, Value]) -> Offer:
    ops, items, profile = _parse_records(fields)
    return Offer(_link(fields, "about"), _account(fields), ops, items, profile)


def _parse_records(fields: Mapping[str, Value]) -> tuple[tuple[Operation, ...], tuple[Item, ...], Item | None]:
    ops = tuple(_parse_operation(row) for row in _list(fields, "ops")) if "ops" in fields else ()
    items = tuple(_parse_item(row) for row in _list(fields, "items"))
    if not items:
        raise MalformedFrame("records: none")
    if len(ops) > limits.MAX_GIVEN_OPS or len(items) > limits.MAX_GIVEN_ITEMS:
        raise MalformedFrame("records: too many at once")
    return ops, items, _parse_item(fields["profile"]) if "profile" in fields else None


def _parse_credit(fields: Mapping[str, Value]) -> Credit:
    granted = _int(fields, "bytes")
    if granted == 0:
        raise MalformedFrame("credit: of nothing")
    return Credit(granted)


def _parse_caught_up(fields: Mapping[str, Value]) -> CaughtUp:
    return CaughtUp(_int(fields, "wants"))


def _parse_error(fields: Mapping[str, Value]) -> ErrorFrame:
    return ErrorFrame(
        _text(fields, "code", limits.MAX_ERROR_CODE_BYTES), _text(fields, "text", limits.MAX_ERROR_TEXT_BYTES)
    )


_PARSERS: Final[dict[str, Callable[[Mapping[str, Value]], Frame]]] = {
    "hello": _parse_hello,
    "carries": _parse_carries,
    "want": _parse_want,
    "ranges": _parse_ranges,
    "entries": _parse_entries,
    "runs": _parse_runs,
    "find": _parse_find,
    "found": _parse_found,
    "peers": lambda _: PeersFrame(),
    "known": _parse_known,
    "points": _parse_points,
    "need": _parse_need,
    "thread": _parse_thread,
    "concerning": _parse_concerning,
    "given": _parse_given,
    "offer": _parse_offer,
    "credit": _parse_credit,
    "caught_up": _parse_caught_up,
    "error": _parse_error,
}


def _int(fields: Mapping[str, Value], name: str) -> int:
    value = fields.get(name)
    if type(value) is not int or not 0 <= value <= _MAX_INT:
        raise MalformedFrame(f"{name} is no number from 0 to 2^63-1")
    return value


def _text(fields: Mapping[str, Value], name: str, max_bytes: int) -> str:
    value = fields.get(name)
    if type(value) is not str or len(value.encode()) > max_bytes:
        raise MalformedFrame(f"{name} is no text of at most {max_bytes} bytes")
    return value


def _list(fields: Mapping[str, Value], name: str) -> list[Value]:
    value = fields.get(name)
    if not isinstance(value, list):
        raise MalformedFrame(f"{name} is no list")
    return value


def _key(fields: Mapping[str, Value], name: str) -> PublicKey:
    value = fields.get(name)
    if type(value) is not bytes or len(value) != KEY_BYTES:
        raise MalformedFrame(f"{name} is no key of {KEY_BYTES} bytes")
    return PublicKey(value)


def _account(fields: Mapping[str, Value]) -> Cid:
    return _link(fields, "account")


def _link(fields: Mapping[str, Value], name: str) -> Cid:
    value = fields.get(name)
    if not isinstance(value, Cid) or not value.is_dag_cbor:
        raise MalformedFrame(f"{name} is no link to a dag-cbor block")
    return value


def _links(fields: Mapping[str, Value], name: str) -> tuple[Cid, ...]:
    links: list[Cid] = []
    for value in _list(fields, name):
        if not isinstance(value, Cid) or not value.is_dag_cbor:
            raise MalformedFrame(f"{name} holds something that is no link to a dag-cbor block")
        links.append(value)
    return tuple(links)
