"""The sync sessions of a host: one with each neighbour, opened by the peer whose id sorts lower.

One that ends is opened again while the connection stands, and a peer opens only so many. What a session
begins with, and who wants to know that it opened or ended, whoever makes this says in ``SessionHooks``.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

import trio

from unhush.gossip.errors import NotConnected, StreamBroken, StreamRefused
from unhush.gossip.net.host import ConnectedPeer, Host
from unhush.gossip.net.intake import Submit
from unhush.gossip.net.sync.session import Reports, SyncSession
from unhush.gossip.net.wire.stream import Stream
from unhush.gossip.proto.config import SessionConfig
from unhush.gossip.proto.events import Concerns, Event, InterestsChanged
from unhush.gossip.proto.pacing import Allowances
from unhush.gossip.proto.tally import Met
from unhush.identity.cid import Cid
from unhush.storage.store import Store

log = logging.getLogger(__name__)

SYNC = "/unhush/sync/1"

# A session that ended is opened again after this, doubling to the longest, while the connection stands.
FIRST_REOPEN_S = 1.0
LONGEST_REOPEN_S = 60.0

# Sessions a peer may open: each has us look up and name what we carry, for a hello of a hundred bytes. An honest one
# that ends at once comes back six times in the first minute.
MAX_OPENED = 30
OPENED_S = 60.0
# Peers of which that is remembered, whether they are connected or not.
MAX_OPENERS = 1_024

# What a peer was offered in a session of this length it is not offered again in the next: it had the time to take it.
OFFERED_S = 10.0


@dataclass(frozen=True, slots=True)
class SessionHooks:
    """What sessions need of whoever runs them."""

    configure: Callable[[], Awaitable[SessionConfig]]
    interests: Callable[[], InterestsChanged]
    opened: Callable[[SyncSession], None]
    closed: Callable[[SyncSession], None]
    left: Callable[[str], None]  # a peer has no session any more
    letters: Iterable[Concerns]  # records of others that are told to every peer anew


class Sessions:
    """On the network's loop, as long as its host."""

    def __init__(self, host: Host, store: Store, submit: Submit, *, reports: Reports, hooks: SessionHooks) -> None:
        self._host = host
        self._store = store
        self._submit = submit
        self._reports = reports
        self._hooks = hooks
        self._openers: dict[str, trio.CancelScope] = {}
        self._opened: Allowances[str] = Allowances(MAX_OPENED, OPENED_S, MAX_OPENERS)
        self._offered: dict[str, frozenset[Cid]] = {}  # records told of anew, by peer
        self._nursery: trio.Nursery | None = None
        self.open: dict[str, SyncSession] = {}
        """Those that run now, by the peer's id."""

    def serve(self, nursery: trio.Nursery) -> None:
        """Open and answer sessions from now on, as tasks of this nursery."""
        self._nursery = nursery
        self._host.handle(SYNC, self._serve)
        self._host.on_connected(self._connected)
        self._host.on_disconnected(self._disconnected)

    def close(self) -> None:
        """The nursery has ended: no more are opened."""
        self._nursery = None

    def tell_all(self, event: Event) -> None:
        """To every session."""
        for session in self.open.values():
            session.tell(event)

    def end_all(self) -> None:
        """Each begins anew."""
        for session in self.open.values():
            session.end()

    def likeliest(self, account: Cid) -> list[str]:
        """Whom to ask for what an account's records name: first those who say that they carry it."""
        return sorted(self.open, key=lambda peer_id: account not in self.open[peer_id].peer_carries)

    def _connected(self, peer: ConnectedPeer) -> None:
        log.info("connected peer=%s address=%s inbound=%s", peer.peer_id, peer.address, peer.inbound)
        if self._host.peer_id < peer.peer_id and self._nursery is not None:
            self._openers[peer.peer_id] = scope = trio.CancelScope()
            self._nursery.start_soon(self._keep_open, peer.peer_id, scope)

    def _disconnected(self, peer: ConnectedPeer) -> None:
        log.info("disconnected peer=%s", peer.peer_id)
        if scope := self._openers.pop(peer.peer_id, None):
            scope.cancel()

    async def _keep_open(self, peer_id: str, scope: trio.CancelScope) -> None:
        delay_s = FIRST_REOPEN_S
        with scope:
            while True:
                try:
                    started_at = trio.current_time()
                    await self._sync(await self._host.open_stream(peer_id, SYNC))
                    if trio.current_time() - started_at > LONGEST_REOPEN_S:
                        delay_s = FIRST_REOPEN_S
                except (StreamRefused, NotConnected) as exc:
                    log.debug("no sync peer=%s reason=%s", peer_id, exc)
                await trio.sleep(delay_s)
                delay_s = min(2 * delay_s, LONGEST_REOPEN_S)

    async def _serve(self, stream: Stream) -> None:
        if not self._may_open(stream.peer_id):
            self._host.tally.count(Met.STREAM_REFUSED)
            raise StreamBroken("one session after the other")
        await self._sync(stream)

    def _may_open(self, peer_id: str) -> bool:
        return self._opened.spend(peer_id, 1, trio.current_time())

    async def _sync(self, stream: Stream) -> None:
        config = await self._hooks.configure()
        offered = self._offered.get(stream.peer_id, frozenset())
        session = SyncSession(
            stream,
            self._store,
            self._submit,
            config=config,
            reports=self._reports,
            letters=self._hooks.letters,
            offered=offered,
        )
        started_at = trio.current_time()
        before = self.open.get(session.peer_id)
        if before is not None:
            before.end()  # of a connection that is gone, or of a peer that opened twice
        self.open[session.peer_id] = session
        self._hooks.opened(session)
        fault = None
        try:
            fault = await session.run(self._hooks.interests())
        except* Exception:
            # A peer's faults are returned, so what is raised is ours (a damaged row, a bug): it is not held against
            # the peer, and costs this session alone.
            log.exception("sync session failed peer=%s", session.peer_id)
            await stream.reset()
        finally:
            self._hooks.closed(session)
            if trio.current_time() - started_at >= OFFERED_S:
                self._remember_offered(session)
            if self.open.get(session.peer_id) is session:
                del self.open[session.peer_id]
                self._hooks.left(session.peer_id)
        if fault is not None:
            self._host.report_fault(session.peer_id, fault)

    def _remember_offered(self, session: SyncSession) -> None:
        self._offered.pop(session.peer_id, None)
        self._offered[session.peer_id] = session.offered
        if len(self._offered) > MAX_OPENERS:
            del self._offered[next(iter(self._offered))]
