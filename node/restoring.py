"""An account comes to an empty home: from its words alone (restore), or because another device adds this one (join).

The words give root key 0. Peers are asked whose inception it signed; what they
answer proves itself, so nobody is trusted. Then the account is fetched like
any other, a new device key is made, and the root key of the standing table
adds it. The order is such that a crash anywhere leaves a home in which the
same command goes on: the account is adopted before it is fetched, the key is
on disk before it is listed.

A home that holds the account already, as one made of a backup, needs nobody:
whoever can be asked is asked what is newer, and then it goes on with what is here.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from queue import Empty, SimpleQueue
from typing import Final

from unhush.gossip.proto.frames import Operation
from unhush.identity.cid import Cid
from unhush.identity.entry import parse_entry, verify_signature
from unhush.identity.errors import IdentityError
from unhush.identity.keys import PublicKey
from unhush.identity.operations import MAX_NAME_BYTES, OPEN, Device, Table, parse_operation
from unhush.identity.trunk import find_trunk
from unhush.identity.words import Words
from unhush.node.account.devices import Devices
from unhush.node.account.identities import read_trunk
from unhush.node.account.secrets import Keys
from unhush.node.config import Config
from unhush.node.errors import AccountExists, BadWords, NetworkFailed, NotFound, NotSynced, SeveralAccounts
from unhush.node.service.running import Running
from unhush.node.views import DeviceInfo, DeviceState
from unhush.storage.arrivals import Arrival, Batch, Status
from unhush.storage.snapshot import Snapshot
from unhush.storage.store import Store

CONNECT_S: Final = 20.0  # a peer that is there answers within one; the first dial may have to be made again
FIND_S: Final = 10.0
GRACE_S: Final = 0.5  # for other peers, who may know other accounts of the same words
OTHERS_S: Final = 3.0  # for the other peers that have the account, once one has given all: they may know more
LOOK_EVERY_S: Final = 0.05
USUAL_NAME: Final = "restored"  # of a device that was given none

# What goes on, and how many records are here by now.
Progress = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class Found:
    """An account founded with the words, as its inception proves."""

    account: Cid
    entry: bytes
    body: bytes
    generation: int  # of the highest table that came with it
    time_ms: int  # when it was made, by its own clock


@dataclass(frozen=True, slots=True)
class Restored:
    """What came back."""

    account: Cid
    device: DeviceInfo
    records: int
    is_complete: bool  # False: peers had not everything that they showed to exist
    others: tuple[Cid, ...]  # further accounts of the same words


def check_home(store: Store, words: Words) -> None:
    """Raise ``BadWords`` if the home's account is surely not of these words; before the network, which writes."""
    with store.snapshot() as snapshot:
        own = snapshot.own_account()
        known = snapshot.account(own) if own is not None else None
        if known is not None and read_trunk(snapshot, known).incept.root != words.root(0).public:
            raise BadWords(f"these are not the words of the account of this home: {own}")


def needs_peers(store: Store, words: Words, account: Cid | None) -> bool:
    """Whether a peer should be asked: the account is not held, or there is an address to ask at."""
    with store.snapshot() as snapshot:
        held = {record.account for record in snapshot.inceptions(words.root(0).public)}
        return bool(snapshot.contacts()) or (account not in held if account is not None else not held)


def begins_here(snapshot: Snapshot, account: Cid, key: PublicKey) -> bool:
    """Whether this home is to begin to write with a key: it writes with none or another, and the key wrote nothing.

    A key that has a log is not taken up so: somebody put it back, and the log may have gone on elsewhere. Nor is any,
    while a copy was found: ``Devices.renew`` knows what is to be signed again.
    """
    if snapshot.own_device() == key or snapshot.clone_found():
        return False
    return all(device != key for _, device, _ in snapshot.logs(account))


class Restoring:
    """One home into which an account comes; its network runs meanwhile, if there is anybody to ask."""

    def __init__(self, store: Store, config: Config, *, keys: Keys, devices: Devices, running: Running | None) -> None:
        self._store = store
        self._config = config
        self._keys = keys
        self._devices = devices
        self._running = running
        self._holders: dict[Cid, set[str]] = {}  # peers that proved to know an account of the words

    def restore(self, words: Words, *, account: Cid | None, name: str | None, on_progress: Progress) -> Restored:
        """Bring the account of these words here and add this device; see ``Node.restore``."""
        with self._store.snapshot() as snapshot:
            own = snapshot.own_account()
            held = self._proven(_operations(snapshot, words), words)
            alone = {each.account for each in held if self._running is None or any(snapshot.logs(each.account))}
        if account is None and any(each.account == own for each in held):
            account = own  # another has no place here
        found = self._choose(self._look(words, held, on_progress, goes_alone=bool(alone)), account)
        chosen, others = found[0], tuple(each.account for each in found[1:])
        key = self._keys.make_device(sealed=self._config.passphrase is not None).public
        self._adopt(chosen, key)
        is_complete = self._complete(chosen.account, on_progress, goes_alone=chosen.account in alone)
        with self._store.snapshot() as snapshot:
            state = snapshot.account(chosen.account)
            is_listed = state is not None and state.state.cut_of(key) == OPEN
        if not is_listed:
            on_progress("adding this device", self._store.count_records())
            called = _device_name(name) if name is not None else self._free_name(chosen.account)
            self._devices.add_key(Device(key, called), words)
        listed = {each.key: each for each in self._devices.identity(chosen.account).devices}
        device = listed.get(key)
        if device is None or device.state is not DeviceState.OPEN:
            raise NotSynced("the account changed while this device was added; run this again")
        return Restored(chosen.account, device, self._store.count_records(), is_complete, others)

    def _free_name(self, account: Cid) -> str:
        """What no device of an account is called yet, neither one that was cut off."""
        taken = {each.name for each in self._devices.identity(account).devices}
        names = (f"{USUAL_NAME} {number}" if number > 1 else USUAL_NAME for number in count(1))
        return next(name for name in names if name not in taken)

    def _look(self, words: Words, held: list[Found], on_progress: Progress, *, goes_alone: bool) -> list[Found]:
        """What peers know and what is held, the highest generation first."""
        found = {each.account: each for each in held}
        if self._running is not None:
            try:
                for each in self._find(words, on_progress):
                    if each.account not in found or each.generation > found[each.account].generation:
                        found[each.account] = each
            except (NetworkFailed, NotFound):
                if not goes_alone:
                    raise
        return sorted(found.values(), key=lambda each: (-each.generation, -each.time_ms, each.account))

    def _complete(self, account: Cid, on_progress: Progress, *, goes_alone: bool) -> bool:
        """Fetch what peers have beyond what is held; whether anything is still missing."""
        if account in self._holders or not goes_alone:
            try:
                return self.fetch(account, on_progress)
            except (NetworkFailed, NotSynced):
                if not goes_alone:
                    raise
        return self._is_whole(account)

    def fetch(self, account: Cid, on_progress: Progress) -> bool:
        """Wait until a peer has given all it has of the home's account; whether anything is still missing.

        Raises ``NotSynced`` if nobody who has it answers.
        """
        self._wait_for_peer(on_progress)
        holders = len(self._holders.get(account, ())) or 1
        since = time.monotonic()
        seen = self._store.count_records()
        on_progress("fetching", seen)
        while (checked := self._network.own_checked()) < holders:
            count = self._store.count_records()
            if count != seen:
                seen, since = count, time.monotonic()
                on_progress("fetching", count)
            if checked and time.monotonic() > since + OTHERS_S:
                break
            if time.monotonic() > since + CONNECT_S:
                raise NotSynced("no peer gave the account; run this again with the address of one that has it")
            time.sleep(LOOK_EVERY_S)
        on_progress("fetched", self._store.count_records())
        return self._is_whole(account)

    def _is_whole(self, account: Cid) -> bool:
        with self._store.snapshot() as snapshot:
            found = snapshot.account(account)
            return found is not None and snapshot.is_whole(found)

    # -- finding

    def _find(self, words: Words, on_progress: Progress) -> list[Found]:
        """Every account of these words that a peer knows, highest generation first; raises ``NotFound``."""
        root = words.root(0).public
        answers: SimpleQueue[tuple[tuple[Operation, ...], str]] = SimpleQueue()
        self._network.find(root, lambda operations, peer: answers.put((operations, peer)))
        try:
            self._wait_for_peer(on_progress)
            on_progress("asking for the account of these words", 0)
            found: dict[Cid, Found] = {}
            due = time.monotonic() + FIND_S
            while time.monotonic() < due:
                try:
                    operations, peer = answers.get(timeout=max(0.0, due - time.monotonic()))
                except Empty:
                    break
                for each in self._proven(operations, words):
                    known = found.get(each.account)
                    if known is None or each.generation > known.generation:
                        found[each.account] = each
                    self._holders.setdefault(each.account, set()).add(peer)
                    due = min(due, time.monotonic() + GRACE_S)
        finally:
            self._network.stop_finding(root)
        if not found:
            raise NotFound("no peer that was asked knows an account of these words; try the address of a follower")
        return sorted(found.values(), key=lambda each: (-each.generation, -each.time_ms, each.account))

    def _proven(self, operations: tuple[Operation, ...], words: Words) -> list[Found]:
        """Those of an answer that the words did found; the rest proves nothing and is left."""
        tables: defaultdict[Cid, dict[Cid, Table]] = defaultdict(dict)
        incepts: dict[Cid, tuple[Operation, int]] = {}
        for operation in operations:
            try:
                entry = verify_signature(parse_entry(operation.entry), self._config.network)
                table = parse_operation(entry, operation.body)
            except IdentityError:
                continue
            if not isinstance(table, Table):
                continue
            tables[entry.account][table.id] = table
            if (table.id, table.root, table.next) == (entry.account, words.root(0).public, words.commitment(0)):
                incepts[entry.account] = operation, entry.header.time
        proven = []
        for account, (operation, time_ms) in incepts.items():
            trunk = find_trunk(account, tables[account].values())
            generation = trunk.generation if trunk is not None else 0
            proven.append(Found(account, operation.entry, operation.body, generation, time_ms))
        return proven

    @staticmethod
    def _choose(found: list[Found], account: Cid | None) -> list[Found]:
        """The chosen one first.

        Only the words can rotate, so of several the highest generation is theirs. Among equals nobody can tell the
        account from one that a thief of the first root key made beside it: then the person must say which. Raises
        ``SeveralAccounts``, or ``NotFound`` if the one asked for is none of them.
        """
        if account is None:
            if len(found) > 1 and found[0].generation == found[1].generation:
                raise SeveralAccounts([each.account for each in found])
            return found
        chosen = [each for each in found if each.account == account]
        if not chosen:
            raise NotFound(f"these words did not found {account}, or no peer that was asked knows it")
        return chosen + [each for each in found if each.account != account]

    def _adopt(self, found: Found, key: PublicKey) -> None:
        with self._store.snapshot() as snapshot:
            own = snapshot.own_account()
            is_new_here = begins_here(snapshot, found.account, key)
        if own not in (None, found.account):
            raise AccountExists(f"this home has an account already: {own}")
        if own is None or is_new_here:
            self._store.adopt_account(found.account, key)
        outcome = self._store.ingest(Batch((Arrival(found.entry, found.body),), "restore", wanted_only=False))[0]
        assert outcome.status in (Status.STORED, Status.KNOWN), "an inception that proved itself is stored"

    @property
    def _network(self) -> Running:
        assert self._running is not None, "a peer was to be asked without a network"
        return self._running

    def _wait_for_peer(self, on_progress: Progress) -> None:
        on_progress("connecting", self._store.count_records())
        due = time.monotonic() + CONNECT_S
        while not self._network.view().peers:
            if time.monotonic() > due:
                raise NetworkFailed("no peer could be reached; give the address of one that runs: --peer MULTIADDR")
            time.sleep(LOOK_EVERY_S)


def _operations(snapshot: Snapshot, words: Words) -> tuple[Operation, ...]:
    """What is held of the accounts of these words, as a peer would give it."""
    return tuple(
        Operation(record.block, record.body)
        for record in snapshot.inceptions(words.root(0).public)
        if record.body is not None
    )


def _device_name(name: str) -> str:
    return name.encode()[:MAX_NAME_BYTES].decode("utf-8", "ignore")
