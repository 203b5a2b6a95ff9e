"""The verbs on an account's devices: add, revoke, freeze, rotate, and a new key for this one (PROTOCOL §3).

Each signs one operation on the table that stands, with the root key from the
words or from the sealed file, and puts it through the same door as operations
of others; a running node passes it on. An operation that would not count is
refused before it is signed, with the reason.
"""

from dataclasses import dataclass, replace
from enum import Enum
from typing import TypedDict

from unhush.identity import building
from unhush.identity.cid import Cid
from unhush.identity.keys import PublicKey, SigningKey
from unhush.identity.operations import MAX_ROWS, NOTHING, OPEN, Cut, Device, SignedOperation
from unhush.identity.request import encode_request, parse_request
from unhush.identity.trunk import Alarm, State, Trunk, limit
from unhush.identity.words import GENERATIONS, Words, parse_words
from unhush.node.config import Config
from unhush.node.errors import BadConfig, DeviceRefused, KeyFileError, NoAccount, NotFound
from unhush.node.identities import describe, describe_operations, read_trunk
from unhush.node.secrets import Keys, check_words
from unhush.node.views import DeviceInfo, IdentityInfo, OperationInfo
from unhush.storage.accounts import Account
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
    alarms: tuple[str, ...]


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
        exact = [device for device in devices if wanted in (device.name, str(device.key))]
        found = exact or [device for device in devices if len(wanted) > 3 and str(device.key).startswith(wanted)]
        if not found:
            raise NotFound(f"this account has no device {text!r}; see: unhush device list")
        if len(found) > 1:
            keys = ", ".join(str(device.key) for device in found)
            raise BadConfig(f"several devices answer to {text!r}, name one by its key: {keys}")
        return found[0]

    # -- adding

    def request(self, name: str) -> str:
        """The code by which this machine asks to be added; its key is made now, if there is none."""
        key = self._keys.make_device(sealed=self._config.passphrase is not None)
        return encode_request(key, name, self._config.network)

    def add(self, code: str, words: Words | None = None) -> DeviceInfo:
        """Open the device that made this code; raises ``DeviceRefused`` if the account would not let that count."""
        request = parse_request(code, self._config.network)
        return self.add_key(Device(request.key, request.name), words)

    def add_key(self, device: Device, words: Words | None = None) -> DeviceInfo:
        trunk, account = self._trunk()
        _check_may_add(trunk, account.state, device.key)
        root = self._keys.root(trunk.incept, account.state, words)
        self._put(self._sign_add(root, account, device))
        return self._device(device.key)

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
        trunk, account = self._trunk()
        root = self._keys.root(trunk.incept, account.state, words)
        table = account.state.table
        self._put(building.build_revoke(root, account.id, table, plan.device.key, plan.cut, **self._fresh()))
        return self._device(plan.device.key)

    def freeze(self, words: Words | None = None) -> None:
        """Stop all adds until the next rotate: what to do at once when the root key may be in other hands."""
        trunk, account = self._trunk()
        if Alarm.FROZEN in account.state.alarms:
            raise DeviceRefused("this account is frozen already; the next rotate ends that")
        root = self._keys.root(trunk.incept, account.state, words)
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
        # The device at which the words are typed is the one the person trusts.
        others = sorted((row for row in rows if row.key != this), key=lambda row: (row.cut != OPEN, row.name, row.key))
        mine = next((row for row in rows if row.key == this), Device(this, "this device"))
        added = frozenset(trunk.adds) - {row.key for row in trunk.table.devices}
        alarms = tuple(sorted(alarm.value for alarm in state.alarms))
        ours = replace(mine, cut=OPEN)
        return RotationPlan(state.generation + 1, state.table, (ours, *others), this, added, alarms)

    def cut_row(self, row: Device, at: Last | Cid) -> Device:
        """A row of a plan with its log ended; raises ``NotFound`` for a record that is not of this device."""
        with self._store.snapshot() as snapshot:
            return replace(row, cut=_find_cut(snapshot, self._account(snapshot), row.key, at))

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
            self._keys.passphrase()  # asked before anything is signed
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
        if self._keys.keeps_root() is None:
            raise KeyFileError("the root key is not kept on this machine")
        self._keys.forget_root()

    def check_words(self, text: str) -> None:
        """Raise ``BadWords`` unless these are the 24 words of this account."""
        trunk, _ = self._trunk()
        check_words(trunk.incept, parse_words(text))

    # -- inside

    def _put(self, operation: SignedOperation) -> None:
        if not self._store.put_operation(operation):
            raise DeviceRefused("the account as it stands does not let this count; see: unhush identity log")

    def _fresh(self) -> "_Fresh":
        config = self._config
        return {"time_ms": config.clock_ms(), "salt": config.random_bytes(16), "network": config.network}

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
        newest = snapshot.newest_in_force(account, key, 1)
        return (newest[0].entry.header.seq, newest[0].cid.bytes) if newest else NOTHING
    record = snapshot.record(at)
    if record is None or record.account != account.id or record.entry.header.key != key:
        raise NotFound(f"{at} is no record of this device that is kept here")
    return record.entry.header.seq, at.bytes
