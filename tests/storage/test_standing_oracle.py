"""The store's standing of logs is what the trunk rule says of the bare set, whatever comes in whatever order.

Accounts with several devices live at random: records of every kind, forks,
adds, revokes, rotates and freezes, honest or not. Everything is
given to stores in random order and batches, with repetition, some bodies late
and some never, and after each batch all that a store says is compared with a
naive fold over what it holds.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Final

import pytest
from tests.support.bodies import random_body
from tests.support.oracle import (
    TextReader,
    actual_view,
    expected_standings,
    expected_view,
    indexes_held,
    indexes_rebuilt,
)
from tests.support.people import NETWORK, Clock, Device, Person, Written, cut_at, id_of, ingest, open_home

from unhush.identity.cid import RAW_PREFIX, Cid
from unhush.identity.entry import Entry, parse_entry, stored_entry
from unhush.identity.keys import PublicKey, SigningKey
from unhush.identity.operations import NOTHING, OPEN, Cut, Op, Table, parse_operation
from unhush.identity.operations import Device as Row
from unhush.identity.trunk import Standing, State, find_trunk, fold
from unhush.storage import logs
from unhush.storage.arrivals import Arrival
from unhush.storage.kinds import Body
from unhush.storage.records import Record
from unhush.storage.snapshot import Snapshot
from unhush.storage.store import Store
from unhush.storage.verify import verify_store

MAX_TURNS: Final = 30  # to give everything again until nothing changes


@contextmanager
def memory_home(clock: Clock) -> Iterator[Store]:
    """A store on a disk that is memory where there is one: thousands of synced commits are not what is tested."""
    fast = Path("/dev/shm")
    with TemporaryDirectory(dir=fast if fast.is_dir() else None) as folder, open_home(Path(folder), clock) as store:
        yield store


@dataclass
class Member:
    """One account: its devices, all it ever wrote, and its tables."""

    person: Person
    devices: list[Device]
    written: list[Written] = field(default_factory=list)
    tables: list[tuple[int, Cid]] = field(default_factory=list)  # generation and id
    operations: list[Arrival] = field(default_factory=list)

    def entries_of(self, device: Device) -> list[Entry]:
        return [written.entry for written in self.written if written.entry.header.key == device.key.public]


class World:
    """Up to three accounts and their lives, the same for the same seed."""

    def __init__(self, seed: str, *, length: int, is_badly_signed: bool = False) -> None:
        self.random = Random(seed)
        self.clock = Clock()
        self.is_badly_signed = is_badly_signed
        self.members = [self._member(number) for number in range(self.random.choice((1, 1, 2, 3)))]
        self.fork_rate = self.random.choice((0.0, 0.05, 0.2))
        self.operation_rate = self.random.choice((0.05, 0.1, 0.2))
        for _ in range(length):
            self._act(self.random.choice(self.members))

    def arrivals(self) -> list[Arrival]:
        return [
            arrival
            for member in self.members
            for arrival in (*member.operations, *(written.arrival for written in member.written))
        ]

    def _member(self, number: int) -> Member:
        person = Person(f"P{number}", seed=self.random.randrange(2**32), clock_ms=self.clock)
        member = Member(person, [person.device])
        member.operations.append(person.incept)
        member.tables.append((0, person.account))
        return member

    def _act(self, member: Member) -> None:
        self.clock.advance(self.random.choice((0, 0, 1, 1_000)))
        if self.random.random() < self.operation_rate:
            self._operate(member)
        else:
            self._write(member)

    def _write(self, member: Member) -> None:
        person, device = member.person, self.random.choice(member.devices)
        own = member.entries_of(device)
        if own and self.random.random() < self.fork_rate:
            device.head = self.random.choice([None, *own])
        elif own and self.random.random() < 0.05:
            device.head = max(own, key=lambda entry: entry.header.seq)
        time_ms = self.clock() - self.random.choice((0, 0, 5_000))
        body = self._body(member)
        if self.is_badly_signed and self.random.random() < 0.1:
            kept, person.device = person.device, device
            member.written.append(person.write_badly_signed(body))
            person.device = kept
        else:
            member.written.append(person.write(body, time_ms=time_ms, by=device))

    def _body(self, member: Member) -> Body:
        return random_body(
            self.random,
            member.person.name,
            own=[written.cid for written in member.written],
            anything=[written.cid for other in self.members for written in other.written],
            people=[other.person.account for other in self.members],
        )

    def _operate(self, member: Member) -> None:
        person = member.person
        generation, table = self.random.choice(member.tables[-2:])
        match self.random.randrange(10):
            case 0 | 1:
                device = Device(SigningKey(person.random_bytes(32)))
                if self.random.random() < 0.2:
                    device = self.random.choice(member.devices)
                else:
                    member.devices.append(device)
                member.operations.append(person.add(device, on=table, root=generation))
            case 2 | 3 | 4 | 5:
                device = self.random.choice(member.devices)
                revoke = person.revoke(device.key.public, self._cut(member, device), on=table, root=generation)
                member.operations.append(revoke)
            case 6 if self.random.random() < 0.3:
                member.operations.append(person.freeze(on=table, root=generation))
            case _:
                self._rotate(member)

    def _rotate(self, member: Member) -> None:
        newest = member.tables[-1][0]
        generation = max(1, newest + self.random.choice((0, 1, 1, 1, 2)))
        rows = [self._row(member, device) for device in member.devices if self.random.random() < 0.8]
        rotate = member.person.rotate(generation, rows, closed=self.random.random() < 0.05)
        member.operations.append(rotate)
        member.tables.append((generation, id_of(rotate)))

    def _row(self, member: Member, device: Device) -> Row:
        is_open = self.random.random() < 0.6
        return Row(device.key.public, "row", OPEN if is_open else self._cut(member, device))

    def _cut(self, member: Member, device: Device) -> Cut:
        """Mostly at an entry of the device, of whichever branch; sometimes at none, or at what nobody can find."""
        own = member.entries_of(device)
        choice = self.random.random()
        if choice < 0.1 or not own:
            return NOTHING
        seq, entry = cut_at(self.random.choice(own))
        if choice < 0.14:
            return seq + self.random.choice((-1, 1)) if seq else 1, entry
        if choice < 0.17:
            return seq, RAW_PREFIX + entry[len(RAW_PREFIX) :]
        if choice < 0.2:
            return seq, id_of(self.random.choice(member.operations)).bytes
        return seq, entry


class Delivery:
    """One store, what it was given so far, and what it must say after that."""

    def __init__(self, store: Store, world: World, seed: str) -> None:
        self.store = store
        self.random = Random(seed)
        self.world = world
        self.given: dict[Cid, Table | Op] = {}
        self.texts = TextReader(store)
        if self.random.random() < 0.6:
            # The home of a first member, written with a device of which nothing is known: all its logs are others'.
            store.adopt_account(world.members[0].person.account, SigningKey(self.random.randbytes(32)).public)

    def give(self, *arrivals: Arrival) -> None:
        for arrival in arrivals:
            entry = parse_entry(arrival.entry)
            if entry.header.is_identity and arrival.body is not None:
                self.given[entry.cid] = parse_operation(stored_entry(arrival.entry), arrival.body)
        ingest(self.store, *arrivals)

    def give_all(self, arrivals: list[Arrival]) -> None:
        mixed = self.random.sample(arrivals, len(arrivals))
        if self.random.random() < 0.5:  # mostly in the order of their lives, as sync does it
            mixed = sorted(arrivals, key=lambda arrival: arrivals.index(arrival) + self.random.randrange(10))
        never = {self.random.randrange(len(arrivals)) for _ in range(self.random.choice((0, 3)))}
        at = 0
        while at < len(mixed):
            size = self.random.choice((1, 1, 2, 3, 5, 8, 13))
            some = mixed[at : at + size] + self.random.sample(mixed[: at + size], min(at, self.random.choice((0, 2))))
            late = [
                Arrival(arrival.entry, None)
                if not is_operation(arrival) and (self.random.random() < 0.1 or arrivals.index(arrival) in never)
                else arrival
                for arrival in some
            ]
            self.give(*late)
            at += size
            self.check(share=0.35)

    def settle(self, arrivals: list[Arrival]) -> None:
        """Give everything again until nothing changes."""
        for _ in range(MAX_TURNS):
            before = self.store.last_aid()
            for start in range(0, len(arrivals), 16):
                self.give(*arrivals[start : start + 16])
            if self.store.last_aid() == before:
                return
        raise AssertionError("the store never comes to rest")

    def states(self) -> dict[Cid, State]:
        trunks = {
            member.person.account: find_trunk(member.person.account, self.given.values())
            for member in self.world.members
        }
        return {account: fold(trunk) for account, trunk in trunks.items() if trunk is not None}

    def shown(self, snapshot: Snapshot, records: list[Record], standings: dict[Cid, Standing]) -> set[Cid]:
        """Of open logs what stands in the slots, of the others what is in force."""
        states = self.states()
        in_slots = {record.cid for _, _, log in snapshot.logs() for record in snapshot.log_records(log)}
        return {
            record.cid
            for record in records
            if record.cid in standings
            and (
                record.cid in in_slots
                if states[record.account].cut_of(record.entry.header.key) == OPEN
                else standings[record.cid] is Standing.IN_FORCE
            )
        }

    def check(self, *, share: float = 1.0) -> None:
        """Standings and slots always; ``share`` of the times also everything people see, which takes longer."""
        states = self.states()
        with self.store.snapshot() as snapshot:
            records, own = list(snapshot.journal(0)), snapshot.own_account()
            accounts = {account: snapshot.account(account) for account in snapshot.accounts()}
            assert {account: found.state for account, found in accounts.items() if found is not None} == states
            standings = expected_standings(records, states)
            actual = {
                record.cid: snapshot.standing(record) for record in records if not record.entry.header.is_identity
            }
            assert actual == standings
            self._check_devices(snapshot, records, standings, states)
            self._check_slots(snapshot, records)
            shown = self.shown(snapshot, records, standings)
            if self.random.random() < 0.3:
                report = verify_store(snapshot, network=NETWORK, check_cid=lambda _cid, _block: True)
                assert report.bad == 0, report.problems
        if self.random.random() < share:
            assert actual_view(self.store) == expected_view(records, own, shown)
            assert indexes_held(self.store) == indexes_rebuilt(self.store, shown)
            self.texts.catch_up()
            assert self.texts.texts == self.texts.expected()

    def _check_devices(
        self, snapshot: Snapshot, records: list[Record], standings: dict[Cid, Standing], states: dict[Cid, State]
    ) -> None:
        for account_id, state in states.items():
            account = snapshot.account(account_id)
            assert account is not None
            is_incomplete = False
            for device in snapshot.devices(account):
                worth = [
                    standings[record.cid]
                    for record in records
                    if record.cid in standings
                    and record.entry.header.key == device.key
                    and record.account == account_id
                ]
                counted = (device.in_force, device.contested, device.unproven, device.void)
                assert counted == tuple(
                    worth.count(each)
                    for each in (Standing.IN_FORCE, Standing.CONTESTED, Standing.UNPROVEN, Standing.VOID)
                )
                assert device.cut == state.cut_of(device.key)
                if device.cut not in (None, NOTHING, OPEN):
                    assert device.cut is not None
                    is_incomplete |= device.in_force <= device.cut[0]
            assert snapshot.is_incomplete(account) == is_incomplete

    def _check_slots(self, snapshot: Snapshot, records: list[Record]) -> None:
        """Every entry stands in one place, neighbours name each other, and runs are what the slots are."""
        stand: list[Cid] = []
        for account, key, log in snapshot.logs():
            slots = {record.entry.header.seq: record for record in snapshot.log_records(log)}
            for seq, record in slots.items():
                assert seq - 1 not in slots or record.entry.header.prev == slots[seq - 1].cid
                assert (record.account, record.entry.header.key) == (account, key)
            assert {seq for low, high in snapshot.runs(log) for seq in range(low, high + 1)} == set(slots)
            stand += [record.cid for record in slots.values()]
            stand += [slot.cid for _, slot in logs.iter_beside(snapshot._txn, log)]
        assert sorted(stand) == sorted(record.cid for record in records if not record.entry.header.is_identity)

    def outcome(self) -> tuple[dict[Cid, State], dict[tuple[Cid, PublicKey], frozenset[Cid]]]:
        """What all who were given everything must agree on: states, and what is shown of cut logs."""
        states = self.states()
        with self.store.snapshot() as snapshot:
            records = list(snapshot.journal(0))
            shown = self.shown(snapshot, records, expected_standings(records, states))
        cut = {
            (account, key): frozenset(
                record.cid
                for record in records
                if record.cid in shown and (record.account, record.entry.header.key) == (account, key)
            )
            for account, state in states.items()
            for key, at in state.cuts.items()
            if at != OPEN
        }
        return states, cut


def is_operation(arrival: Arrival) -> bool:
    return parse_entry(arrival.entry).header.is_identity


def live(seed: str, *, orders: int, length: int, is_badly_signed: bool = False) -> None:
    print(f"seed {seed!r}")
    world = World(seed, length=length, is_badly_signed=is_badly_signed)
    arrivals = world.arrivals()
    outcomes = []
    for order in range(orders):
        print(f"order {order}")
        with memory_home(world.clock) as store:
            delivery = Delivery(store, world, f"{seed} {order}")
            delivery.give_all(arrivals)
            delivery.settle(arrivals)
            delivery.check()
            outcomes.append(delivery.outcome())
    if not is_badly_signed:  # who vouches for a bad signature may be void with one and held with another
        assert all(outcome == outcomes[0] for outcome in outcomes)


@pytest.mark.parametrize("tens", range(8))
def test_a_store_says_what_the_rule_says_of_what_it_holds(tens: int) -> None:
    for seed in range(10 * tens, 10 * tens + 10):
        live(f"small {seed}", orders=2, length=30)


@pytest.mark.parametrize("seed", range(3))
def test_a_longer_life_comes_to_the_same_in_every_order(seed: int) -> None:
    live(f"large {seed}", orders=3, length=100)


@pytest.mark.parametrize("seed", range(8))
def test_entries_that_only_their_successors_vouch_for_change_nothing_of_that(seed: int) -> None:
    live(f"bad {seed}", orders=2, length=40, is_badly_signed=True)


def live_one_of_many(seed: int) -> None:
    live(f"many {seed}", orders=2, length=Random(seed).choice((20, 40, 60)), is_badly_signed=seed % 5 == 0)


@pytest.mark.parametrize("seed", [137])
def test_a_post_and_its_edit_that_go_together_leave_nothing_behind(seed: int) -> None:
    live_one_of_many(seed)


@pytest.mark.long
@pytest.mark.parametrize("hundreds", range(30))
def test_thousands_of_lives(hundreds: int) -> None:
    for seed in range(100 * hundreds, 100 * hundreds + 100):
        live_one_of_many(seed)
