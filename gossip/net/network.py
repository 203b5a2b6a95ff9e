"""The network of a node: one thread with trio, in which host, gossip, dialler and sync sessions live.

The rest of the node knows ``start``, ``stop``, ``status``, ``find`` and
``stop_finding``. What crosses is the store (both sides follow its journal) and
the ingest queue. When the network falls over it starts again; the node goes on
meanwhile.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import trio

from unhush.gossip.errors import GossipError, ListenFailed
from unhush.gossip.net.config import NetworkConfig
from unhush.gossip.net.faults import FaultLedger
from unhush.gossip.net.hearing import ShardGossip
from unhush.gossip.net.host import HostConfig, Lasting, open_host
from unhush.gossip.net.intake import Submit
from unhush.gossip.net.keep.enquiring import Enquiry
from unhush.gossip.net.live import Live
from unhush.gossip.net.meet.meeting import LanView
from unhush.gossip.net.status import NetworkStatus, SyncState
from unhush.gossip.net.supervisor import Backoff, Outage, in_words, supervise
from unhush.gossip.net.sync.seeking import Report, Sought
from unhush.gossip.net.wire.metering import Figures
from unhush.gossip.proto.decisions import Acquaintance
from unhush.gossip.proto.events import Find
from unhush.gossip.proto.frames import Question
from unhush.gossip.proto.reach import ReachView
from unhush.gossip.proto.statements import ToldStatement
from unhush.gossip.proto.tally import Met, Tally
from unhush.identity.cid import Cid
from unhush.identity.keys import PublicKey
from unhush.storage.store import Store

__all__ = ["Network", "NetworkConfig", "NetworkStatus", "SyncState"]

log = logging.getLogger(__name__)

# Importing libp2p takes a second, on a loaded machine several; after this the start has failed.
START_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class _Fall:
    """Why the network is down, and since when on the monotonic clock."""

    reason: str
    since: float
    starts: int


class Network:
    """Start it once; ``stop`` ends its thread."""

    def __init__(self, store: Store, submit: Submit, config: NetworkConfig) -> None:
        self._store = store
        self._submit = submit
        self.config: Final = config
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._scope = trio.CancelScope()
        self._is_stopping = threading.Event()
        self._live: Live | None = None
        self._lasting = Lasting(tally=Tally(time.monotonic))
        self._fall: _Fall | None = None
        self._listen = config.listen  # after the first start, the very addresses it was given
        self._sought = Sought()
        self._status = NetworkStatus("", (), (), 0)
        self._thread = threading.Thread(target=self._run, name="unhush-network", daemon=True)

    def start(self) -> None:
        """Return once it listens; raises ``ListenFailed`` or ``GossipError``."""
        self._thread.start()
        if not self._ready.wait(START_TIMEOUT_S):
            self.stop()
            raise GossipError(f"the network did not start within {START_TIMEOUT_S:.0f} s")
        if self._failure is not None:
            self._thread.join()
            if isinstance(self._failure, ListenFailed):
                raise self._failure
            raise GossipError(f"the network did not start: {self._failure}") from self._failure

    def stop(self) -> None:
        """End every connection and the thread."""
        self._is_stopping.set()
        if self._token is not None:
            try:
                self._token.run_sync_soon(lambda: self._scope.cancel())  # that of the run that ends  # noqa: PLW0108
            except trio.RunFinishedError:
                log.debug("the network had ended")
        self._thread.join()

    def status(self) -> NetworkStatus:
        """Callable from any thread."""
        live, fall, tally, meter = self._live, self._fall, self._lasting.tally, self._lasting.meter
        now = time.monotonic()
        if live is not None:
            self._status = live.status()
        else:
            figures = Figures(bytes_in=meter.bytes_in, bytes_out=meter.bytes_out)
            self._status = replace(
                self._status, connected=(), own_checked=0, figures=figures, standings={}, sync=SyncState()
            )
        return replace(
            self._status,
            outage=Outage(fall.reason, now - fall.since, fall.starts) if fall is not None else None,
            limits_met=tally.read(),
            met_s_ago={met: now - at for met, at in tally.met_at().items()},
        )

    def reach(self) -> ReachView | None:
        """Whether others reach us, as far as is known; None while the network is down. Callable from other threads."""
        live = self._live
        if live is None or self._token is None:
            return None
        try:
            return trio.from_thread.run_sync(live.reaching.view, trio_token=self._token)
        except trio.RunFinishedError:
            return None

    def listen(self) -> tuple[str, ...]:
        """Where this node can be dialled now, with its peer id; callable from any thread."""
        live = self._live
        return live.addresses() if live is not None else ()

    def said(self, items: Sequence[ToldStatement]) -> None:
        """This node signed statements, which are in the store: tell who wants them; callable from any thread."""
        self._soon(lambda live: live.statements.said(items))

    def promised(self) -> None:
        """Which accounts are kept here has changed; callable from any thread."""
        self._soon(lambda live: live.look_at_interests())

    def enquire(self, account: Cid, missing: Sequence[Cid]) -> Enquiry:
        """Ask peers and keepers about an account now, without waiting; callable from any thread.

        ``missing``: entries of it that are not here. What they sign is in the store once the enquiry is done.
        """
        enquiry = Enquiry()
        if self._live is None:
            enquiry.is_done = True
        else:
            self._soon(lambda live: live.enquire(account, missing, enquiry))
        return enquiry

    def acquaintances(self, account: Cid) -> tuple[Acquaintance, ...]:
        """Whom this node knows, and who of them carries an account; callable from other threads.

        Nobody while the network is down.
        """
        live = self._live
        if live is None or self._token is None:
            return ()

        def look() -> tuple[Acquaintance, ...]:
            return live.acquaintances.chooser.acquaintances(account, trio.current_time())

        try:
            return trio.from_thread.run_sync(look, trio_token=self._token)
        except trio.RunFinishedError:
            return ()

    def hurry(self) -> None:
        """Look now: dial whoever is chosen, and look for whoever is needed; callable from any thread."""
        self._soon(lambda live: live.hurry())

    def forget_peer(self, peer_id: str) -> None:
        """Dial this peer no more, and end what connects us; callable from any thread."""
        self._soon(lambda live: live.forget_peer(peer_id))

    def ping(self, peer_id: str) -> float:
        """The seconds a connected peer takes to answer, by its id.

        Callable from other threads. Raises ``GossipError``.
        """
        live, token = self._live, self._token
        if live is None or token is None:
            raise GossipError("the network is down")
        try:
            return trio.from_thread.run(live.ping, peer_id, trio_token=token)
        except (trio.RunFinishedError, trio.Cancelled) as exc:
            raise GossipError("the network is down") from exc

    def lan(self) -> LanView:
        """What there is of the local network; callable from any thread."""
        live = self._live
        return live.meeting.lan() if live is not None else LanView(0, "the network is down")

    def look_around(self) -> None:
        """Ask peers now whether they reach us; callable from any thread."""
        self._soon(lambda live: live.reaching.look())

    def fetch_blob(self, blob: Cid, account: Cid, done: Callable[[bool], None], max_bytes: int | None = None) -> bool:
        """Bring a blob here that a record of ``account`` names; callable from any thread.

        ``max_bytes``: nobody looks at it yet, and more than this is not fetched.

        ``done`` is told on the network's thread whether it is here whole. False, and it is never called, if the
        network has ended.
        """

        def now() -> None:
            if self._live is None:
                done(False)
            else:
                self._live.fetch_blob(blob, account, done, max_bytes)

        if self._token is None:
            return False
        try:
            self._token.run_sync_soon(now)
        except trio.RunFinishedError:
            return False
        return True

    def find(self, root: PublicKey, report: Report) -> None:
        """Ask every peer, also those yet to come, for the account this root key signed; callable from any thread.

        ``report`` gets each answer with the peer's id, on the network's thread, until ``stop_finding``. Answers
        are unchecked. Raises ``GossipError`` if too many roots are looked for.
        """
        self._sought.add(root, report)
        self._soon(lambda live: live.tell_all(Find(root)))

    def stop_finding(self, root: PublicKey) -> None:
        """Callable from any thread; an answer under way may still be reported meanwhile."""
        self._sought.remove(root)

    def ask(
        self, question: Question, about: tuple[Cid, ...], done: Callable[[], None], *, is_urgent: bool = False
    ) -> None:
        """Ask peers for records that are not here; callable from any thread.

        ``about``: accounts whose carriers may know. ``done`` is called once nobody is waited for, on whichever thread;
        what came is stored by then. If the network ends meanwhile it may never be. What was asked within a minute is
        asked again only if it ``is_urgent``.
        """
        if self._live is None:
            done()
        else:
            self._soon(lambda live: live.asker.ask(question, about, done, is_urgent=is_urgent))

    def _soon(self, act: Callable[[Live], None]) -> None:
        def now() -> None:
            # What is raised in here would be the end of trio, and not of what was asked for.
            try:
                if self._live is not None:
                    act(self._live)
            except Exception:
                log.exception("not done on the network's thread")

        if self._token is not None:
            try:
                self._token.run_sync_soon(now)
            except trio.RunFinishedError:
                log.debug("the network had ended")

    def _run(self) -> None:
        """Trio itself may end by what nobody may catch inside it; that too is only the network's end."""
        backoff = Backoff()
        while True:
            started_at = time.monotonic()
            try:
                trio.run(self._main)
                return
            except BaseException as exc:  # the thread's last word, handed to whoever waits for the start
                if not self._ready.is_set():
                    self._failure = _single(exc)
                    self._ready.set()
                    return
                log.exception("network ended; starting again")
                self._fell_over(exc)
                # Its times are of a clock that ended with the run.
                self._lasting = replace(self._lasting, faults=FaultLedger())
            if self._is_stopping.wait(backoff.next_delay_s(time.monotonic() - started_at)):
                return

    async def _main(self) -> None:
        self._scope = trio.CancelScope()
        self._token = trio.lowlevel.current_trio_token()
        if self._is_stopping.is_set():
            return
        with self._scope:
            await supervise(self._live_once, self._fell_over)

    def _fell_over(self, exc: BaseException) -> None:
        before = self._fall
        self._fall = _Fall(
            in_words(exc), time.monotonic() if before is None else before.since, before.starts + 1 if before else 0
        )
        self._lasting.tally.count(Met.NETWORK_RESTARTED)

    async def _live_once(self) -> None:
        config = self.config
        host_config = HostConfig(
            seed=config.seed,
            listen=self._listen,
            agent=config.agent,
            exempt_loopback=config.exempt_loopback,
            topics=ShardGossip.topics(config.network),
        )
        async with open_host(host_config, self._lasting) as host:
            # People were given these; a port that was free chance is ours from now on.
            self._listen = host.bound_at()
            self._live = Live(host, self._store, self._submit, config=config, sought=self._sought)
            try:
                await self._live.run(self._is_up)
            finally:
                self._live = None

    def _is_up(self) -> None:
        self._fall = None
        self._ready.set()


def _single(exc: BaseException) -> BaseException:
    while isinstance(exc, BaseExceptionGroup) and len(exc.exceptions) == 1:
        exc = exc.exceptions[0]
    return exc
