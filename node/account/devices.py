"""The verbs on an account's devices: add, revoke, freeze, rotate, and a new key for this one (PROTOCOL §3).

Each signs one operation on the table that stands, with the root key from the
words or from the sealed file, and puts it through the same door as operations
of others; a running node passes it on. An operation that would not count is
refused before it is signed, with the reason.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import TypedDict

from unhush.identity import building
from unhush.identity.cid import Cid
from unhush.identity.keys import PublicKey, SigningKey
from unhush.identity.operations import (
    ADD,
    MAX_NAME_BYTES,
    MAX_ROWS,
    NOTHING,
    OPEN,
    REVOKE,
    Cut,
    Device,
    SignedOperation,
)
from unhush.identity.request import encode_request, parse_request
from unhush.identity.trunk import Alarm, State, Trunk, limit
from unhush.identity.words import GENERATIONS, Words, parse_words
from unhush.node.account.identities import cut_of, describe, describe_operations, read_trunk, state_of
from unhush.node.account.secrets import Keys, check_words, read_words
from unhush.node.config import Config, Home
from unhush.node.errors import BadConfig, DeviceRefused, KeyFileError, NoAccount, NotFound
from unhush.node.views import DeviceInfo, DeviceState, IdentityInfo, OperationInfo
from unhush.storage.accounts import Account
from unhush.storage.keyfile import erase_private
from unhush.storage.lost import Lost
from unhush.storage.publish import Publisher
from unhush.storage.records import Record
from unhush.storage.snapshot import Snapshot
from unhush.storage.store import Store


class Last(Enum):
    """Where a log may be cut, beside a record one names."""

    SEEN = "last-seen"  # its newest record here stays, and all before it
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class CutPlan:
    """What a revoke would do, to be looked at before it is signed."""

    device: DeviceInfo
    cut: Cut
    kept: tuple[Record, ...]  # the last records that stay, newest first
    lost: tuple[Record, ...]  # the first that go, oldest first
    goes: int  # how many go in all


@dataclass(frozen=True, slots=True)
class RotationPlan:
    """The device table of the next generation, to be looked at and changed before it is signed."""

    generation: int
    replaces: Cid
    rows: tuple[Device, ...]
    this: PublicKey  # always open in it
    added: frozenset[PublicKey]  # rows that an add of the present generation opened
    silenced: tuple[Device, ...]  # added too, but open in no row: a freeze, a flood or a closed table took their say
    alarms: tuple[str, ...]

    @property
    def to_decide(self) -> frozenset[PublicKey]:
        """Devices that a thief of the root key can have added: each needs a person's word."""
        opened = {row.key for row in self.rows if row.key in self.added and row.cut == OPEN}
        return frozenset(opened | {row.key for row in self.silenced}) - {self.this}


@dataclass(frozen=True, slots=True)
class RowPlan:
    """What a planned table does to one device; a device that it drops is ``UNLISTED`` in it."""

    key: PublicKey
    name: str
    state: DeviceState
    cut: tuple[int, Cid] | None
    is_this: bool
    is_added: bool  # an add of the present generation opened it
    stays: int  # records shown now that stay
    goes: int  # that are hidden
    returns: int  # hidden now, that come back


class Devices:
    """The devices of this home's account; every verb is durable when it returns."""

    def __init__(self, store: Store, config: Config, keys: Keys) -> None:
        self._store = store
        self._config = config
        self._keys = keys

    # -- looking

    def identity(self, account: Cid) -> IdentityInfo:
        """Who may speak for an account; raises ``NotFound``."""
        with self._store.snapshot() as snapshot:
            found = snapshot.account(account)
            if found is None:
                raise NotFound(f"no account {account} is known here")
            return describe(snapshot, found)

    def operations(self, account: Cid) -> tuple[OperationInfo, ...]:
        """Every stored operation of an account, counting or not, and why; raises ``NotFound``."""
        with self._store.snapshot() as snapshot:
            found = snapshot.account(account)
            if found is None:
                raise NotFound(f"no account {account} is known here")
            return describe_operations(snapshot, found)

    def find(self, text: str) -> DeviceInfo:
        """A device of the own account by its name or by the beginning of its key; raises ``NotFound``."""
        devices = self._own_identity().devices
        wanted = text.strip()
        exact = [device for device in devices if wanted and wanted in (device.name, str(device.key))]
        found = exact or [device for device in devices if len(wanted) > 3 and str(device.key).startswith(wanted)]
        if len(found) > 1:  # a renewed device bears the name of the one it replaced
            found = [device for device in found if device.state is DeviceState.OPEN] or found
        if not found:
            raise NotFound(f"this account has no device {text!r}; see: unhush device list")
        if len(found) > 1:
            keys = ", ".join(str(device.key) for device in found)
            raise BadConfig(f"several devices answer to {text!r}, name one by its key: {keys}")
        return found[0]

    # -- adding

    def request(self, name: str) -> str:
        """The code by which this machine asks to be added; its key is made now, if there is none."""
        check_device_name(name)
        key = self._keys.make_device(sealed=self._config.passphrase is not None)
        self._store.put_requested()
        return encode_request(key, name, self._config.network)

    def add(self, code: str, words: Words | None = None) -> DeviceInfo:
        """Open the device that made this code; raises ``DeviceRefused`` if the account would not let that count."""
        request = parse_request(code, self._config.network)
        return self.add_key(Device(request.key, request.name), words)

    def add_key(self, device: Device, words: Words | None = None) -> DeviceInfo:
        trunk, account = self._trunk()
        _check_may_add(trunk, account.state, device.key)
        root, account = self._root(words)
        self._put(self._sign_add(root, account, device))
        return self._device(device.key)

    def sign_again(self, words: Words | None = None) -> int:
        """Sign adds and revokes of a table that lost to its twin on the one that stands; how many count now.

        Every verb that has the root key does so first.
        """
        with self._store.snapshot() as snapshot:
            waiting = snapshot.lost_operations()
        if not waiting:
            return 0
        trunk, account = self._trunk()
        return self._sign_again(waiting, self._keys.root(trunk.incept, account.state, words), account)

    def _sign_again(self, waiting: list[Lost], root: SigningKey, account: Account) -> int:
        state, count = account.state, 0
        for each in waiting:
            if each.kind == ADD and each.device not in state.cuts:
                operation = self._sign_add(root, account, Device(each.device, each.name))
            elif each.kind == REVOKE and each.cut < state.cuts.get(each.device, OPEN):
                operation = self._sign_revoke(root, account, each.device, each.cut)
            else:
                continue
            count += self._store.put_operation(operation)
        self._store.forget_lost_operations()
        return count

    def _sign_revoke(self, root: SigningKey, account: Account, device: PublicKey, cut: Cut) -> SignedOperation:
        return building.build_revoke(root, account.id, account.state.table, device, cut, **self._fresh())

    def _sign_add(self, root: SigningKey, account: Account, device: Device) -> SignedOperation:
        return building.build_add(root, account.id, account.state.table, device, **self._fresh())

    # -- cutting off

    def plan_cut(self, device: str, at: Last | Cid = Last.SEEN, shown: int = 3) -> CutPlan:
        """What revoking a device there would keep and hide; raises ``NotFound``, ``DeviceRefused``."""
        found = self.find(device)
        with self._store.snapshot() as snapshot:
            account = self._account(snapshot)
            cut = _find_cut(snapshot, account, found.key, at)
            standing = account.state.cut_of(found.key)
            if standing is not None and cut >= standing:
                raise DeviceRefused(f"device {found.name!r} was cut off at an earlier place already: the lowest wins")
            kept = snapshot.newest_in_force(account, found.key, shown, cut[0]) if cut != NOTHING else []
            lost = [
                record
                for record in snapshot.newest_in_force(account, found.key, found.in_force + found.contested)
                if record.entry.header.seq > cut[0]
            ][::-1]
        return CutPlan(found, cut, tuple(kept), tuple(lost[:shown]), len(lost))

    def revoke(self, plan: CutPlan, words: Words | None = None) -> DeviceInfo:
        """Cut a device off as planned."""
        root, account = self._root(words)
        self._put(self._sign_revoke(root, account, plan.device.key, plan.cut))
        return self._device(plan.device.key)

    def freeze(self, words: Words | None = None) -> None:
        """Stop all adds until the next rotate: what to do at once when the root key may be in other hands."""
        if Alarm.FROZEN in self._trunk()[1].state.alarms:
            raise DeviceRefused("this account is frozen already; the next rotate ends that")
        root, account = self._root(words)
        self._put(building.build_freeze(root, account.id, account.state.table, **self._fresh()))

    # -- rotating

    def plan_rotation(self) -> RotationPlan:
        """The table that would change nothing but the keys: every device as it stands now."""
        trunk, account = self._trunk()
        state = account.state
        if state.generation >= GENERATIONS:
            raise DeviceRefused(f"no rotations left: an account has {GENERATIONS}")
        this = self._keys.device_facts().public
        rows = [Device(key, state.names.get(key, ""), cut) for key, cut in state.cuts.items()]
        # What a freeze silenced keeps the end that a revoke gave it; what no revoke ended needs a person's word.
        silenced = [
            Device(key, add.name, trunk.revokes[key].cut if key in trunk.revokes else OPEN)
            for key, add in trunk.adds.items()
            if key not in state.cuts
        ]
        rows += [row for row in silenced if row.cut != OPEN and row.key != this]
        # The device at which the words are typed is the one the person trusts.
        others = sorted((row for row in rows if row.key != this), key=lambda row: (row.cut != OPEN, row.name, row.key))
        mine = next((row for row in (*rows, *silenced) if row.key == this), Device(this, "this device"))
        added = frozenset(trunk.adds) - {row.key for row in trunk.table.devices}
        alarms = tuple(sorted(alarm.value for alarm in state.alarms))
        ours = replace(mine, cut=OPEN)
        waiting = tuple(row for row in silenced if row.cut == OPEN and row.key != this)
        return RotationPlan(state.generation + 1, state.table, (ours, *others), this, added, waiting, alarms)

    def cut_row(self, row: Device, at: Last | Cid) -> Device:
        """A row of a plan with its log ended; raises ``NotFound`` for a record that is not of this device."""
        with self._store.snapshot() as snapshot:
            return replace(row, cut=_find_cut(snapshot, self._account(snapshot), row.key, at))

    def describe_rotation(self, plan: RotationPlan) -> tuple[RowPlan, ...]:
        """What a plan does to each device, this one first, those it drops last."""
        rows = {row.key: row for row in plan.rows}
        with self._store.snapshot() as snapshot:
            account = self._account(snapshot)
            known = {device.key: device for device in describe(snapshot, account).devices}
            planned = [_describe_row(snapshot, account, row, plan, known.get(row.key)) for row in plan.rows]
        dropped = [
            RowPlan(
                key=device.key,
                name=device.name,
                state=DeviceState.UNLISTED,
                cut=None,
                is_this=False,
                is_added=device.key in plan.added,
                stays=0,
                goes=device.in_force + device.contested,
                returns=0,
            )
            for device in known.values()
            if device.key not in rows and (device.state is not DeviceState.UNLISTED or device.is_added)
        ]
        return (*planned, *dropped)

    def rotate(self, plan: RotationPlan, words: Words, *, close: bool = False) -> IdentityInfo:
        """Sign the planned table with the next turn key: nothing signed for earlier generations counts any more."""
        trunk, account = self._trunk()
        check_words(trunk.incept, words)
        if account.state.table != plan.replaces:
            raise DeviceRefused("the account's table changed since this was planned; look at it again")
        if len(plan.rows) > MAX_ROWS:
            raise DeviceRefused(f"a table has room for {MAX_ROWS} devices, not for {len(plan.rows)}; drop some")
        keeps_root = self._keys.keeps_root() is not None
        if keeps_root:
            self._keys.sealing_passphrase()  # asked, and tried, before anything is signed
        self._put(
            building.build_rotate(
                words, plan.generation, account.id, plan.replaces, plan.rows, closed=close, **self._fresh()
            )
        )
        if keeps_root:
            self._keys.keep_root(words.root(plan.generation))
        return self._own_identity()

    # -- this device

    def renew(self, words: Words | None = None, name: str | None = None) -> tuple[DeviceInfo, int]:
        """A new key for this device, and how many records were signed again under it.

        For a home that turned out to be an older copy, or whose log forked. The old key stays listed until it is
        revoked.
        """
        if name is not None:
            check_device_name(name)
        trunk, account = self._trunk()
        before = self._keys.device_facts().public
        root = self._keys.root(trunk.incept, account.state, words)
        self._keys.device()  # the passphrase, if one is needed, before anything changes
        key = self._keys.make_next_device()
        called = name or account.state.names.get(before) or "renewed device"
        _check_may_add(trunk, account.state, key.public)
        config = self._config
        publisher = Publisher(key, network=config.network, clock_ms=config.clock_ms, random_bytes=config.random_bytes)
        added = self._sign_add(root, account, Device(key.public, called))
        written = self._store.renew_device(publisher, added)
        self._keys.use_next_device()
        return self._device(key.public), len(written)

    # -- the root key and the words

    def keep_root(self, words: Words) -> None:
        """Keep the root key on this machine, sealed by the passphrase: then add and revoke need no words."""
        trunk, account = self._trunk()
        self._keys.keep_root(self._keys.root(trunk.incept, account.state, words))

    def forget_root(self) -> None:
        """Remove the root key from this machine; raises ``KeyFileError`` if it is not kept here."""
        if not self._keys.forget_root():
            raise KeyFileError("the root key is not kept on this machine")

    def check_words(self, text: str) -> None:
        """Raise ``BadWords`` unless these are the 24 words of this account."""
        trunk, _ = self._trunk()
        check_words(trunk.incept, parse_words(text))

    def waiting_words(self) -> Words | None:
        """The recovery words that wait in a file to be written down; raises ``BadWords`` if the file holds others."""
        path = self.words_wait_at()
        if path is None:
            return None
        trunk, _ = self._trunk()
        words = read_words(path)
        check_words(trunk.incept, words)
        return words

    def words_wait_at(self) -> Path | None:
        """The file in which the recovery words still lie in the clear, also in a home that was moved."""
        with self._store.snapshot() as snapshot:
            path = snapshot.words_at()
        for each in (path, Home(self._config.home).words) if path is not None else ():
            try:
                if each.exists():
                    return each
            except OSError:  # a folder that is somebody else's by now
                continue
        return None

    def forget_waiting_words(self) -> Path | None:
        """Erase the file of the words, which are on paper now, and end the reminder; where it was."""
        path = self.words_wait_at()
        if path is not None:
            erase_private(path)
        self._store.put_words_at(None)
        return path

    # -- the passphrase

    def is_sealed(self) -> bool:
        """Whether this device's key wants a passphrase; raises ``KeyFileError``."""
        return self._keys.device_facts().is_sealed

    def change_passphrase(self, new: Callable[[], str] | None) -> None:
        """Seal the keys kept here anew, or take the seal off; raises ``KeyFileError``, and then changes nothing."""
        self._keys.change_passphrase(new)

    # -- inside

    def _put(self, operation: SignedOperation) -> None:
        if not self._store.put_operation(operation):
            raise DeviceRefused("the account as it stands does not let this count; see: unhush identity log")

    def _fresh(self) -> "_Fresh":
        config = self._config
        return {"time_ms": config.clock_ms(), "salt": config.random_bytes(16), "network": config.network}

    def _root(self, words: Words | None) -> tuple[SigningKey, Account]:
        """The root key of the table that stands, and the account after what waited for that key was signed."""
        trunk, account = self._trunk()
        root = self._keys.root(trunk.incept, account.state, words)
        with self._store.snapshot() as snapshot:
            waiting = snapshot.lost_operations()
        if waiting:
            self._sign_again(waiting, root, account)
            account = self._trunk()[1]
        return root, account

    def _trunk(self) -> tuple[Trunk, Account]:
        with self._store.snapshot() as snapshot:
            account = self._account(snapshot)
            return read_trunk(snapshot, account), account

    def _account(self, snapshot: Snapshot) -> Account:
        own = snapshot.own_account()
        found = snapshot.account(own) if own is not None else None
        if found is None:
            raise NoAccount(self._config.home)
        return found

    def _own_identity(self) -> IdentityInfo:
        with self._store.snapshot() as snapshot:
            return describe(snapshot, self._account(snapshot))

    def _device(self, key: PublicKey) -> DeviceInfo:
        return next(device for device in self._own_identity().devices if device.key == key)


class _Fresh(TypedDict):
    """What every operation takes beside its meaning."""

    time_ms: int
    salt: bytes
    network: str


def check_device_name(name: str) -> None:
    """Raise ``BadConfig`` for what the protocol does not let a device be called."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError as exc:
        raise BadConfig("the name of a device is Unicode text") from exc
    if not name.strip() or size > MAX_NAME_BYTES:
        raise BadConfig(f"the name of a device has 1 to {MAX_NAME_BYTES} bytes")


def _describe_row(
    snapshot: Snapshot, account: Account, row: Device, plan: RotationPlan, known: DeviceInfo | None
) -> RowPlan:
    shown = known.in_force + known.contested if known is not None else 0
    if row.cut == OPEN:
        stays = shown
    elif row.cut == NOTHING:
        stays = 0
    else:
        stays = len(snapshot.newest_in_force(account, row.key, shown, row.cut[0]))
    was_open = known is not None and known.state is DeviceState.OPEN
    return RowPlan(
        key=row.key,
        name=row.name,
        state=state_of(row.cut),
        cut=cut_of(row.cut),
        is_this=row.key == plan.this,
        is_added=row.key in plan.added,
        stays=stays,
        goes=shown - stays,
        returns=known.void + known.unproven if known is not None and row.cut == OPEN and not was_open else 0,
    )


def _check_may_add(trunk: Trunk, state: State, key: PublicKey) -> None:
    """Raise ``DeviceRefused`` with the reason for which an add would not count."""
    if key in state.cuts:
        cut = state.cuts[key]
        raise DeviceRefused(
            "this device is listed already"
            if cut == OPEN
            else "this device was cut off, and an add never opens it again; a rotate can"
        )
    for reason, is_so in (
        ("frozen", Alarm.FROZEN in state.alarms),
        ("closed", state.closed),
        ("flooded with devices", Alarm.FLOODED in state.alarms),
    ):
        if is_so:
            raise DeviceRefused(f"this account is {reason}, so no add counts; a rotate can list the device")
    named = (trunk.adds.keys() | trunk.revokes.keys()) - {row.key for row in trunk.table.devices}
    if len(named | {key}) > limit(trunk.table):
        raise DeviceRefused(f"this generation has named {len(named)} new devices, no more count; rotate first")


def _find_cut(snapshot: Snapshot, account: Account, key: PublicKey, at: Last | Cid) -> Cut:
    if at is Last.NOTHING:
        return NOTHING
    if at is Last.SEEN:
        # Of a device that a freeze silenced nothing is in force, and yet all of it was seen.
        newest = snapshot.newest_in_force(account, key, 1) or (
            snapshot.newest_held(account, key) if account.state.cut_of(key) is None else []
        )
        return (newest[0].entry.header.seq, newest[0].cid.bytes) if newest else NOTHING
    record = snapshot.record(at)
    if record is None or record.account != account.id or record.entry.header.key != key:
        raise NotFound(f"{at} is no record of this device that is kept here")
    return record.entry.header.seq, at.bytes


def open_row(key: PublicKey, name: str) -> Device:
    """A row of a table whose log has no end."""
    return Device(key, name)
