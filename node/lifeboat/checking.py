"""The check of a lifeboat by this program: the same questions that ``page/check.js`` asks in the browser.

It trusts neither the list of contents nor the order of the file: every record is
judged by its own bytes, its signature, the chain above it and the identity rule;
then what should be there by the list is held against what is. A person who runs
it need not trust the page: it also says whether the page around the data is the
one that this version writes.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final

from unhush import __version__
from unhush.identity.cid import Cid
from unhush.identity.codec import Value, decode
from unhush.identity.entry import (
    Entry,
    UnverifiedEntry,
    check_body,
    decode_body,
    does_vouch,
    is_signed,
    parse_entry,
    signed_message,
)
from unhush.identity.errors import IdentityError, MalformedBytes, WrongBody
from unhush.identity.keys import KEY_BYTES, SIGNATURE_BYTES, PublicKey, is_admissible, self_test, verify
from unhush.identity.operations import NOTHING, OPEN, ROTATE, Op, Table, find_raw_generation, parse_operation
from unhush.identity.statement import MAX_STATEMENT_BYTES, Heads
from unhush.identity.trunk import Standing, State, find_trunk, fold, judge
from unhush.node.lifeboat.form import (
    STATEMENT,
    BlockFrame,
    Contents,
    EndOfFrames,
    ExtraFrame,
    LogContents,
    Place,
    RecordFrame,
    iter_frames,
    unpack,
)
from unhush.node.lifeboat.reading import Lifeboat, opened_lifeboat
from unhush.node.lifeboat.report import LifeboatReport, Problem
from unhush.node.lifeboat.shell import build_shell
from unhush.storage.blobs.manifest import CHUNK_BYTES, parse_manifest
from unhush.storage.errors import BlobMismatch

MAX_NAMED: Final = 50  # problems told in words; the count goes on
_STEP: Final = 500  # records between two words to whoever waits
_SHOWN: Final = (Standing.IN_FORCE, Standing.CONTESTED)

Progress = Callable[[str, int], None]


def check_lifeboat(path: Path, on_progress: Progress = lambda _what, _count: None) -> LifeboatReport:
    """Check a file; raises ``NotFound`` and ``MalformedLifeboat`` where there is nothing to check."""
    self_test()
    with opened_lifeboat(path) as boat:
        return _Check(boat, on_progress).run()


@dataclass(slots=True)
class _Record:
    """Something signed in the file, and what was found of it so far."""

    number: int
    place: Place
    has_body: bool
    body: bytes | None  # of an operation; any other is judged when it is read and let go
    entry: UnverifiedEntry | None
    is_authentic: bool = False
    is_signed_wrongly: bool = False
    has_wrong_body: bool = False
    standing: Standing | None = None


@dataclass(slots=True)
class _Log:
    """The records of one log, by number, and those beside its shown branch."""

    due: LogContents
    slots: dict[int, _Record] = field(default_factory=dict)
    beside: list[_Record] = field(default_factory=list)
    ids: set[Cid] = field(default_factory=set)  # of all of them

    def add(self, record: _Record, entry: UnverifiedEntry) -> None:
        if record.place == "beside":
            self.beside.append(record)
        else:
            self.slots[entry.header.seq] = record
        self.ids.add(entry.cid)

    def __str__(self) -> str:
        return f"the log of device {str(self.due.key)[:8]}…"


class _Check:
    """One check under way; the order of what is asked is that of ``page/check.js``."""

    def __init__(self, boat: Lifeboat, on_progress: Progress) -> None:
        self._boat = boat
        self._on_progress = on_progress
        self._problems: list[Problem] = []
        self._count = 0
        self._faulty: set[int] = set()
        self._records: list[_Record] = []
        self._sizes: dict[bytes, int] = {}  # of each block, by its digest
        self._manifests: dict[bytes, bytes] = {}  # the blocks that the list names as such
        self._statements: list[bytes] = []
        self._block_frames = self._extras = 0

    def run(self) -> LifeboatReport:
        contents = self._boat.contents
        if self._boat.problem:
            self._wrong("contents", self._boat.problem)
        state: State | None = None
        blobs = 0
        if contents is not None:
            self._read_pieces(contents)
            self._check_each(contents)
            state = self._check_identity(contents)
            logs = self._check_logs(contents, state)
            self._check_statements(contents, state, logs)
            blobs = self._check_blobs(contents)
        return self._report(contents, state, blobs)

    def _report(self, contents: Contents | None, state: State | None, blobs: int) -> LifeboatReport:
        passed = [
            record
            for record in self._records
            if record.is_authentic and not record.has_wrong_body and record.number not in self._faulty
        ]
        shell = build_shell(contents, __version__) if contents is not None else None
        return LifeboatReport(
            contents,
            len(passed) if state is not None else 0,
            contents.records if contents is not None else 0,
            sum(record.place == "operation" for record in passed),
            sum(record.has_body and record.place != "operation" for record in passed),
            blobs,
            state,
            max((record.entry.header.time for record in passed if record.entry is not None), default=0),
            self._count,
            tuple(self._problems),
            self._boat.shell_digest,
            self._boat.is_tight and shell == (self._boat.before, self._boat.behind),
        )

    def _wrong(self, check: str, text: str, record: int | None = None, cid: Cid | None = None) -> None:
        self._count += 1
        if record is not None:
            self._faulty.add(record)
        if len(self._problems) < MAX_NAMED:
            self._problems.append(Problem(check, text, record, cid))

    # -- pieces

    def _read_pieces(self, contents: Contents) -> None:
        due = len(contents.pieces)
        manifests = frozenset(blob.digest for blob in contents.blobs if blob.is_dag_cbor)
        here = sum(piece is not None for piece in self._boat.pieces) + self._boat.extra_pieces
        if here != due:
            self._wrong("piece", f"{due} pieces should be here, {here} are")
        for number, (piece, text) in enumerate(zip(contents.pieces, self._boat.pieces, strict=True), 1):
            name = f"piece {number} of {due}"
            if text is None:
                self._wrong("piece", f"{name} is missing")
                continue
            if sha256(text).digest() != piece.digest:
                self._wrong("piece", f"{name} is not as it was written")
            data, is_whole = unpack(text)
            if not is_whole:
                self._wrong("piece", f"{name} cannot be unpacked to its end")
            self._read_frames(data, piece.frames, name, manifests)

    def _read_frames(self, data: bytes, due: int, name: str, manifests: frozenset[bytes]) -> None:
        frames = 0
        for frame in iter_frames(data):
            if isinstance(frame, EndOfFrames):
                self._wrong("piece", f"{name} cannot be read after frame {frames}")
                break
            frames += 1
            match frame:
                case RecordFrame():
                    self._add_record(frame)
                case BlockFrame(block):
                    digest = sha256(block).digest()
                    self._sizes[digest] = len(block)
                    if digest in manifests:
                        self._manifests[digest] = block
                    self._block_frames += 1
                case ExtraFrame(kind, block):
                    self._extras += 1
                    if kind == STATEMENT:
                        self._statements.append(block if len(block) <= MAX_STATEMENT_BYTES else b"")
                case _:
                    self._wrong("frame", f"frame {frames} of {name} is not in the one strict form")
        if frames != due:
            self._wrong("piece", f"{name} should have {due} frames and has {frames}")

    def _add_record(self, frame: RecordFrame) -> None:
        record = _Record(len(self._records) + 1, frame.place, frame.body is not None, None, None)
        self._records.append(record)
        try:
            record.entry = parse_entry(frame.entry)
            if frame.body is not None:
                check_body(record.entry.header, frame.body)
        except WrongBody:
            record.has_wrong_body = True  # said of it when its turn comes
        except IdentityError as exc:
            self._wrong("bytes", f"it is no entry: {exc}", record.number)
        if frame.place == "operation" and record.entry is not None and not record.has_wrong_body:
            record.body = frame.body

    # -- each record by itself

    def _check_each(self, contents: Contents) -> None:
        for record in self._records:
            if record.number % _STEP == 0:
                self._on_progress("records checked", record.number)
            if record.entry is not None:
                self._check_one(contents, record, record.entry)

    def _check_one(self, contents: Contents, record: _Record, entry: UnverifiedEntry) -> None:
        record.is_authentic = is_signed(entry.block, entry.header.key, contents.network)
        record.is_signed_wrongly = not record.is_authentic
        if entry.account != contents.account:
            self._wrong("account", "it is of another account", record.number, entry.cid)
            record.is_authentic = False
        if entry.header.is_identity != (record.place == "operation"):
            self._wrong("kind", f"a {entry.header.kind} stands where none belongs", record.number, entry.cid)
            record.is_authentic = False
        if record.has_wrong_body:
            self._wrong("body", "its words are not the ones that were signed", record.number, entry.cid)

    # -- the account

    def _check_identity(self, contents: Contents) -> State | None:
        found = [record for record in self._records if record.place == "operation" and record.entry is not None]
        known = {record.entry.cid for record in found if record.entry is not None}
        due = dict.fromkeys(contents.operations)
        for cid in due:
            if cid not in known:
                self._wrong("identity", "an operation of the account is missing", None, cid)
        parsed: dict[Cid, Table | Op | IdentityError] = {}
        inception: Table | None = None
        for record in found:
            operation = self._parse_operation(record, inception, due.keys(), parsed)
            if isinstance(operation, Table) and not operation.path:
                inception = operation
        held = [operation for operation in parsed.values() if not isinstance(operation, IdentityError)]
        trunk = find_trunk(contents.account, held)
        if trunk is None:
            self._wrong("identity", "the inception of the account is not here, so nothing can be judged")
            return None
        return fold(trunk)

    def _parse_operation(
        self,
        record: _Record,
        inception: Table | None,
        due: Set[Cid],
        parsed: dict[Cid, Table | Op | IdentityError],
    ) -> Table | Op | None:
        """The operation, or what is wrong with it, also in ``parsed``: its 512 points are judged once."""
        entry, body = record.entry, record.body
        assert entry is not None
        if entry.cid not in due:
            said = "an operation that is not in the list of contents"
            self._wrong("identity", said, record.number, entry.cid)
        if record.is_signed_wrongly:
            self._wrong("signature", "it is not signed by the key it names", record.number, entry.cid)
        if not record.is_authentic or record.has_wrong_body or body is None:
            return None
        try:
            # Before any of its keys is admitted: whoever holds no turn key may not make us multiply 512 points.
            if entry.header.kind == ROTATE and (
                inception is None or find_raw_generation(decode_body(body), inception.next, entry.header.key) < 0
            ):
                raise MalformedBytes("it does not follow from the inception")
        except IdentityError as exc:
            self._wrong("operation", str(exc), record.number, entry.cid)
            return None
        if entry.cid not in parsed:
            parsed[entry.cid] = _parsed(entry, body)
        operation = parsed[entry.cid]
        if isinstance(operation, IdentityError):
            self._wrong("operation", str(operation), record.number, entry.cid)
            return None
        return operation

    # -- logs

    def _check_logs(self, contents: Contents, state: State | None) -> Mapping[PublicKey, _Log]:
        logs = {log.key: _Log(log) for log in contents.logs}
        before: _Record | None = None
        bodies = 0
        for record in self._records:
            if record.place == "operation":
                continue
            bodies += record.has_body
            if record.entry is not None:
                self._place(logs, record, record.entry, before)
                before = record
        for log in logs.values():
            self._check_chain(log)
            self._judge(log, state)
        if len(self._records) != contents.records:
            self._wrong("count", f"{contents.records} records should be here, {len(self._records)} are")
        if bodies != contents.bodies:
            self._wrong("count", f"{contents.bodies} bodies should be here, {bodies} are")
        return logs

    def _place(
        self, logs: Mapping[PublicKey, _Log], record: _Record, entry: UnverifiedEntry, before: _Record | None
    ) -> None:
        log, seq = logs.get(entry.header.key), entry.header.seq
        if log is None:
            self._wrong("count", "it is of a log that is not in the list of contents", record.number, entry.cid)
            return
        if record.place == "beside":
            log.add(record, entry)
            return
        above = before.entry.header if before is not None and before.entry is not None else None
        is_after = before is not None and before.place == "record"
        if above is not None and is_after and above.key == entry.header.key and above.seq >= seq:
            said = f"entry {seq} of its log stands after entry {above.seq}"
            self._wrong("order", said, record.number, entry.cid)
        if seq in log.slots:
            self._wrong("order", f"entry {seq} of its log stands here twice", record.number, entry.cid)
            return
        log.add(record, entry)

    def _check_chain(self, log: _Log) -> None:
        """From the newest down: each is signed by its key, or named by an authentic one above; each names the next."""
        above: _Record | None = None
        for seq in sorted(log.slots, reverse=True):
            record = log.slots[seq]
            entry = record.entry
            assert entry is not None
            over = above.entry if above is not None and seq + 1 in log.slots else None
            is_vouched = over is not None and above is not None and above.is_authentic and _vouches(over, entry)
            if record.is_signed_wrongly and not is_vouched:
                self._wrong("signature", "it is not signed by the key it names", record.number, entry.cid)
            record.is_authentic |= record.is_signed_wrongly and is_vouched
            if over is not None and over.header.prev != entry.cid:
                said = f"entry {over.header.seq} of its log names another one before it"
                self._wrong("chain", said, record.number, entry.cid)
            above = record
        self._check_beside(log)
        self._check_runs(log)

    def _check_beside(self, log: _Log) -> None:
        """As in the chain, from the newest down; who names an entry is looked up: a flood of them costs its length."""
        vouching = dict(_named(log.slots.values()))
        for record in sorted(log.beside, key=_seq, reverse=True):
            entry = record.entry
            assert entry is not None
            by = vouching.get((entry.cid, entry.account, entry.header.seq))
            if record.is_signed_wrongly:
                if by is not None and _vouches(by, entry):
                    record.is_authentic = True
                else:
                    self._wrong("signature", "it is not signed by the key it names", record.number, entry.cid)
            vouching.update(_named((record,)))

    def _check_runs(self, log: _Log) -> None:
        due = log.due
        if len(log.beside) != due.beside:
            said = f"{log} should have {due.beside} entries beside it and has {len(log.beside)}"
            self._wrong("count", said)
        held = _runs(sorted(log.slots))
        for low, high in _lacking(due.runs, held):
            after = log.slots.get(high + 1)
            named = after.entry.header.prev if after is not None and after.entry is not None and low == high else None
            said = (
                f"entry {low} of {log} is missing" if low == high else f"entries {low} to {high} of {log} are missing"
            )
            self._wrong("missing", said, None, named)
        for low, high in _lacking(held, due.runs):
            self._wrong("count", f"entries {low} to {high} of {log} are not in the list of contents")
        newest = log.slots.get(due.runs[-1][1])
        if newest is not None and newest.entry is not None and newest.entry.cid != due.head:
            said = "it is not the newest entry that the list of contents names"
            self._wrong("head", said, newest.number, newest.entry.cid)

    def _judge(self, log: _Log, state: State | None) -> None:
        records = [record for record in (*log.slots.values(), *log.beside) if record.is_authentic]
        if state is None:
            return
        entries = {record.entry.cid: _as_authentic(record.entry) for record in records if record.entry is not None}
        verdicts = judge(state.cuts.get(log.due.key, NOTHING), entries)
        for record in records:
            assert record.entry is not None
            record.standing = verdicts.get(record.entry.cid, Standing.VOID)
            if record.standing in _SHOWN:
                continue
            why = "the account does not list its device"
            if log.due.key in state.cuts:
                why = "the account cut its device off before it"
            if record.standing is Standing.UNPROVEN:
                why = "what proves that it is in force is missing"
            self._wrong("standing", why, record.number, record.entry.cid)

    # -- statements

    def _check_statements(self, contents: Contents, state: State | None, logs: Mapping[PublicKey, _Log]) -> None:
        """Each is signed by its key; and what a device of the account signed to be newest is here."""
        for block in self._statements:
            fields = _read_statement(block, contents.network)
            if fields is None:
                self._wrong("statement", "a signed statement does not hold")
            elif fields["type"] == Heads.type and fields["account"] == contents.account and state is not None:
                self._check_heads(fields, state, logs)

    def _check_heads(self, fields: Mapping[str, Value], state: State, logs: Mapping[PublicKey, _Log]) -> None:
        told = fields.get("heads")
        if state.cuts.get(_key(fields["key"])) != OPEN or not isinstance(told, list):
            return
        for head in told:
            match head:
                case [bytes() as key, int() as seq, Cid() as entry] if len(key) == KEY_BYTES and type(seq) is int:
                    log = logs.get(PublicKey(key))
                    if state.cuts.get(PublicKey(key), NOTHING)[0] < seq:
                        continue  # the account let go of it since
                    if log is None or entry not in log.ids:
                        said = f"entry {seq} of device {_short(key)} is missing, which a device of the account tells of"
                        self._wrong("head", said, None, entry)

    # -- pictures

    def _check_blobs(self, contents: Contents) -> int:
        whole = 0
        for blob in dict.fromkeys(contents.blobs):
            if self._is_whole(blob):
                whole += 1
            else:
                self._wrong("blob", "a picture is missing or is not the one that was signed", None, blob)
        if self._block_frames != contents.blocks:
            self._wrong("count", f"{contents.blocks} blocks of pictures should be here, {self._block_frames} are")
        if self._extras != contents.extras:
            self._wrong("count", f"{contents.extras} other signed things should be here, {self._extras} are")
        return whole

    def _is_whole(self, blob: Cid) -> bool:
        if not blob.is_dag_cbor:
            return self._sizes.get(blob.digest, CHUNK_BYTES + 1) <= CHUNK_BYTES
        block = self._manifests.get(blob.digest)
        if block is None:
            return False
        try:
            manifest = parse_manifest(block)
        except BlobMismatch:
            return False
        return all(
            self._sizes.get(chunk.digest, 0) == manifest.length_of(index) for index, chunk in enumerate(manifest.chunks)
        )


def _as_authentic(entry: UnverifiedEntry) -> Entry:
    """The same entry, once a check above found it authentic."""
    return Entry(entry.header, entry.account, entry.cid, entry.block)


def _parsed(entry: UnverifiedEntry, body: bytes) -> Table | Op | IdentityError:
    try:
        return parse_operation(_as_authentic(entry), body)
    except IdentityError as exc:
        return exc.with_traceback(None)


def _seq(record: _Record) -> int:
    assert record.entry is not None  # what is placed in a log could be read
    return record.entry.header.seq


def _named(records: Iterable[_Record]) -> Iterator[tuple[tuple[Cid, Cid, int], UnverifiedEntry]]:
    """What authentic records of one log name before them: its id, account and number; and who names it."""
    for record in records:
        entry = record.entry
        if record.is_authentic and entry is not None and entry.header.prev is not None:
            yield (entry.header.prev, entry.account, entry.header.seq - 1), entry


def _vouches(by: UnverifiedEntry, entry: UnverifiedEntry) -> bool:
    return does_vouch(by.header, by.account, entry)


def _key(value: Value) -> PublicKey:
    assert isinstance(value, bytes)  # ``_read_statement`` looked
    return PublicKey(value)


def _short(key: bytes) -> str:
    return f"{str(PublicKey(key))[:8]}…"


def _read_statement(block: bytes, network: str) -> Mapping[str, Value] | None:
    """The fields of a statement of any type that is signed by the key it names; None for anything else."""
    try:
        value = decode(block, max_bytes=MAX_STATEMENT_BYTES)
    except MalformedBytes:
        return None
    match value:
        case [dict() as fields, bytes() as signature]:
            key = fields.get("key")
            if not isinstance(fields.get("type"), str) or not isinstance(fields.get("account"), Cid):
                return None
            if (
                not isinstance(key, bytes)
                or len(key) != KEY_BYTES
                or len(signature) != SIGNATURE_BYTES
                or not is_admissible(PublicKey(key))
            ):
                return None
            message = signed_message(block, network, b"statement")
            return fields if verify(PublicKey(key), message, signature) else None
    return None


def _runs(seqs: Iterable[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for seq in seqs:
        if runs and runs[-1][1] == seq - 1:
            runs[-1] = runs[-1][0], seq
        else:
            runs.append((seq, seq))
    return runs


def _lacking(runs: Sequence[tuple[int, int]], others: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The parts of ascending runs that lie in none of some others, ascending too; each is looked at once or twice."""
    first = 0
    for low, high in runs:
        at = low
        while first < len(others) and others[first][0] <= high:
            other_low, other_high = others[first]
            if other_low > at:
                yield at, other_low - 1
            at = max(at, other_high + 1)
            if other_high > high:
                break  # it reaches into the next run
            first += 1
        if at <= high:
            yield at, high
