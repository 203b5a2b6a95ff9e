"""Random lives of one account: an owner who adds, revokes, rotates and posts, and a thief who does what he can.

The thief steals devices, the root key of the day, all older root keys, or all of
these; he never has the words, so he never has a turn key. The last thing the
owner does is the healing rotate, which cuts every log at its last honest entry.

``Paper`` makes operations and entries nobody signed, as values that parsing
would have given: fast, for thousands of histories. ``Ink`` makes the same
things with real keys and bytes, and reads them as a stranger would.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, Protocol

from unhush.identity.building import build_add, build_freeze, build_inception, build_revoke, build_rotate
from unhush.identity.cid import DAG_CBOR_PREFIX, Cid, cid_of
from unhush.identity.codec import Value, encode
from unhush.identity.entry import Entry, Header, parse_entry, sign_entry, verify_signature
from unhush.identity.keys import PublicKey, SigningKey
from unhush.identity.operations import (
    ADD,
    FREEZE,
    NOTHING,
    OPEN,
    REVOKE,
    ROTATE,
    Cut,
    Device,
    Op,
    SignedOperation,
    Table,
    parse_operation,
)
from unhush.identity.words import Words, commit

MOST_GENERATIONS: Final = 16  # of a life on paper; the rule itself knows 256
NETWORK: Final = "test"
_BODY: Final = cid_of(b"\xa0")


class Holder(Protocol):
    """Somebody's secret key, of which the generator needs only the public half."""

    @property
    def public(self) -> PublicKey: ...


@dataclass(frozen=True)
class Name:
    """A key on paper: it signs nothing."""

    public: PublicKey


class Press(Protocol):
    """What a life needs in order to be written down."""

    account: Cid
    incept: Table

    def key(self) -> Any: ...
    def root(self, generation: int) -> Any: ...
    def turn(self, generation: int) -> Any: ...
    def commitment(self, generation: int) -> bytes: ...
    def rotate(self, generation: int, replaces: Cid, rows: Sequence[Device], *, closed: bool) -> Table: ...
    def forge(self, signer: Any, root: PublicKey, after: bytes, path: list[PublicKey], rows: list[Device]) -> Table: ...
    def add(self, root: Any, on: Cid, device: Device) -> Op: ...
    def revoke(self, root: Any, on: Cid, device: PublicKey, cut: Cut) -> Op: ...
    def freeze(self, root: Any, on: Cid) -> Op: ...
    def write(self, signer: Any, after: Entry | None) -> Entry: ...


class Paper:
    """Values without signatures, all drawn from ``rng``."""

    def __init__(self, rng: Random, first: Callable[[Any], Device]) -> None:
        self._rng = rng
        self._roots = [self.key() for _ in range(MOST_GENERATIONS + 1)]
        self._turns = [self.key() for _ in range(MOST_GENERATIONS + 1)]
        self._chain = [bytes(32)]
        for turn in self._turns[:0:-1]:
            self._chain.append(commit(turn.public, self._chain[-1]))
        self._chain.reverse()
        self.account = self.cid()
        root = self._roots[0].public
        self.incept = Table(self.account, root, root, self._chain[0], (), (first(self.key()),))

    def cid(self) -> Cid:
        return Cid(DAG_CBOR_PREFIX + self._rng.randbytes(32))

    def key(self) -> Name:
        return Name(PublicKey(self._rng.randbytes(32)))

    def root(self, generation: int) -> Name:
        return self._roots[generation]

    def turn(self, generation: int) -> Name:
        return self._turns[generation]

    def commitment(self, generation: int) -> bytes:
        return self._chain[generation]

    def rotate(self, generation: int, replaces: Cid, rows: Sequence[Device], *, closed: bool) -> Table:
        path = tuple(turn.public for turn in self._turns[1 : generation + 1])
        root = self._roots[generation].public
        return Table(self.cid(), path[-1], root, self._chain[generation], path, tuple(rows), closed)

    def forge(self, signer: Name, root: PublicKey, after: bytes, path: list[PublicKey], rows: list[Device]) -> Table:
        return Table(self.cid(), signer.public, root, after, tuple(path), tuple(rows))

    def add(self, root: Name, on: Cid, device: Device) -> Op:
        return Op(self.cid(), root.public, on, ADD, device.key, device.name)

    def revoke(self, root: Name, on: Cid, device: PublicKey, cut: Cut) -> Op:
        return Op(self.cid(), root.public, on, REVOKE, device, "", cut)

    def freeze(self, root: Name, on: Cid) -> Op:
        return Op(self.cid(), root.public, on, FREEZE)

    def write(self, signer: Name, after: Entry | None) -> Entry:
        seq, prev = (after.header.seq + 1, after.cid) if after else (0, None)
        header = Header(self.account, signer.public, seq, prev, 0, "post", _BODY, 1)
        return Entry(header, self.account, self.cid(), b"")


class Ink:
    """The same with real keys, signatures, CIDs and bytes."""

    def __init__(self, rng: Random, first: Callable[[Any], Device]) -> None:
        self._rng = rng
        self._words = Words(rng.randbytes(32))
        device = first(self.key())
        born = build_inception(self._words, device=device.key, name=device.name, **self._how())
        self.account = born.entry.account
        self.incept: Table = _read(born)

    def _how(self) -> dict[str, Any]:
        return {"time_ms": self._rng.randrange(1_000), "salt": self._rng.randbytes(16), "network": NETWORK}

    def key(self) -> SigningKey:
        return SigningKey(self._rng.randbytes(32))

    def root(self, generation: int) -> SigningKey:
        return self._words.root(generation)

    def turn(self, generation: int) -> SigningKey:
        return self._words.turn(generation)

    def commitment(self, generation: int) -> bytes:
        return self._words.commitment(generation)

    def rotate(self, generation: int, replaces: Cid, rows: Sequence[Device], *, closed: bool) -> Table:
        made = build_rotate(self._words, generation, self.account, replaces, rows, closed=closed, **self._how())
        return _read(made)

    def forge(
        self, signer: SigningKey, root: PublicKey, after: bytes, path: list[PublicKey], rows: list[Device]
    ) -> Table:
        listed: list[Value] = [{"key": row.key.bytes, "name": row.name} for row in rows]
        fields: dict[str, Value] = {"root": root.bytes, "next": after, "devices": listed}
        if not path:
            return _read(build_inception(Words(root.bytes), device=rows[0].key, name="", **self._how()))
        body = encode({**fields, "path": [turn.bytes for turn in path], "salt": self._rng.randbytes(16)})
        header = Header(self.account, signer.public, 1, self.account, 0, ROTATE, cid_of(body), len(body))
        return _read(SignedOperation(sign_entry(signer, header, NETWORK), body))

    def add(self, root: SigningKey, on: Cid, device: Device) -> Op:
        return _read(build_add(root, self.account, on, device, **self._how()))

    def revoke(self, root: SigningKey, on: Cid, device: PublicKey, cut: Cut) -> Op:
        return _read(build_revoke(root, self.account, on, device, cut, **self._how()))

    def freeze(self, root: SigningKey, on: Cid) -> Op:
        return _read(build_freeze(root, self.account, on, **self._how()))

    def write(self, signer: SigningKey, after: Entry | None) -> Entry:
        seq, prev = (after.header.seq + 1, after.cid) if after else (0, None)
        header = Header(self.account, signer.public, seq, prev, self._rng.randrange(9_999), "post", _BODY, 1)
        block = sign_entry(signer, header, NETWORK).block
        return verify_signature(parse_entry(block), NETWORK)


def _read(made: SignedOperation) -> Any:
    """From bytes, as a stranger's node reads it."""
    return parse_operation(verify_signature(parse_entry(made.entry.block), NETWORK), made.body)


@dataclass
class Log:
    """One honest device and what the owner wrote with it."""

    key: Any
    entries: list[Entry] = field(default_factory=list)
    is_open: bool = True
    is_stolen: bool = False

    @property
    def last(self) -> Entry | None:
        return self.entries[-1] if self.entries else None

    @property
    def cut(self) -> Cut:
        return cut_at(self.last)


def cut_at(entry: Entry | None) -> Cut:
    return NOTHING if entry is None else (entry.header.seq, entry.cid.bytes)


@dataclass(frozen=True)
class History:
    """All that was ever signed, in the order in which it was."""

    account: Cid
    operations: list[Table | Op]
    honest: list[Entry]
    forged: list[Entry]
    healed: Table

    @property
    def storm(self) -> list[Table | Op]:
        """The operations before the healing rotate, when the thief still has a say."""
        return self.operations[: self.operations.index(self.healed)]


class Life:
    """One account from its inception to its healing rotate and a little beyond."""

    def __init__(self, rng: Random, press: type[Paper] | type[Ink]) -> None:
        self.rng = rng
        self.logs: list[Log] = []
        self.press: Any = press(rng, self._open)
        self.operations: list[Table | Op] = [self.press.incept]
        self.forged: list[Entry] = []
        self.generation = 0
        self.tables: list[Table] = [self.press.incept]  # every honest table, whatever became of it
        self.standing: Table = self.press.incept
        self.stolen_roots: dict[int, Any] = {}
        self.thief = self.press.key()

    def _open(self, key: Any) -> Device:
        self.logs.append(Log(key))
        return Device(key.public, f"device {len(self.logs)}")

    # -- the owner

    def post(self) -> None:
        opened = [log for log in self.logs if log.is_open]
        if opened:
            log = self.rng.choice(opened)
            for _ in range(self.rng.randint(1, 4)):
                log.entries.append(self.press.write(log.key, log.last))

    def add(self) -> None:
        device = self._open(self.press.key())
        root = self.press.root(self.generation)
        self.operations += [
            self.press.add(root, self.standing.id, device) for _ in range(self.rng.choice((1, 1, 1, 2)))
        ]

    def revoke(self) -> None:
        opened = [log for log in self.logs if log.is_open]
        if opened:
            log = self.rng.choice(opened)
            log.is_open = False
            root = self.press.root(self.generation)
            self.operations.append(self.press.revoke(root, self.standing.id, log.key.public, log.cut))

    def freeze(self) -> None:
        self.operations.append(self.press.freeze(self.press.root(self.generation), self.standing.id))

    def rotate(self) -> None:
        if self.generation > MOST_GENERATIONS - 5:  # two for this one, three for the healing one
            return
        before = self.standing
        self.generation += self.rng.choice((1, 1, 1, 2))
        made = []
        for _ in range(self.rng.choice((1, 1, 1, 2, 3))):  # more than one: twins, made on machines that did not meet
            rows = [self._row(log) for log in self.logs if self.rng.random() < 0.9]
            closed = self.rng.random() < 0.1
            made.append(self.press.rotate(self.generation, before.id, rows, closed=closed))
        self.tables += made
        self.operations += made
        self.standing = min(made, key=lambda table: table.id.bytes)
        if len(made) > 1 and self.rng.random() < 0.5:  # and one of the twins was already used
            device = self._open(self.press.key())
            self.operations.append(self.press.add(self.press.root(self.generation), made[-1].id, device))

    def _row(self, log: Log) -> Device:
        is_open = log.is_open and not (log.is_stolen and self.rng.random() < 0.7)
        return Device(log.key.public, "row", OPEN if is_open else log.cut)

    def heal(self) -> Table:
        """Every log cut at its last honest entry, or open if nobody else ever had its key; and a new device."""
        self.generation += self.rng.randint(1, 3)
        fresh = self._open(self.press.key())
        rows = [fresh]
        for log in self.logs[:-1]:
            stays = log.is_open and not log.is_stolen and self.rng.random() < 0.5
            log.is_open = stays
            rows.append(Device(log.key.public, "healed", OPEN if stays else log.cut))
        self.rng.shuffle(rows)
        healed: Table = self.press.rotate(self.generation, self.standing.id, rows, closed=self.rng.random() < 0.05)
        self.tables.append(healed)
        self.operations.append(healed)
        self.standing = healed
        return healed

    # -- the thief

    def steal_device(self) -> None:
        self.rng.choice(self.logs).is_stolen = True

    def steal_root(self) -> None:
        self.stolen_roots[self.generation] = self.press.root(self.generation)

    def steal_old_roots(self) -> None:
        self.stolen_roots |= {generation: self.press.root(generation) for generation in range(self.generation)}

    def write_falsely(self) -> None:
        """With a stolen device from any of its entries on, honest or not; or with a key of his own."""
        stolen = [log for log in self.logs if log.is_stolen]
        if stolen and self.rng.random() < 0.8:
            log = self.rng.choice(stolen)
            own = [entry for entry in self.forged if entry.header.key == log.key.public]
            key, after = log.key, self.rng.choice([None, log.last, *log.entries, *own])
        else:
            key, after = self.thief, None
        for _ in range(self.rng.randint(1, 4)):
            after = self.press.write(key, after)
            self.forged.append(after)

    def operate_falsely(self) -> None:
        """What a root key can sign, on the table it belongs to or on any other."""
        if not self.stolen_roots:
            return
        generation = self.rng.choice(list(self.stolen_roots))
        root = self.stolen_roots[generation]
        own = [table for table in self.tables if table.root == root.public]
        on = self.rng.choice(own if own and self.rng.random() < 0.7 else self.tables).id
        for _ in range(self.rng.randint(1, 3)):
            self.operations.append(self._sign_falsely(root, on))

    def _sign_falsely(self, root: Any, on: Cid) -> Op:
        choice = self.rng.random()
        if choice < 0.15:
            return self.press.freeze(root, on)
        if choice < 0.5:
            key = self.rng.choice((self.thief, self.press.key(), self.rng.choice(self.logs).key))
            return self.press.add(root, on, Device(key.public, "stranger"))
        log = self.rng.choice(self.logs)
        own = [entry for entry in self.forged if entry.header.key == log.key.public]
        seq, entry = cut_at(self.rng.choice([None, *log.entries, *own]))
        if seq >= 0 and self.rng.random() < 0.2:
            seq += self.rng.choice((1, 2, -seq))  # an entry that stands elsewhere in its log
        cut = (seq, entry)
        return self.press.revoke(root, on, log.key.public, cut)

    def flood(self, on: Cid | None = None) -> None:
        """From just not enough to well beyond what a table allows: the thief's own table, or one that is not his."""
        if self.stolen_roots:
            root = self.stolen_roots[max(self.stolen_roots)]
            own = [table for table in self.tables if table.root == root.public]
            on = on or self.rng.choice(own or self.tables).id
            for _ in range(self.rng.randint(62, 70)):
                key = self.press.key().public
                if self.rng.random() < 0.6:
                    self.operations.append(self.press.add(root, on, Device(key, "flood")))
                else:
                    self.operations.append(self.press.revoke(root, on, key, NOTHING))

    def replay(self) -> None:
        """An old operation said again by an old root on a newer table."""
        old = [op for op in self.operations if isinstance(op, Op) and op.device is not None]
        if old and self.stolen_roots:
            op, root = self.rng.choice(old), self.rng.choice(list(self.stolen_roots.values()))
            if op.kind == ADD:
                self.operations.append(self.press.add(root, self.standing.id, Device(op.device, op.name)))
            else:
                self.operations.append(self.press.revoke(root, self.standing.id, op.device, op.cut))

    def forge_table(self) -> None:
        """A rotate (or another inception) without the turn key that it takes."""
        generation = self.generation + 1
        seen = [self.press.turn(step).public for step in range(1, self.generation + 1)]
        root = self.stolen_roots.get(self.generation, self.thief)
        after = self.rng.choice((bytes(32), self.press.commitment(0), self.press.commitment(self.generation)))
        rows = [Device(self.thief.public, "throne")]
        signer, path = self.rng.choice(
            (
                (self.thief, [*seen, self.thief.public]),
                (self.thief, [*seen, root.public]),
                (root, [*seen, root.public]),
                (self.thief, seen or [self.thief.public]),  # the true path, by another signer
                (root, seen or [root.public]),
                (self.thief, [self.thief.public] * generation),
                (self.thief, []),  # the inception of an account of his own
            )
        )
        self.operations.append(self.press.forge(signer, root.public, after, path, rows))

    # -- all of it

    def live(self, length: int) -> History:
        owner = (self.post, self.post, self.post, self.add, self.revoke, self.rotate, self.freeze)
        crimes = (
            self.steal_device,
            self.steal_root,
            self.steal_old_roots,
            self.write_falsely,
            self.write_falsely,
            self.operate_falsely,
            self.operate_falsely,
            self.replay,
            self.forge_table,
        )
        # Some lives are quiet, some see one kind of thief, some all of them.
        acts = [*owner, *self.rng.sample(crimes, self.rng.randint(0, len(crimes)))]
        for _ in range(length):
            self.rng.choice(acts)()
        if self.rng.random() < 0.15:
            self.flood()
        healed = self.heal()
        known = (self.write_falsely, self.operate_falsely, self.replay, self.forge_table, self.post)
        for _ in range(self.rng.randint(0, 6)):
            self.rng.choice(known)()
        if self.rng.random() < 0.03:
            self.flood(on=healed.id)
        honest = [entry for log in self.logs for entry in log.entries]
        return History(self.press.account, self.operations, honest, self.forged, healed)


def live(seed: int, press: type[Paper] | type[Ink] = Paper, *, length: int = 16) -> History:
    """The history of this seed; the same in every run."""
    rng = Random(seed)
    return Life(rng, press).live(rng.randint(0, length))
