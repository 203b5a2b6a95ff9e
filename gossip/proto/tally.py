"""The tally: how often each bound was met, by name.

Whatever refuses, drops or shuts out counts it here, so that an operator sees what a node defends itself against.
Counts only grow; they begin at zero with the process.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final


class Met(StrEnum):
    """What is counted; the value is its name for people and machines."""

    PEER_FAULT = "peer_faults"
    PEER_BANNED = "peers_banned"
    SOCKET_REFUSED = "sockets_refused"
    VISIT_REFUSED = "visits_refused"
    HANDSHAKE_CUT = "handshakes_cut"
    PEER_REPLACED = "idle_peers_replaced"
    CONNECTION_REFUSED = "connections_refused"
    STREAM_REFUSED = "streams_refused"
    WINDOW_OVERRUN = "windows_overrun"
    UNREAD_CUT = "unread_cut"
    SLOW_PEER_CUT = "slow_peers_cut"
    GOSSIP_OVER_PEER_RATE = "gossip_over_peer_rate"
    GOSSIP_OVER_ACCOUNT_RATE = "gossip_over_account_rate"
    GOSSIP_READING_PAUSED = "gossip_reading_paused"
    GOSSIP_CONTROL_IGNORED = "gossip_control_ignored"
    GOSSIP_QUEUE_FULL = "gossip_queue_full"
    GOSSIP_NOT_SENT = "gossip_not_sent"
    OWN_GOSSIP_NOT_SENT = "own_gossip_not_sent"
    INGEST_FULL = "ingest_full"
    SESSION_BEHIND = "sessions_behind"
    NETWORK_RESTARTED = "network_restarts"
    RELAY_FULL = "relay_refusals"
    CIRCUIT_CUT = "relay_circuits_cut"
    DIALBACK_REFUSED = "dialbacks_refused"
    DHT_REFUSED = "dht_refusals"
    INVITE_PUT_OFF = "invites_put_off"
    NEIGHBOUR_IGNORED = "neighbours_ignored"
    OFFER_IGNORED = "offers_ignored"
    OFFER_NOT_SENT = "offers_not_sent"
    STATEMENTS_PUT_OFF = "statements_put_off"
    STATEMENT_IGNORED = "statements_ignored"
    STATEMENT_NOT_TOLD = "statements_not_told"
    PROOF_REFUSED = "proofs_refused"
    QUESTION_NOT_ASKED = "questions_not_asked"
    QUESTION_UNANSWERED = "questions_unanswered"
    BODY_NOT_ASKED = "bodies_not_asked"
    OFFER_FORGOTTEN = "offers_forgotten"
    FORK_SEARCH_LEFT = "fork_searches_left"
    EARLY_FORGOTTEN = "early_forgotten"
    PICTURE_REFUSED = "pictures_refused"
    PICTURE_NOT_FETCHED = "pictures_not_fetched"
    RELAYED_REFUSED = "relayed_callers_refused"
    ADDRESS_REFUSED = "addresses_refused"

    @property
    def words(self) -> str:
        """The same for people, many of them: "peers shut out"; a count stands beside it."""
        return _WORDS.get(self, self.value.replace("_", " "))


_WORDS: Final[Mapping[Met, str]] = {
    Met.PEER_FAULT: "faults of peers",
    Met.PEER_BANNED: "peers shut out for an hour",
    Met.SOCKET_REFUSED: "sockets refused for want of a place",
    Met.VISIT_REFUSED: "sockets refused from where peers come one after the other",
    Met.HANDSHAKE_CUT: "unfinished handshakes given up for a newcomer",
    Met.PEER_REPLACED: "peers of no use that gave way to a newcomer",
    Met.CONNECTION_REFUSED: "connections refused after the handshake",
    Met.STREAM_REFUSED: "streams refused beyond a peer's share",
    Met.WINDOW_OVERRUN: "connections cut for sending beyond their window",
    Met.UNREAD_CUT: "connections cut because too much was unread in all",
    Met.SLOW_PEER_CUT: "streams and connections cut for being slow",
    Met.GOSSIP_OVER_PEER_RATE: "gossip messages beyond a peer's rate",
    Met.GOSSIP_OVER_ACCOUNT_RATE: "gossip messages beyond an account's rate",
    Met.GOSSIP_READING_PAUSED: "pauses in reading gossip from a peer",
    Met.GOSSIP_CONTROL_IGNORED: "gossip control entries ignored",
    Met.GOSSIP_QUEUE_FULL: "gossip messages dropped from a full queue",
    Met.GOSSIP_NOT_SENT: "gossip frames not sent to a peer that takes them too slowly",
    Met.OWN_GOSSIP_NOT_SENT: "announcements of your own not sent to such a peer",
    Met.INGEST_FULL: "gossip messages turned away by a full ingest",
    Met.SESSION_BEHIND: "sync sessions begun anew because they could not keep up",
    Met.NETWORK_RESTARTED: "restarts of the network",
    Met.RELAY_FULL: "places and circuits refused as a relay",
    Met.CIRCUIT_CUT: "circuits cut as a relay, for time, for bytes or for a newcomer",
    Met.DIALBACK_REFUSED: "calls back to peers not tried (asked too often, at a port never called, or of this machine)",
    Met.DHT_REFUSED: "entries of the DHT refused for want of room",
    Met.INVITE_PUT_OFF: "acceptances of invites put off, or cut for their number",
    Met.NEIGHBOUR_IGNORED: "announcements on the local network passed over for want of room",
    Met.OFFER_IGNORED: "strangers' records passed over, offered faster than people write",
    Met.OFFER_NOT_SENT: "strangers' records not passed on for want of room",
    Met.STATEMENTS_PUT_OFF: "questions about statements put off beyond a peer's share",
    Met.STATEMENT_IGNORED: "statements passed over, told faster than people sign",
    Met.STATEMENT_NOT_TOLD: "statements not told to a peer for want of room",
    Met.PROOF_REFUSED: "challenges not answered, asked more often than any use of it",
    Met.QUESTION_NOT_ASKED: "questions not put to a peer, which left too many unanswered",
    Met.QUESTION_UNANSWERED: "questions a peer did not answer in time",
    Met.BODY_NOT_ASKED: "words of records left to sync, for too many were lacking at once",
    Met.OFFER_FORGOTTEN: "accounts a peer came to carry when records that concern them were no longer kept for it",
    Met.FORK_SEARCH_LEFT: "searches for a fork left to another session",
    Met.EARLY_FORGOTTEN: "accounts of clocks ahead of ours left to another session, for there were too many",
    Met.PICTURE_REFUSED: "requests for pictures refused beyond a peer's share, or for want of a place",
    Met.PICTURE_NOT_FETCHED: "pictures not asked for, for too many were waited for",
    Met.RELAYED_REFUSED: "callers through relays refused for want of a place",
    Met.ADDRESS_REFUSED: "addresses told by peers and not remembered (none at all, or of use only where they are)",
}

# Met between healthy nodes too: each says where it listens, also at addresses that mean nothing elsewhere, and asks
# to be called back at a port that nobody else may want. Counted all the same, but no news to a person.
EVERYDAY: Final = frozenset({Met.DIALBACK_REFUSED, Met.ADDRESS_REFUSED})


class Tally:
    """Counts of one node; counting happens on the network's loop, reading may from any thread."""

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock
        self._counts: dict[Met, int] = dict.fromkeys(Met, 0)
        self._met_at: dict[Met, float] = {}

    def count(self, met: Met, by: int = 1) -> None:
        self._counts[met] += by
        if self._clock is not None:
            self._met_at[met] = self._clock()

    def read(self) -> Mapping[Met, int]:
        """Every count there is, also those that are zero."""
        return dict(self._counts)

    def met_at(self) -> Mapping[Met, float]:
        """When each was met last, by the clock given; without one, empty."""
        return dict(self._met_at)
