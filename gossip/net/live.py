"""Everything that stands upon one running host: who is made of what, and what is told to whom.

The journal tells what is new; sessions, the mesh, the chooser and the askers hear of it here.
"""

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import replace

import trio

from unhush.gossip.net.acquaintances import Acquaintances
from unhush.gossip.net.announcing import Announcer
from unhush.gossip.net.config import NetworkConfig
from unhush.gossip.net.hearing import ShardGossip
from unhush.gossip.net.host import Host
from unhush.gossip.net.intake import Submit
from unhush.gossip.net.keep.enquiring import Enquiry
from unhush.gossip.net.keep.service import StatementService
from unhush.gossip.net.meet.dht import Dht
from unhush.gossip.net.meet.meeting import Meeting
from unhush.gossip.net.pinging import ping_connected
from unhush.gossip.net.reach.reaching import Reaching
from unhush.gossip.net.sessions import SessionHooks, Sessions
from unhush.gossip.net.status import NetworkStatus, SyncState
from unhush.gossip.net.sync.asking import Asker
from unhush.gossip.net.sync.blobs import BlobService
from unhush.gossip.net.sync.concerning import find_newest_concerns
from unhush.gossip.net.sync.follower import JournalFollower, News, find_own
from unhush.gossip.net.sync.heads import Heads
from unhush.gossip.net.sync.seeking import Sought
from unhush.gossip.net.sync.session import Reports, SyncSession
from unhush.gossip.net.wire.metering import Figures
from unhush.gossip.proto import limits
from unhush.gossip.proto.config import Own, SessionConfig
from unhush.gossip.proto.events import (
    AskForPeers,
    Concerns,
    Event,
    Find,
    HoleSeen,
    InterestsChanged,
    OwnChecked,
    Refolded,
)
from unhush.gossip.proto.letters import Letters
from unhush.identity.cid import Cid
from unhush.storage.store import Store

log = logging.getLogger(__name__)

# How often logs are looked for of which a cut leaves something in force that is not held here, and full accounts with
# room again.
INCOMPLETE_EVERY_S = 60.0

# So long nobody is dialled while the accounts carried are looked up for the first time: some 5,000 of them.
FIRST_LOOK_S = 0.5


class Live:
    """Made with a host that runs; ends with it."""

    def __init__(self, host: Host, store: Store, submit: Submit, *, config: NetworkConfig, sought: Sought) -> None:
        self._host = host
        self._store = store
        self._config = config
        self._sought = sought
        self._interests = InterestsChanged(frozenset(), frozenset())
        self._interests_changed = trio.Event()
        self._nursery: trio.Nursery | None = None
        self._letters = Letters()
        self._follower = JournalFollower(store, self._heard_of)
        self._heads = Heads(store)
        self.acquaintances = Acquaintances(
            host,
            store,
            seed=config.seed,
            exchange=config.exchange,
            is_guest=config.is_guest,
            ask=self._ask_for_peers,
        )
        self._gossip = ShardGossip(
            host,
            store,
            submit,
            network=config.network,
            hole_seen=self._hole_seen,
            tally=host.tally,
            lacks=self._lacks,
        )
        self.announcer = Announcer(store, self._gossip)
        self.sessions = Sessions(host, store, submit, reports=self._reports(), hooks=self._hooks())
        self.asker = Asker(
            store, self.sessions.open, seed=config.seed + os.urandom(16), count=host.tally.count
        )  # another choice in every run
        self.meeting = Meeting(
            host, config.meeting, network=config.network, seed=config.seed, enter=self.acquaintances.enter
        )
        self.reaching = Reaching(host, is_relay=config.is_relay, count=host.tally.count)
        self._blobs = BlobService(host, store, self.sessions.likeliest)
        self.statements = StatementService(
            host, store, network=config.network, learn=self.acquaintances.heard_card, config=config.keep
        )
        self._dht = self._make_dht() if config.uses_dht else None
        host.weigh(self._worth_of)

    def _reports(self) -> Reports:
        """Whom sessions tell what comes to light."""
        return Reports(
            self.announcer.checked,
            self.announcer.left,
            self._sought.found,
            of_peers=self.acquaintances.heard,
            carries=self.acquaintances.carries,
            gave=self.acquaintances.gave,
            met=self._host.tally.count,
        )

    def _hooks(self) -> SessionHooks:
        return SessionHooks(
            configure=self._session_config,
            interests=lambda: self._interests,
            opened=self._opened,
            closed=self.announcer.closed,
            left=self.acquaintances.session_ended,
            letters=self._letters,
        )

    def _make_dht(self) -> Dht:
        return Dht(
            self._host,
            self._config.network,
            learn=self.acquaintances.learn,
            carried=self._carried_for_others,
            lacking=self.acquaintances.chooser.uncovered,
            count=self._host.tally.count,
            is_guest=self._config.is_guest,
        )

    async def run(self, when_ready: Callable[[], None]) -> None:
        """Until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                self.sessions.serve(nursery)
                self._blobs.serve()
                self.statements.start()
                self._read_interests()
                self.acquaintances.start()
                nursery.start_soon(self._recall_letters)
                nursery.start_soon(self._heads.run)
                nursery.start_soon(self._follower.run)
                nursery.start_soon(self.announcer.run)
                nursery.start_soon(self.asker.run)
                nursery.start_soon(self._keep_interests)
                nursery.start_soon(self._look_for_holes)
                nursery.start_soon(self._meet_others)
                nursery.start_soon(self.reaching.run)
                nursery.start_soon(self.statements.run)
                if self._dht is not None:
                    nursery.start_soon(self._dht.run)
                nursery.start_soon(self.meeting.run)
                when_ready()
                await trio.sleep_forever()
        finally:
            self._nursery = None  # what is asked from now on finds nobody
            self.sessions.close()
            with trio.CancelScope(shield=True):
                await self.announcer.save()

    async def _meet_others(self) -> None:
        """Dial, once it is known what there is to compare: before that no session can begin, and the look-ups make a
        handshake wait at each of its steps."""
        await self._heads.ready(FIRST_LOOK_S)
        await self.acquaintances.run()

    # -- what it is now

    def status(self) -> NetworkStatus:
        """Callable from any thread."""
        return NetworkStatus(
            self._host.peer_id,
            self._host.addresses(),
            self._host.connected(),
            self.announcer.count_checked(),
            figures=self._figures(),
            standings=self.acquaintances.chooser.standings(),
            sync=self._sync_state(),
        )

    def _sync_state(self) -> SyncState:
        sessions = list(self.sessions.open.values())
        chooser = self.acquaintances.chooser
        wanted, covered = chooser.coverage()
        waiting = [session for session in sessions if session.is_waiting]
        silent = tuple(session.peer_id for session in waiting if session.is_silent)
        return SyncState(len(sessions), len(waiting) - len(silent), chooser.dialling, wanted, covered, silent)

    def _figures(self) -> Figures:
        sessions = list(self.sessions.open.values())
        return Figures(
            sessions=len(sessions),
            bytes_in=self._host.meter.bytes_in,
            bytes_out=self._host.meter.bytes_out,
            unread_bytes=self._host.unread_bytes(),
            credit_bytes=sum(session.credit_bytes for session in sessions),
            hints_waiting=self._gossip.waiting_count,
            mesh_peers=self._host.mesh_peers(),
        )

    def addresses(self) -> tuple[str, ...]:
        """Where we can be dialled; callable from any thread."""
        return self._host.addresses()

    # -- what is asked of it

    def hurry(self) -> None:
        self.acquaintances.hurry()

    def forget_peer(self, peer_id: str) -> None:
        self.acquaintances.forget(peer_id)

    async def ping(self, peer_id: str) -> float:
        return await ping_connected(self._host, peer_id)

    def tell_all(self, event: Event) -> None:
        """To every session."""
        self.sessions.tell_all(event)

    def fetch_blob(self, blob: Cid, account: Cid, done: Callable[[bool], None], max_bytes: int | None) -> None:
        if self._nursery is None:
            done(False)
        else:
            self._nursery.start_soon(self._fetch_blob, blob, account, done, max_bytes)

    async def _fetch_blob(self, blob: Cid, account: Cid, done: Callable[[bool], None], max_bytes: int | None) -> None:
        is_here = False
        try:
            is_here = await self._blobs.fetch(blob, account, max_bytes=max_bytes)
            # What named it may have been withheld meanwhile.
            if await trio.to_thread.run_sync(self._store.erase_blobs, (blob,)):
                is_here = False
        except Exception:  # ours; no picture is worth the network
            log.exception("a blob was not fetched cid=%s", blob)
        finally:
            done(is_here)

    def enquire(self, account: Cid, missing: Sequence[Cid], enquiry: Enquiry) -> None:
        if self._nursery is None:
            enquiry.is_done = True
        else:
            self._nursery.start_soon(self.statements.enquiring.enquire, account, missing, enquiry)

    # -- sessions

    async def _session_config(self) -> SessionConfig:
        tree = await self._heads.ready()
        return SessionConfig(
            self._config.network,
            self._config.agent,
            own=self.announcer.own,
            listen=self.acquaintances.listen(),
            tree=tree,
            nonce=os.urandom(limits.NONCE_BYTES),
        )

    def _opened(self, session: SyncSession) -> None:
        self.announcer.opened(session)
        for root in self._sought.roots():
            session.tell(Find(root))

    def _worth_of(self, peer_id: str) -> int:
        """What a neighbour is to us; what it gave counts for more than what it says."""
        if self.acquaintances.chooser.is_chosen(peer_id):
            return 4
        if self.acquaintances.chooser.has_given(peer_id):
            return 3
        session = self.sessions.open.get(peer_id)
        if session is None:
            return 0
        return 1 if session.peer_carries.isdisjoint(self._interests.carries) else 2

    def _ask_for_peers(self, peer_id: str) -> None:
        session = self.sessions.open.get(peer_id)
        if session is not None:
            session.tell(AskForPeers())

    # -- news

    def _heard_of(self, news: News) -> None:
        if news.own != self.announcer.own:
            self._own_changed(news.own)
        if news.clone_found:
            self.announcer.found_clone()
            self.tell_all(OwnChecked(is_clean=False))
        self._heads.touched({grew.account for grew in news.grown})  # before any session hears of it
        events: list[Event] = [*news.grown, *news.forked, *map(Refolded, sorted(news.refolded))]
        for event in events:
            self.tell_all(event)
        for account in news.holes:
            self._hole_seen(account)
        for concerns in news.concerning:
            self._pass_on(concerns)
        for account, cid in news.lacking:
            if account in self._interests.carries:
                self.asker.lacks(account, cid)
        if news.written_here:
            self.announcer.wrote(news.written_here)
        if news.may_change_interests:
            self._interests_changed.set()

    def _own_changed(self, own: Own | None) -> None:
        """This home writes with another key or for another account: sessions begin anew and check that log."""
        self.announcer.restart(own)
        self.sessions.end_all()

    def _pass_on(self, concerns: Concerns) -> None:
        """Our own records go to whomever they concern, those of others if that is somebody we carry."""
        own = self.announcer.own
        if own is not None and concerns.account == own.account:
            self.tell_all(concerns)
        elif about := tuple(who for who in concerns.about if who in self._interests.carries):
            letter = replace(concerns, about=about)
            self._letters.put(letter)
            self.tell_all(letter)

    async def _recall_letters(self) -> None:
        """What came in a run before is told as well; what is known by then is told to who comes later."""
        for concerns in await trio.to_thread.run_sync(self._find_newest_concerns):
            self._pass_on(concerns)

    def _find_newest_concerns(self) -> tuple[Concerns, ...]:
        with self._store.snapshot() as snapshot:
            return find_newest_concerns(snapshot)

    def _lacks(self, account: Cid, cid: Cid) -> None:
        self.asker.lacks(account, cid)

    def _hole_seen(self, account: Cid) -> None:
        self.tell_all(HoleSeen(account))

    async def _look_for_holes(self) -> None:
        full: frozenset[Cid] = frozenset()
        while True:
            await trio.sleep(INCOMPLETE_EVERY_S)
            was_full = full
            incomplete, full = await trio.to_thread.run_sync(self._find_incomplete)
            for account in sorted(incomplete | (was_full - full)):  # where there is room again, the rest may come
                self._hole_seen(account)

    def _find_incomplete(self) -> tuple[frozenset[Cid], frozenset[Cid]]:
        """And those that are kept and full. On a thread: every account is looked at, and there may be very many."""
        with self._store.snapshot() as snapshot:
            return snapshot.incomplete_accounts(), frozenset(filter(snapshot.is_full, snapshot.promises()))

    # -- interests

    def _read_interests(self) -> bool:
        with self._store.snapshot() as snapshot:
            carried = snapshot.carried()
            own = find_own(snapshot)
        if own != self.announcer.own:
            self._own_changed(own)
        self._heads.set_carried(carried, own.account if own is not None else None)
        self.statements.carry(carried, own.account if own is not None else None)
        changed = InterestsChanged(carried, carried)
        is_new = changed != self._interests
        self._interests = changed
        self.acquaintances.want(carried - {own.account} if own is not None else carried)
        return is_new

    async def _keep_interests(self) -> None:
        await self._gossip.listen_for(self._interests.carries)
        budgets = await trio.to_thread.run_sync(self._find_budgets)
        while True:
            await self._interests_changed.wait()
            self._interests_changed = trio.Event()
            if self._read_interests():
                self.tell_all(self._interests)
                self.acquaintances.poke()
                await self._gossip.listen_for(self._interests.carries)
            before, budgets = budgets, await trio.to_thread.run_sync(self._find_budgets)
            for account, budget in budgets.items():
                if budget > before.get(account, budget):
                    self._hole_seen(account)  # what there was no room for is asked for again

    def _find_budgets(self) -> dict[Cid, int]:
        """On a thread: there may be very many."""
        with self._store.snapshot() as snapshot:
            return {account: promise.budget_bytes for account, promise in snapshot.promises().items()}

    def look_at_interests(self) -> None:
        """Whom this home keeps has changed."""
        self._interests_changed.set()

    def _carried_for_others(self) -> frozenset[Cid]:
        """What strangers are told that we carry: the own account, and those that were promised."""
        own = self.announcer.own
        with self._store.snapshot() as snapshot:
            kept = snapshot.promises().keys()
        return frozenset(kept) if own is None else frozenset({own.account, *kept})
