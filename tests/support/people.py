"""People to test with: accounts whose keys, clocks and dice are all known in advance.

``Person`` writes a log without any store, so a test can hand its entries to a
store in any order, damaged or whole. ``open_home`` gives a real store on a real
disk; ``Home`` is such a store with an account of its own.

Imported as ``tests.support.people``: under ``--import-mode=importlib`` pytest
makes ``tests`` a namespace package, so nothing has to be configured.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from unhush.identity.building import build_inception
from unhush.identity.cid import Cid, cid_of
from unhush.identity.codec import Value, encode
from unhush.identity.entry import Entry, Header, sign_entry
from unhush.identity.keys import PublicKey, SigningKey
from unhush.identity.operations import NOTHING, OPEN, Cut, SignedOperation
from unhush.identity.operations import Device as Row
from unhush.identity.words import Words
from unhush.storage.arrivals import Arrival, Batch, Outcome
from unhush.storage.environment import MAP_BYTES
from unhush.storage.indexes import find_body
from unhush.storage.kinds import Body, Post, Profile
from unhush.storage.publish import Publisher
from unhush.storage.records import Record
from unhush.storage.room.tiers import BOUNDLESS, Limits
from unhush.storage.schema import Table
from unhush.storage.store import Store

NETWORK: Final = "test"
START_MS: Final = 1_750_000_000_000


@dataclass
class Clock:
    """A clock that moves only when it is told to."""

    now_ms: int = START_MS

    def __call__(self) -> int:
        return self.now_ms

    def advance(self, by_ms: int) -> None:
        self.now_ms += by_ms


def dice(seed: int) -> Callable[[int], bytes]:
    """Bytes that look random and are the same in every run."""
    return Random(seed).randbytes


@dataclass(frozen=True)
class Written:
    """One record as its author made it, whether or not anybody stored it."""

    entry: Entry
    body: bytes

    @property
    def cid(self) -> Cid:
        return self.entry.cid

    @property
    def seq(self) -> int:
        return self.entry.header.seq

    @property
    def arrival(self) -> Arrival:
        return Arrival(self.entry.block, self.body)

    @property
    def without_body(self) -> Arrival:
        return Arrival(self.entry.block, None)


@dataclass
class Device:
    """One device of a person and where its log stands."""

    key: SigningKey
    head: Entry | None = None


@dataclass
class Person:
    """An account and its devices, able to write anything, also what no honest program would."""

    name: str
    seed: int
    network: str = NETWORK
    clock_ms: Callable[[], int] = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.random_bytes = dice(self.seed)
        self.words = Words(self.random_bytes(32))
        self.device = Device(SigningKey(self.random_bytes(32)))
        self.inception: SignedOperation = build_inception(
            self.words,
            device=self.device.key.public,
            name="laptop",
            time_ms=START_MS,
            salt=self.random_bytes(16),
            network=self.network,
        )

    @property
    def account(self) -> Cid:
        return self.inception.entry.account

    @property
    def key(self) -> PublicKey:
        return self.device.key.public

    @property
    def incept(self) -> Arrival:
        return Arrival(self.inception.entry.block, self.inception.body)

    # -- entries

    def write(self, body: Body, *, time_ms: int | None = None, by: Device | None = None) -> Written:
        """The next record of a device's log."""
        return self.write_fields(body.kind, body.fields(), time_ms=time_ms, by=by)

    def write_fields(
        self, kind: str, fields: dict[str, Value], *, time_ms: int | None = None, by: Device | None = None
    ) -> Written:
        block = encode({"salt": self.random_bytes(16), **fields})
        return self.write_bytes(kind, block, time_ms=time_ms, by=by)

    def write_bytes(
        self,
        kind: str,
        body: bytes,
        *,
        time_ms: int | None = None,
        by: Device | None = None,
        network: str | None = None,
        is_badly_signed: bool = False,
    ) -> Written:
        """As ``write`` for any bytes; a bad signature is a good one with a bit turned."""
        device = by or self.device
        head = device.head
        header = Header(
            account=self.account,
            key=device.key.public,
            seq=head.header.seq + 1 if head else 0,
            prev=head.cid if head else None,
            time=self.clock_ms() if time_ms is None else time_ms,
            kind=kind,
            body=cid_of(body),
            size=len(body),
            identity=None if head else self.inception.entry.cid,
        )
        entry = sign_entry(device.key, header, network or self.network)
        if is_badly_signed:
            entry = spoil_signature(entry)
        device.head = entry
        return Written(entry, body)

    def write_badly_signed(self, body: Body) -> Written:
        """A record whose own signature is wrong; only its successor can vouch for it."""
        block = encode({"salt": self.random_bytes(16), **body.fields()})
        return self.write_bytes(body.kind, block, is_badly_signed=True)

    def post(self, text: str, *, time_ms: int | None = None) -> Written:
        return self.write(Post(text), time_ms=time_ms)

    def posts(self, count: int, text: str = "post") -> list[Written]:
        return [self.post(f"{text} {number}") for number in range(count)]

    def fork(self, at: Written | None) -> None:
        """Go on writing from an earlier entry, as if what came after had never been (None: from nothing)."""
        self.device.head = at.entry if at is not None else None

    # -- identity operations

    def add_device(self, name: str = "phone", *, on: Cid | None = None, root: int = 0) -> tuple[Device, Arrival]:
        """A new device, and the root's word for it."""
        device = Device(SigningKey(self.random_bytes(32)))
        return device, self.add(device, name, on=on, root=root)

    def add(self, device: Device, name: str = "phone", *, on: Cid | None = None, root: int = 0) -> Arrival:
        fields: dict[str, Value] = {"device": {"key": device.key.public.bytes, "name": name}}
        return self.operation("identity.add", fields, on=on, root=root)

    def revoke(self, key: PublicKey, last: Entry | Cut | None, *, on: Cid | None = None, root: int = 0) -> Arrival:
        """Cut a device off after its entry ``last`` (or at any made-up cut); None: nothing of it stays."""
        fields: dict[str, Value] = {"device": key.bytes, "cut": _cut_value(last)}
        return self.operation("identity.revoke", fields, on=on, root=root)

    def freeze(self, *, on: Cid | None = None, root: int = 0) -> Arrival:
        return self.operation("identity.freeze", {}, on=on, root=root)

    def operation(self, kind: str, fields: dict[str, Value], *, on: Cid | None = None, root: int = 0) -> Arrival:
        """An operation on the inception or on another table, signed by the root of a generation."""
        return self._sign_operation(self.words.root(root), kind, fields, on or self.account)

    def rotate(self, generation: int, devices: Iterable[PublicKey | Row], *, closed: bool = False) -> Arrival:
        path: list[Value] = [self.words.turn(turn).public.bytes for turn in range(1, generation + 1)]
        rows: list[Value] = [_row(device) for device in devices]
        fields: dict[str, Value] = {
            "root": self.words.root(generation).public.bytes,
            "next": self.words.commitment(generation),
            "path": path,
            "devices": rows,
        }
        if closed:
            fields["closed"] = True
        return self._sign_operation(self.words.turn(generation), "identity.rotate", fields, self.account)

    def _sign_operation(self, key: SigningKey, kind: str, fields: dict[str, Value], on: Cid) -> Arrival:
        body = encode({"salt": self.random_bytes(16), **fields})
        header = Header(self.account, key.public, 1, on, self.clock_ms(), kind, cid_of(body), len(body))
        return Arrival(sign_entry(key, header, self.network).block, body)


def id_of(arrival: Arrival) -> Cid:
    """What an operation is called, as ``on`` for others."""
    return cid_of(arrival.entry)


def cut_at(last: Entry | Cut | None) -> Cut:
    """A cut behind an entry; made-up cuts pass."""
    match last:
        case None:
            return NOTHING
        case Entry():
            return last.header.seq, last.cid.bytes
        case _:
            return last


def _cut_value(last: Entry | Cut | None) -> Value:
    seq, entry = cut_at(last)
    return {"seq": seq, "entry": Cid(entry)} if entry else None


def _row(device: PublicKey | Row) -> Value:
    if isinstance(device, PublicKey):
        return {"key": device.bytes, "name": "kept"}
    row: dict[str, Value] = {"key": device.key.bytes, "name": device.name}
    return row if device.cut == OPEN else row | {"cut": _cut_value(device.cut)}


def spoil_signature(entry: Entry) -> Entry:
    """The same header with a signature that is wrong: another block and another id."""
    block = entry.block[:-1] + bytes([entry.block[-1] ^ 1])
    return Entry(entry.header, entry.account, cid_of(block), block)


@contextmanager
def open_home(
    home: Path, clock: Callable[[], int], *, map_bytes: int = MAP_BYTES, limits: Limits = BOUNDLESS
) -> Iterator[Store]:
    """A store in ``home``, closed afterwards; it takes in as much of strangers as a test hands it."""
    home.mkdir(parents=True, exist_ok=True)
    with Store(home, network=NETWORK, clock_ms=clock, map_bytes=map_bytes, limits=limits) as store:
        yield store


class Home:
    """A store with an account of its own, and the device that writes for it."""

    def __init__(self, store: Store, person: Person, clock: Callable[[], int]) -> None:
        self.store = store
        self.person = person
        self.publisher = publisher_of(person, clock)
        self.first = store.found_account(self.publisher, person.inception, Profile(person.name))

    def publish(self, *bodies: Body) -> list[Record]:
        return self.store.publish(self.publisher, *bodies)

    def post(self, text: str) -> Record:
        return self.publish(Post(text))[0]


def publisher_of(person: Person, clock: Callable[[], int], *, seed: int | None = None) -> Publisher:
    """The person's device, ready to write into a store."""
    random_bytes = dice(person.seed + 1_000 if seed is None else seed)
    return Publisher(person.device.key, network=NETWORK, clock_ms=clock, random_bytes=random_bytes)


def batch(*arrivals: Arrival, wanted_only: bool = False) -> Batch:
    """Arrivals as one sender gives them; taken from anybody unless ``wanted_only``."""
    return Batch(arrivals, "a test", wanted_only)


def ingest(store: Store, *arrivals: Arrival, wanted_only: bool = False) -> tuple[Outcome, ...]:
    return store.ingest(batch(*arrivals, wanted_only=wanted_only))


def arrivals_of(written: Iterable[Written]) -> list[Arrival]:
    return [record.arrival for record in written]


def cids_held(store: Store) -> set[Cid]:
    with store.snapshot() as snapshot:
        return {record.cid for record in snapshot.journal(0)}


def texts(records: Iterable[Record]) -> list[str]:
    """What posts say, in the order given."""
    bodies = [find_body(record) for record in records]
    return [body.text for body in bodies if isinstance(body, Post)]


def dump(store: Store) -> dict[Table, list[tuple[bytes, bytes]]]:
    """Every row of every table, to compare before and after."""
    with store._environment.read() as txn:
        return {table: list(txn.scan(table)) for table in Table}
