"""Enquiring: asking around about one account now, for somebody who waits and wants to judge.

Peers are asked what they hold about it, from different networks before several
of one; keepers are asked for what is missing here, and for an entry that is held
here, drawn by chance. What they sign goes into the store, as it always does.
Silence is counted, and says nothing about anybody.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from os import urandom
from typing import Final

import trio

from unhush.gossip.errors import MalformedAddress, NotConnected, StreamBroken, StreamRefused
from unhush.gossip.net.host import Host
from unhush.gossip.net.keep.challenging import Challenging
from unhush.gossip.net.keep.conversing import Conversation
from unhush.gossip.net.keep.shelf import is_fresh, trusted_first
from unhush.gossip.net.wire.roster import ConnectedPeer
from unhush.gossip.proto.addresses import parse_address
from unhush.gossip.proto.faults import SyncFault
from unhush.gossip.proto.proving import Pair
from unhush.gossip.proto.statements import NONCE_BYTES, About, Items, Prove, ToldStatement
from unhush.identity.cid import Cid
from unhush.storage.errors import StorageError
from unhush.storage.store import Store

log = logging.getLogger(__name__)

# Peers asked what they hold, and for how long each is waited for.
MAX_PEERS: Final = 8
ASK_S: Final = 10.0
# Keepers asked to show what they hold, at most so many at once, and how many missing entries of each.
MAX_KEEPERS: Final = 16
MAX_AT_ONCE: Final = 4
MAX_MISSING: Final = 4
# Somebody else's enquiry under way is waited for by nobody.
MAX_ENQUIRIES: Final = 4


@dataclass(slots=True)
class Enquiry:
    """How far it is. Read from any thread, changed on the network's."""

    peers: int = 0  # to be asked
    answered: int = 0
    networks: set[str] = field(default_factory=set)  # of those that answered: an IPv4 /16 or IPv6 /32 counts once
    keepers: int = 0
    keepers_answered: int = 0
    is_done: bool = False


Take = Callable[[str | None, Sequence[ToldStatement]], Awaitable[int]]


class Enquiring:
    """``take`` puts what a peer gave into the store; ``challenge`` has a keeper show an entry that is held here."""

    def __init__(
        self,
        host: Host,
        store: Store,
        *,
        clock_ms: Callable[[], int],
        challenging: Challenging,
        take: Take,
        challenge: Callable[[Pair], Awaitable[bool]],
    ) -> None:
        self._host = host
        self._store = store
        self._clock_ms = clock_ms
        self._challenging = challenging
        self._take = take
        self._challenge = challenge
        self._under_way = 0

    async def enquire(self, account: Cid, missing: Sequence[Cid], enquiry: Enquiry) -> None:
        """Ask peers, then keepers for ``missing`` entries; ``enquiry`` says how far it is."""
        try:
            if self._under_way >= MAX_ENQUIRIES:
                return
            self._under_way += 1
            try:
                await self._ask_peers(account, enquiry)
                await self._ask_keepers(account, missing[:MAX_MISSING], enquiry)
            finally:
                self._under_way -= 1
        except Exception:  # ours, or a full disk; no enquiry is worth the network
            log.exception("an enquiry failed account=%s", account)
        finally:
            enquiry.is_done = True

    # -- peers

    async def _ask_peers(self, account: Cid, enquiry: Enquiry) -> None:
        peers = choose_peers(self._host.connected(), MAX_PEERS)
        enquiry.peers = len(peers)
        async with trio.open_nursery() as nursery:
            for peer in peers:
                nursery.start_soon(self._ask_peer, peer, account, enquiry)

    async def _ask_peer(self, peer: ConnectedPeer, account: Cid, enquiry: Enquiry) -> None:
        try:
            with trio.fail_after(ASK_S):
                async with Conversation(self._host, peer.peer_id) as conversation:
                    answer = await conversation.ask(About((account,)))
            if isinstance(answer, Items):
                await self._take(peer.peer_id, answer.items)
                enquiry.answered += 1
                enquiry.networks.add(network_of(peer))
        except (StreamRefused, NotConnected, StreamBroken, trio.TooSlowError) as exc:
            log.debug("no answer to an enquiry peer=%s reason=%s", peer.peer_id, exc)
        except SyncFault as exc:
            self._host.report_fault(peer.peer_id, f"{type(exc).__name__}: {exc}")
        except StorageError as exc:
            log.warning("statements not kept peer=%s reason=%s", peer.peer_id, exc)

    # -- keepers

    async def _ask_keepers(self, account: Cid, missing: Sequence[Cid], enquiry: Enquiry) -> None:
        keepers = await trio.to_thread.run_sync(self._find_keepers, account)
        enquiry.keepers = len(keepers)
        places = trio.CapacityLimiter(MAX_AT_ONCE)
        async with trio.open_nursery() as nursery:
            for keeper in keepers:
                nursery.start_soon(self._ask_keeper, Pair(account, keeper), missing, enquiry, places)

    def _find_keepers(self, account: Cid) -> list[Cid]:
        """On a thread."""
        now_ms = self._clock_ms()
        with self._store.snapshot() as snapshot:
            own = snapshot.own_account()
            receipts = [each for each in trusted_first(snapshot, account) if is_fresh(each, now_ms)]
        return list(dict.fromkeys(each.account for each in receipts if each.account != own))[:MAX_KEEPERS]

    async def _ask_keeper(
        self, pair: Pair, missing: Sequence[Cid], enquiry: Enquiry, places: trio.CapacityLimiter
    ) -> None:
        async with places:
            has_answered = False
            for entry in missing:
                given = await self._challenging.ask(pair.keeper, Prove(pair.of, entry, urandom(NONCE_BYTES)))
                if given:
                    has_answered = True
                    await self._take(None, given)
            has_answered = await self._challenge(pair) or has_answered
            enquiry.keepers_answered += has_answered


def choose_peers(peers: Sequence[ConnectedPeer], most: int) -> list[ConnectedPeer]:
    """One of each network before a second of any: whoever runs many machines mostly runs them in one place."""
    seen: dict[str, int] = {}
    ranked = []
    for at, peer in enumerate(peers):
        network = network_of(peer)
        seen[network] = seen.get(network, 0) + 1
        ranked.append((seen[network], at, peer))
    return [peer for *_, peer in sorted(ranked, key=lambda each: each[:2])[:most]]


def network_of(peer: ConnectedPeer) -> str:
    """The IPv4 /16 or IPv6 /32 a peer is in; what cannot be told apart is one."""
    try:
        return parse_address(peer.address).block
    except MalformedAddress:
        return ""
