"""The bounds of THREATS "Wire", looked at from inside: what each machine of a node holds, against its maximum.

Public behaviour says nothing of a queue that grows; so this reads what is
private to the machines, and is the only place that does.
"""

from typing import TYPE_CHECKING, Final

from unhush.gossip.proto import addresses, choosing, limits, proving, remembering, telling
from unhush.gossip.proto.asking import Asking
from unhush.gossip.proto.letters import MAX_LETTERS
from unhush.gossip.proto.outbox import Outbox
from unhush.gossip.proto.receiving import Receiving
from unhush.gossip.proto.sending import Sending
from unhush.gossip.proto.session import Session
from unhush.gossip.proto.untold import MAX_UNTOLD
from unhush.testing.errors import LimitExceeded

if TYPE_CHECKING:
    from unhush.testing.end import SessionEnd
    from unhush.testing.node import SimNode
    from unhush.testing.statements import Keeping

# Of the state a session offers, what the peer may claim to carry; the rest is for what it wants.
_CARRIED_BYTES: Final = limits.MAX_STATE_BYTES // limits.CARRIES_SHARE
_WANTED_BYTES: Final = limits.MAX_STATE_BYTES - _CARRIED_BYTES
_MAX_TOLD: Final = addresses.BUCKETS * addresses.MAX_PEERS_PER_BUCKET
# Accounts that a peer can pay for to be remembered.
_MAX_WANTED: Final = _WANTED_BYTES // limits.ACCOUNT_COST
# Wants that are not answered; the one too many is the peer's last.
_MAX_WANTS: Final = limits.MAX_WANTS_OPEN
# What may wait for the stream: the bound of the machine, the frame that passed it, and the answers and control frames
# that are not made to wait.
_MAX_UNWRITTEN: Final = limits.MAX_UNWRITTEN_BYTES + limits.MAX_FRAME_LIMIT_BYTES + 65_536
# Questions of a peer: those it waits for, and those it gave up.
_MAX_QUESTIONS: Final = limits.MAX_QUESTIONS + limits.MAX_LATE_QUESTIONS
# Sessions at the same time: one for each connection, and one more for each that is being replaced.
_MAX_SESSIONS: Final = 96


def check_node(node: "SimNode") -> None:
    """Raises ``LimitExceeded``."""
    book, chooser = node._book, node._chooser
    _check(node, "peers in the book", len(book._told), _MAX_TOLD)
    _check(node, "peers chosen", len(book._chosen), addresses.MAX_CHOSEN_PEERS)
    _check(node, "peers remembered", len(chooser._memories.items()), remembering.MAX_REMEMBERED)
    _check(node, "bytes of what peers carry", chooser._memories._carriage_bytes, remembering.MAX_CARRIAGE_TOTAL)
    _check(node, "dials", len(chooser._dialling), choosing.MAX_DIALS)
    outbound = sum(not link.is_inbound for link in chooser._links.values())
    _check(node, "connections it dialled", outbound, choosing.MAX_OUTBOUND + 1)
    _check(node, "letters of others", len(node._letters._letters), MAX_LETTERS)
    _check(node, "sessions", len(node.sessions), _MAX_SESSIONS)
    for session in node.sessions.values():
        _check_session(node, session)
    if node._keeping is not None:
        _check_keeping(node, node._keeping)


def _check_keeping(node: "SimNode", keeping: "Keeping") -> None:
    _check(node, "keepers to challenge", len(keeping._proving._turns), proving.MAX_PAIRS)
    _check(node, "accounts to ask about", len(keeping._telling._wanted), telling.MAX_WANTED)
    for peer in keeping._telling._peers.values():
        _check(node, "statements that wait for a peer", len(peer.queue), telling.MAX_QUEUED)


def _check_session(node: "SimNode", session: "SessionEnd") -> None:
    machine = session.machine
    _check(node, "events that a session was not told of", session.untold, MAX_UNTOLD)
    _check_outbox(node, machine, machine._outbox)
    if machine._halves is not None:
        _check_receiving(node, session, machine._halves[0])
        _check_sending(node, machine._halves[1])
    if machine._asking is not None:
        _check_asking(node, machine._asking)


def _check_outbox(node: "SimNode", machine: Session, outbox: Outbox) -> None:
    _check(node, "bytes that no stream took", outbox._unwritten, _MAX_UNWRITTEN)
    _check(node, "actions of a step that is over", len(outbox._actions), 0)
    _check(node, "reads under way", len(machine._reads), limits.SUMMARIES_AT_ONCE + limits.MAX_RUNS)


def _check_asking(node: "SimNode", asking: Asking) -> None:
    _check(node, "questions that wait to be asked", len(asking._to_ask), limits.MAX_WAITING_QUESTIONS)
    _check(node, "questions asked", len(asking._asked), _MAX_QUESTIONS)
    _check(node, "questions of a peer", len(asking._answers), _MAX_QUESTIONS)
    for answer in asking._answers:
        _check(node, "bytes of an answer", answer.size_bytes, limits.MAX_GIVEN_BYTES)
        _check(node, "records of an answer", answer.records, limits.MAX_ANSWERS)
    _check(node, "records that concern nobody yet", len(asking._unheard), limits.MAX_WAITING_OFFERS)
    _check(node, "accounts missed", len(asking._missed), limits.MAX_MISSED)
    _check(node, "records to offer", len(asking._to_offer), limits.MAX_WAITING_OFFERS)
    _check(node, "records being offered", len(asking._offering), limits.OFFERS_SENT_AT_ONCE + 1)
    _check(node, "records known to be at a peer", len(asking._at_peer), limits.MAX_KNOWN_AT_PEER)


def _check_receiving(node: "SimNode", session: "SessionEnd", receiving: Receiving) -> None:
    _check(node, "bytes of what a peer carries", len(receiving._carried) * limits.CARRIED_COST, _CARRIED_BYTES)
    _check(node, "logs reached", len(receiving._reached), limits.MAX_STRAY_LOGS)
    deliveries = receiving.deliveries
    _check(node, "deliveries", len(deliveries), session.window_bytes // limits.MIN_ENTRIES_COST)
    outstanding = sum(delivery.cost for delivery in deliveries._outstanding.values())
    credit = deliveries._given + deliveries._due + deliveries._kept + outstanding
    if credit != session.window_bytes:
        raise LimitExceeded(f"{session}: {credit} bytes of credit in all, where the window is {session.window_bytes}")
    _check(node, "bytes of state asked for", receiving._state_used, receiving._state_offered)


def _check_sending(node: "SimNode", sending: Sending) -> None:
    serving, wants = sending.serving, sending.serving._wants
    _check(node, "bytes of what a peer wants", serving._state_used, _WANTED_BYTES)
    _check(node, "logs a peer made up", serving._stray_logs, limits.MAX_STRAY_LOGS)
    _check(node, "proofs that wait", len(sending._proofs), limits.MAX_PROOFS)
    _check(node, "wants of a peer that are not answered", wants._received - wants._told, _MAX_WANTS)
    _check(node, "wants of a peer with accounts that are open", len(wants._open), _MAX_WANTS)
    if not all(wants._open.values()):
        raise LimitExceeded(f"{node.name}: remembers wants of which no account is open")
    _check(node, "wants that are done and not told", len(wants._finished), _MAX_WANTS)
    finished = sum(map(len, wants._finished.values()))
    _check(node, "accounts that are done and not told", finished, len(serving._served))
    if serving._compared is not None:
        _check(node, "accounts sought", len(serving._compared._sought), limits.MAX_WAITING_OFFERS)
    _check(node, "accounts that may be forgotten", len(serving._light), limits.MAX_LIGHT)
    _check(node, "accounts served", len(serving._served), _MAX_WANTED + limits.MAX_LIGHT)
    _check(node, "bytes of credit", sending.freight.credit_bytes, limits.MAX_WINDOW_BYTES)
    for served in serving._served.values():
        for log in served.logs.values():
            _check(node, "ranges held of a log", len(log.held), limits.MAX_RANGES)
            for todo in log.todo:
                _check(node, "ranges to send of a log", len(todo), limits.MAX_RANGES)


def _check(node: "SimNode", what: str, count: int, most: int) -> None:
    if count > most:
        raise LimitExceeded(f"{node.name}: {count} {what}, at most {most}")
