"""Frames from bytes: whatever a peer sent becomes a frame that keeps every bound, or a named fault (PROTOCOL §5)."""

from collections.abc import Callable, Mapping
from typing import Final

from unhush.gossip.proto import limits
from unhush.gossip.proto.carriage import is_carriage
from unhush.gossip.proto.faults import MalformedFrame, OtherVersion
from unhush.gossip.proto.frames import (
    Carries,
    CaughtUp,
    Concerning,
    Credit,
    Entries,
    ErrorFrame,
    FindFrame,
    FoundFrame,
    Frame,
    Given,
    Hello,
    Item,
    KnownFrame,
    KnownPeer,
    Need,
    Offer,
    Operation,
    PeersFrame,
    Points,
    RangesFrame,
    Reason,
    Rows,
    RunsFrame,
    ThreadFrame,
    Want,
    WantedAccount,
)
from unhush.gossip.proto.ranges import BadRanges, Ranges
from unhush.identity.cid import Cid
from unhush.identity.codec import MAX_FRAME_BYTES, Value, decode_map_counted, has_more_items
from unhush.identity.errors import MalformedBytes
from unhush.identity.keys import KEY_BYTES, PublicKey

_MAX_INT: Final = 2**63 - 1
_NETWORK_CHARS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
_MAX_NETWORK_CHARS: Final = 32
_LAST_NIBBLE: Final = 15


def parse_frame(payload: bytes) -> Frame | None:
    """Read a payload; ``None`` for a type we do not know. Raises ``MalformedFrame`` or ``OtherVersion``."""
    return parse_counted(payload)[0]


def parse_counted(payload: bytes) -> tuple[Frame | None, int]:
    """As ``parse_frame``, and how many data items the payload holds."""
    try:
        fields, items = decode_map_counted(payload, max_bytes=MAX_FRAME_BYTES, max_items=limits.MAX_FRAME_ITEMS)
    except MalformedBytes as exc:
        raise MalformedFrame(str(exc)) from exc
    type_ = fields.get("type")
    if type(type_) is not str or not 1 <= len(type_.encode()) <= limits.MAX_TYPE_BYTES:
        raise MalformedFrame("a frame has no type")
    parse = _PARSERS.get(type_)
    return None if parse is None else parse(fields), items


def is_long(payload: bytes) -> bool:
    """Whether parsing it takes tens of milliseconds, and may do so again and again: whoever has others to serve
    meanwhile does it beside that. Of what is larger than control frames the first without true records is the last."""
    is_control = limits.LONG_FRAME_ITEMS < len(payload) <= limits.MAX_CONTROL_BYTES
    return is_control and has_more_items(payload, limits.LONG_FRAME_ITEMS)


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
    again, sought = (_links(fields, name) if name in fields else () for name in ("again", "sought"))
    return Carries(add, drop, again, sought)


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
