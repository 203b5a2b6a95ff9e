"""Frames as bytes: the one encoding of each (PROTOCOL §5)."""

from unhush.gossip.proto import limits
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
    Need,
    Offer,
    Operation,
    PeersFrame,
    Points,
    RangesFrame,
    Reason,
    RunsFrame,
    ThreadFrame,
    Want,
    WantedAccount,
)
from unhush.identity.codec import Value, encode


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
            rest: dict[str, Value] = {"again": frame.again} if frame.again else {}
            rest |= {"sought": frame.sought} if frame.sought else {}
            return encode({"type": "carries", "add": frame.add, "drop": frame.drop, **rest})
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
