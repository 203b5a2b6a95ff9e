"""``Node``: one home as one object, blocking and thread-safe, with or without a network.

Every verb is one step on the store: it works the same whether a node runs on
the home or not, because what is written is seen by whoever runs it. The
network is a separate thing that can be started on top.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Self

from unhush.identity.cid import Cid
from unhush.identity.keys import PublicKey, self_test
from unhush.identity.words import Words
from unhush.node.account.devices import Devices
from unhush.node.account.founding import publisher
from unhush.node.account.identities import describe
from unhush.node.account.renewing import Renewing
from unhush.node.account.secrets import Keys
from unhush.node.config import Config, Home
from unhush.node.control import ask, parse_network_view
from unhush.node.errors import AccountExists, NoAccount, NoKey, NotRunning, NotSynced
from unhush.node.home.filing import Filing
from unhush.node.home.room import Room
from unhush.node.ids import as_cid
from unhush.node.keeping.cards import Cards
from unhush.node.people.circle import Lists
from unhush.node.people.invites import Desk, Inviting
from unhush.node.people.profiles import Profiles
from unhush.node.pictures.media import MediaFiles
from unhush.node.records.acting import Acting
from unhush.node.records.watching import Watching
from unhush.node.service.peering import Peering
from unhush.node.service.seeking import Seeking
from unhush.node.views import DeviceInfo, DeviceState, NetworkView, Status
from unhush.storage.blobs.thumbs import Thumbs
from unhush.storage.keyfile import make_private_dir
from unhush.storage.kinds import Body, Media
from unhush.storage.publish import Publisher
from unhush.storage.records import Record
from unhush.storage.store import Store

if TYPE_CHECKING:
    from unhush.node.keeping.auditing import Asked, Audit
    from unhush.node.records.searching import Indexing
    from unhush.node.restoring import Progress, Restored, Restoring
    from unhush.node.service.running import Running

LINGER_S = 1.0  # so that what was signed last still leaves before the network ends


class Node(Acting, Inviting, Profiles, Cards, Seeking, Watching, Filing, Peering):
    """An open home. Use it in ``with``, or call ``close``."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self._home = Home(config.home)
        make_private_dir(config.home)
        self._store = Store(
            config.home,
            network=config.network,
            clock_ms=config.clock_ms,
            verify_workers=config.verify_workers,
            limits=config.limits,
        )
        self.media = MediaFiles(self._store.blobs, Thumbs(config.home))
        self._keys = Keys(config)
        self._keys.finish_change(self._own_device())
        self.lists = Lists(self._store)
        self.room = Room(self._store)
        self.devices = Devices(self._store, config, self._keys)
        self._publisher: Publisher | None = None
        self._running: Running | None = None
        self._renewing: Renewing | None = None
        self._indexing: Indexing | None = None
        self._lingers = False  # a network that runs only for one act: what it signed last should still leave
        self._starting = threading.Lock()  # a network is started or stopped by one thread at a time

    @classmethod
    def open(cls, home: str | Path | Config) -> Self:
        """Open a home by path or by ``Config``."""
        return cls(home if isinstance(home, Config) else Config(home=Path(home).expanduser()))

    def close(self) -> None:
        """Stop everything, also ``events`` that another thread waits on."""
        self._stop_watching()
        if self._lingers:
            time.sleep(LINGER_S)
        self.stop_network()
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- writing

    def attach(self, picture: str | Path | bytes, alt: str = "") -> Media:
        """Take a picture in for a post that is written within a day: its path, or its bytes.

        It is written anew without what the camera noted in it; ``alt`` says what it shows to those who do not see it.
        Raises ``ImageRefused``, ``BlobTooLarge``, ``MalformedRecord``, ``StoreFull``.
        """
        return self.media.attach(picture, alt)

    # -- reading

    def account(self) -> Cid:
        """The home's own account; raises ``NoAccount``."""
        with self._store.snapshot() as snapshot:
            own = snapshot.own_account()
        if own is None:
            raise NoAccount(self.config.home)
        return own

    # -- state

    def status(self) -> Status:
        view = self._network_view()
        with self._store.snapshot() as snapshot:
            own = snapshot.own_account()
            me = snapshot.account(own) if own is not None else None
            profile = snapshot.profile(own) if own is not None else None
            return Status(
                account=own,
                name=profile.name if profile else "",
                words_waiting=str(words_at) if (words_at := self.devices.words_wait_at()) is not None else None,
                follows=sum(1 for _ in snapshot.follows(me)) if me is not None else 0,
                records=snapshot.count_records(),
                peers_connected=len(view.peers) if view is not None else 0,
                network_running=view is not None,
                last_aid=snapshot.last_aid(),
                listen=view.listen if view is not None else (),
                peer=view.peer if view is not None else None,
                identity=describe(snapshot, me) if me is not None else None,
                problem=str(NoKey()) if own is not None and not self.has_key() else snapshot.why_not_to_write(),
                local_only=snapshot.count_local(),
                outage=view.outage if view is not None else None,
                limits_met=view.limits_met if view is not None else (),
                keeps_root=not self._keys.root_problem() and self._keys.keeps_root() is not None,
                kept=self._kept_summary(snapshot),
                promises=snapshot.count_promises(),
                silent=view.silent if view is not None else "",
            )

    def metrics(self) -> bytes:
        """The figures of this home and its network, in the text format of Prometheus."""
        from unhush.node.service.metrics import exposition  # lazy: hardly anybody asks

        return exposition(self.status(), self._network_view(), self.keeping_figures())

    def root_problem(self) -> str:
        """Why the root key that is kept here cannot be used; empty if it can, or none is."""
        return self._keys.root_problem()

    def audit(
        self,
        account: Cid | str | None = None,
        timeout_s: float = 30.0,
        on_progress: "Callable[[Asked], None]" = lambda _: None,
    ) -> "Audit":
        """The verdict on what is held of an account (your own, if none is named), with evidence others can check.

        A running node asks peers and keepers first, for at most ``timeout_s``. Raises ``NotFound``.
        """
        from unhush.node.keeping.auditing import audit, enquire_over  # lazy: asked for now and then

        whose = self.account_of(account) if account is not None else self.account()

        def begin(who: Cid, missing: tuple[Cid, ...]) -> "Callable[[], Asked] | None":
            running = self._running
            if running is not None:
                return running.enquire(who, missing)
            return enquire_over(self.config.home, who, missing)

        return audit(
            self._store,
            whose,
            network=self.config.network,
            now_ms=self.config.clock_ms,
            begin=begin,
            timeout_s=timeout_s,
            on_progress=on_progress,
        )

    # -- the network

    def start_network(self) -> None:
        """Connect, sync and gossip until ``stop_network``; raises ``HomeInUse``, ``NetworkFailed``, ``NoAccount``."""
        with self._starting:
            if self._running is None:
                self.account()
                self._running = self._start()
                self._renewing = Renewing(self._store, keys=self._keys, devices=self.devices)
                self._indexing = self._start_indexing()

    def _start_indexing(self) -> "Indexing":
        from unhush.node.records.searching import Indexing  # lazy: only a running node and a search load the engine

        return Indexing(self._store)

    def _start(self) -> "Running":
        from unhush.node.service.running import Running  # lazy: the network costs a second and 80 MB

        return Running(self.config, self._home, self._store, self._keys, Desk(self))

    def sync_own(self, timeout_s: float = 10.0) -> bool:
        """Ask peers what they hold of our own account, if need be over a network that runs until ``close``.

        False if none answered in time. What is signed afterwards is signed on the newest table they know.
        """
        self.account()
        due = time.monotonic() + timeout_s
        if self._network_view() is None:
            with self._store.snapshot() as snapshot:
                if not (snapshot.contacts() or self.config.peers):
                    return False
            self.start_network()
            self._lingers = True
        while time.monotonic() < due:
            view = self._network_view()
            if view is not None and view.own_checked:
                return True
            time.sleep(0.05)
        return False

    def restore(
        self,
        words: Words,
        *,
        account: Cid | str | None = None,
        name: str | None = None,
        on_progress: "Progress" = lambda _what, _count: None,
    ) -> "Restored":
        """Bring the account of these words into this home, from any peer of ``config.peers`` that has it.

        A home that holds it already, as one made of a backup, needs no peer; those it knows are asked what is newer.
        This device gets a key of its own, called ``name`` (by itself "restored", "restored 2" …), and is added.
        ``account`` chooses, should the words have founded several. Raises ``BadWords``,
        ``AccountExists``, ``NetworkFailed``, ``NotFound``, ``NotSynced`` and ``DeviceRefused``; whatever it raises, the
        same call goes on where it ended.
        """
        from unhush.node.restoring import check_home, needs_peers  # lazy, as the network

        chosen = as_cid(account) if account is not None else None
        check_home(self._store, words)
        restoring = self._restoring(with_network=bool(self.config.peers) or needs_peers(self._store, words, chosen))
        self._lingers = self._running is not None
        return restoring.restore(words, account=chosen, name=name, on_progress=on_progress)

    def join(self, account: Cid | str, on_progress: "Progress" = lambda _what, _count: None) -> DeviceInfo:
        """Make an account this home's own, to which another device has added this one, or is about to.

        Raises ``AccountExists``, ``NetworkFailed``, ``NotSynced``. Until this device is listed, nothing can be
        signed; what was fetched stays.
        """
        from unhush.node.restoring import begins_here  # lazy, as the network

        chosen = as_cid(account)
        key = self._keys.make_device(sealed=self.config.passphrase is not None).public
        with self._store.snapshot() as snapshot:
            own = snapshot.own_account()
            known = snapshot.account(own) if own is not None else None
            is_new_here = begins_here(snapshot, chosen, key)
        if own != chosen or is_new_here:
            if own != chosen and known is not None and known.state.cut_of(key) is not None:
                raise AccountExists(f"{self.config.home} has an account already: {own}")
            self._store.adopt_account(chosen, key)
        self._restoring().fetch(chosen, on_progress)
        devices = self.devices.identity(chosen).devices
        for device in devices:
            if device.key == key and device.state is DeviceState.OPEN:
                return device
        raise NotSynced(
            "the account is here; this device is not among its devices yet: add it on another one, "
            "with the code that unhush device request prints, and run this again"
        )

    def _restoring(self, *, with_network: bool = True) -> "Restoring":
        from unhush.node.restoring import Restoring  # lazy, as the network

        with self._starting:
            if self._running is None and with_network:
                self._running = self._start()
            running = self._running
        return Restoring(self._store, self.config, keys=self._keys, devices=self.devices, running=running)

    def stop_network(self) -> None:
        with self._starting:
            running, self._running = self._running, None
            renewing, self._renewing = self._renewing, None
            indexing, self._indexing = self._indexing, None
            if indexing is not None:
                indexing.stop()
            if renewing is not None:
                renewing.stop()
            if running is not None:
                running.stop()

    def _network_view(self) -> NetworkView | None:
        """The network of this home, run by us or by another process; None if nobody runs it."""
        running = self._running
        if running is not None:
            return running.view()
        try:
            return parse_network_view(ask(self.config.home, "network"))
        except NotRunning:
            return None

    # -- inside

    def _publish(self, *bodies: Body) -> Record:
        self.account()
        writes_with = self._own_device()
        if self._publisher is None or self._publisher.device != writes_with:
            self_test()
            self._publisher = publisher(self.config, self._keys.device())
        return self._store.publish(self._publisher, *bodies)[-1]

    def unlock(self) -> None:
        """Open the sealed keys now, asking for the passphrase if there are any; raises ``KeyFileError``: ``NoKey``."""
        self._keys.unlock()

    def has_key(self) -> bool:
        """Whether this home can sign at all: one made of a backup reads and carries only."""
        return self._keys.has_device()

    def device(self) -> PublicKey:
        """The key this device signs with; raises ``KeyFileError``."""
        return self._keys.device_facts().public

    def _own_device(self) -> PublicKey | None:
        with self._store.snapshot() as snapshot:
            return snapshot.own_device()
