"""What the store holds as it travels, and what came as the store takes it in."""

from collections.abc import Iterable
from typing import assert_never

from unhush.gossip.proto.events import Grew
from unhush.gossip.proto.frames import Concerning, Item, Need, Operation, Question, Reason, ThreadFrame
from unhush.identity.cid import Cid
from unhush.storage.arrivals import Arrival, Welcome
from unhush.storage.records import STATE_OF_REASON, BodyState, Record


def item_of(record: Record) -> Item:
    """A record of a log; without its body it says why."""
    reason = None if record.body is not None else Reason(record.body_state.name.lower())
    return Item(record.block, record.body, reason)


def operation_of(record: Record) -> Operation:
    """An identity operation."""
    return Operation(record.block, record.body or b"")


def grew(record: Record) -> Grew:
    """The news of a record that the journal gained."""
    header = record.entry.header
    return Grew(record.account, None if header.is_identity else header.key, header.seq, record.cid)


def arrivals_of(
    account: Cid,
    ops: Iterable[Operation],
    items: Iterable[Item],
    *,
    may_be_vouched: bool = False,
    reason: Question | Cid | None = None,
    profile: Item | None = None,
) -> tuple[Arrival, ...]:
    """What a peer gave of one account, operations first; ``reason``: the question it answers, or whom it concerns."""
    welcome, about = _reason_of(reason)
    found = [Arrival(op.entry, op.body, account=account, welcome=welcome) for op in ops]
    found += [_arrival(item, account, may_be_vouched, welcome, about) for item in items]
    if profile is not None:
        found.append(_arrival(profile, account, False, Welcome.INTRODUCING, None))
    return tuple(found)


def _arrival(item: Item, account: Cid, may_be_vouched: bool, welcome: Welcome, about: Cid | None) -> Arrival:
    state = STATE_OF_REASON[item.reason.value] if item.reason is not None else BodyState.UNKNOWN
    return Arrival(item.entry, item.body, state, account, may_be_vouched, welcome, about)


def _reason_of(reason: Question | Cid | None) -> tuple[Welcome, Cid | None]:
    """Why what came is welcome, and what that is held against."""
    match reason:
        case None:
            return Welcome.CARRIED, None
        case Need():
            return Welcome.ASKED, None
        case ThreadFrame(root=root):
            return Welcome.ANSWERING, root
        case Concerning(account=account):
            return Welcome.CONCERNING, account
        case Cid():
            return Welcome.CONCERNING, reason
        case _:
            assert_never(reason)
