"""Taking a lifeboat in: this home becomes a carrier of the account, through the same door as everything else.

What can be read is offered to the door, record by record, and the door judges
each as if a stranger had sent it; a file with a damaged part still gives the
rest. Nothing that is here already can be lost by it.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Final

from unhush.identity.cid import Cid
from unhush.identity.errors import IdentityError
from unhush.identity.statement import MAX_STATEMENT_BYTES
from unhush.node.errors import MalformedLifeboat
from unhush.node.lifeboat.form import STATEMENT, BlockFrame, ExtraFrame, Frame, RecordFrame, iter_frames, unpack
from unhush.node.lifeboat.reading import Lifeboat, opened_lifeboat
from unhush.storage.arrivals import Arrival, Batch, Status
from unhush.storage.blobs.manifest import Manifest, parse_manifest
from unhush.storage.errors import BlobMismatch
from unhush.storage.keeping.statements import SignedStatement
from unhush.storage.records import BodyState
from unhush.storage.store import Store

log = logging.getLogger(__name__)

# Records per commit: about 1 MiB of posts.
STEP: Final = 1_000
# Twice what an export of ours has.
MAX_STATEMENTS: Final = 256
# Of other signed things so many are told of, each as large as a statement at most; what there are more is counted.
MAX_EXTRAS: Final = 256
_STATES: Final = {
    "unknown": BodyState.UNKNOWN,
    "withheld": BodyState.WITHHELD,
    "deleted": BodyState.DELETED,
    "malformed": BodyState.MALFORMED,
}


@dataclass(frozen=True, slots=True)
class Taken:
    """What came in: records new here, known before, and left aside with the first reason; blobs; the other things."""

    account: Cid | None  # None: nothing of it is held after all
    stored: int
    known: int
    refused: int
    lacking: int  # that should be in the file by its own word and are not
    blobs: int  # pictures that are here now and were not before
    extras: tuple[ExtraFrame, ...]
    first_problem: str = ""
    known_blobs: int = 0  # pictures that were here before
    unshown_blobs: int = 0  # pictures in the list that are not here, as no record that is shown here names them
    lost_blobs: int = 0  # those that one does name, and that the file does not give whole
    lost_extras: int = 0  # cards and other signed things that the list counts and the file does not give


def import_lifeboat(
    store: Store, path: Path, *, now_ms: int, on_progress: Callable[[int], None] = lambda _: None
) -> Taken:
    """Take a file in; raises ``NotFound``, ``MalformedLifeboat`` if there is nothing to read in it."""
    with opened_lifeboat(path) as boat:
        if boat.contents is None:
            raise MalformedLifeboat(f"{path}: {boat.problem}")
        if boat.contents.network != store.network:
            raise MalformedLifeboat(
                f"{path} is of the network {boat.contents.network!r}, and this home is on {store.network!r}"
            )
        taking = _Taking(store, boat, str(path))
        taking.take_records(on_progress)
        taking.take_blobs(boat.contents.blobs)
        taking.take_statements(boat.contents.account, now_ms)
    with store.snapshot() as snapshot:
        account = boat.contents.account if snapshot.account(boat.contents.account) is not None else None
    log.info(
        "lifeboat taken in stored=%d known=%d refused=%d file=%s", taking.stored, taking.known, taking.refused, path
    )
    return Taken(
        account,
        taking.stored,
        taking.known,
        taking.refused,
        max(0, boat.contents.records - taking.offered),
        taking.blobs,
        tuple(taking.extras),
        taking.problem,
        taking.known_blobs,
        taking.unshown_blobs,
        taking.lost_blobs,
        max(0, boat.contents.extras - taking.extra_count),
    )


class _Taking:
    """One file on its way in."""

    def __init__(self, store: Store, boat: Lifeboat, source: str) -> None:
        self._store = store
        self._boat = boat
        self._source = source
        self.stored = self.known = self.refused = self.offered = self.blobs = 0
        self.known_blobs = self.unshown_blobs = self.lost_blobs = 0
        self.problem = boat.problem
        self.extra_count = 0
        self.extras: list[ExtraFrame] = []
        self._statements: list[bytes] = []

    def _frames(self) -> Iterator[Frame]:
        for number, text in enumerate(self._boat.pieces, 1):
            data, is_whole = unpack(text) if text is not None else (b"", False)
            if not is_whole:
                self.problem = self.problem or f"piece {number} of {len(self._boat.pieces)} is damaged"
            for frame in iter_frames(data):
                if isinstance(frame, IdentityError):
                    self.problem = self.problem or f"piece {number}: {frame}"
                else:
                    yield frame

    def take_records(self, on_progress: Callable[[int], None]) -> None:
        arrivals = self._arrivals()
        while step := tuple(islice(arrivals, STEP)):
            for outcome in self._store.ingest(Batch(step, self._source, wanted_only=False)):
                self.stored += outcome.status in (Status.STORED, Status.FILLED)
                self.known += outcome.status is Status.KNOWN
                if outcome.status in (Status.REJECTED, Status.IGNORED, Status.FAILED):
                    self.refused += 1
                    self.problem = self.problem or outcome.error
            on_progress(self.stored + self.known + self.refused)

    def _arrivals(self) -> Iterator[Arrival]:
        """Records in the order of the file: identity operations first, then each log, oldest first."""
        for frame in self._frames():
            if isinstance(frame, ExtraFrame):
                self._note_extra(frame)
            if isinstance(frame, RecordFrame):
                self.offered += 1
                yield Arrival(frame.entry, frame.body, _STATES[frame.reason])

    def _note_extra(self, extra: ExtraFrame) -> None:
        """A file may have a gigabyte of them; few are held at a time."""
        self.extra_count += 1
        if len(extra.block) > MAX_STATEMENT_BYTES:
            return
        if len(self.extras) < MAX_EXTRAS:
            self.extras.append(extra)
        if extra.type == STATEMENT and len(self._statements) < MAX_STATEMENTS:
            self._statements.append(extra.block)

    def take_blobs(self, blobs: tuple[Cid, ...]) -> None:
        """The blocks of the blobs that the list names, if any record here shows them; each is what its id says."""
        before = {blob for blob in blobs if self._store.blobs.has(blob)}
        wanted = self._wanted_blocks(blobs)
        shown = set(wanted.values())
        for frame in self._frames():
            if not isinstance(frame, BlockFrame):
                continue
            cid = wanted.get(sha256(frame.block).digest())
            try:
                if cid is not None:
                    self._store.blobs.put_block(cid, frame.block)
            except BlobMismatch as exc:
                self.problem = self.problem or str(exc)
        not_here = {blob for blob in blobs if not self._store.blobs.has(blob)}
        self.known_blobs = len(before - not_here)
        self.blobs = len(blobs) - self.known_blobs - len(not_here)
        self.lost_blobs = len(not_here & shown)
        self.unshown_blobs = len(not_here - shown)

    def take_statements(self, account: Cid, now_ms: int) -> None:
        """Cards and heads, judged as from any peer; whatever becomes of them, the records are here."""
        items = [SignedStatement(block) for block in self._statements]
        if items:
            self._store.statements.take(items, now_ms, asked=frozenset((account,)))

    def _wanted_blocks(self, blobs: tuple[Cid, ...]) -> dict[bytes, Cid]:
        """By digest: what a record that is shown here names, and the chunks of it."""
        with self._store.snapshot() as snapshot:
            shown = {blob.digest: blob for blob in blobs if next(snapshot.records_showing(blob), None) is not None}
        manifests: list[Manifest] = []
        for frame in self._frames():
            if isinstance(frame, BlockFrame) and (cid := shown.get(sha256(frame.block).digest())) and cid.is_dag_cbor:
                try:
                    manifests.append(parse_manifest(frame.block))
                except BlobMismatch as exc:
                    self.problem = self.problem or str(exc)
        return shown | {chunk.digest: chunk for manifest in manifests for chunk in manifest.chunks}
