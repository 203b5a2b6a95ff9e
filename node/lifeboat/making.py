"""Making a lifeboat: what this home would serve of an account, and nothing else, into one file.

The records are read as for a peer or a CAR file: from ``storage/serving.py``,
hashed again, in force, without what was taken back or is withheld. The file is
written as it grows, beside its place, and moved there when it is whole.
"""

import logging
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Final

from unhush import __version__
from unhush.identity.cid import Cid
from unhush.identity.errors import MalformedBytes
from unhush.identity.keys import PublicKey
from unhush.identity.statement import Heads
from unhush.node.errors import BlobDamaged, BlobMissing, LifeboatTooLarge, NotFound
from unhush.node.lifeboat.form import (
    MAX_BLOBS,
    MAX_EXTRA_TYPE_BYTES,
    MAX_FILE_BYTES,
    MAX_LOGS,
    MAX_PIECES,
    MAX_RUNS,
    PIECE_BYTES,
    STATEMENT,
    AbsentReason,
    BlockFrame,
    Contents,
    ExtraFrame,
    Frame,
    LogContents,
    Media,
    Piece,
    Place,
    RecordFrame,
    encode_frame,
    pack,
)
from unhush.node.lifeboat.reading import CONTENTS_TAG, END_TAG, PIECE_TAG
from unhush.node.lifeboat.shell import build_shell
from unhush.node.wholefiles import whole_file
from unhush.storage.blobs.manifest import parse_manifest
from unhush.storage.folds.blobrefs import blobs_of, may_name_blobs
from unhush.storage.kinds import PROFILE
from unhush.storage.records import BodyState, Record
from unhush.storage.snapshot import Snapshot
from unhush.storage.store import Store

log = logging.getLogger(__name__)

# Of either kind; an account has one of each for a device that was about lately.
MAX_STATEMENTS: Final = 64
MEDIA_DAYS: Final = 90  # of ``90d``
_DAY_MS: Final = 86_400_000
_STEP: Final = 500  # records between two words to whoever waits
_REASONS: Final[dict[BodyState, AbsentReason]] = {
    BodyState.WITHHELD: "withheld",
    BodyState.DELETED: "deleted",
    BodyState.MALFORMED: "malformed",
}

Progress = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class Made:
    """What an export wrote."""

    file: Path
    bytes: int
    contents: Contents
    lacking: int  # pictures that should be in the file and are not here
    absent: Mapping[AbsentReason, int]  # records without their words, by why


def export_lifeboat(
    store: Store,
    path: Path,
    account: Cid,
    *,
    now_ms: int,
    media: Media = "90d",
    extras: Sequence[ExtraFrame] = (),
    on_progress: Progress = lambda _what, _count: None,
    force: bool = False,
) -> Made:
    """Write an account to one HTML file, whole or not at all; over one that is there only with ``force``.

    ``extras``: signed blocks of other kinds to carry along, with their types.
    Raises ``FileExists``, ``NotFound``, ``LifeboatTooLarge``, ``StorageError``.
    """
    with whole_file(path, force=force) as file, store.snapshot() as snapshot:
        if snapshot.account(account) is None:
            raise NotFound(f"no account {account} is kept here")
        making = _Making(store, snapshot, account, media=media, now_ms=now_ms, on_progress=on_progress)
        contents = making.write(file, extras)
        size = file.tell()
    log.info("lifeboat made records=%d bytes=%d file=%s", contents.records, size, path)
    return Made(path, size, contents, making.lacking, dict(making.absent))


@dataclass(slots=True)
class _LogMade:
    """What went into the file of one log so far."""

    runs: list[list[int]] = field(default_factory=list)
    head: Cid | None = None
    beside: int = 0

    def add(self, record: Record) -> None:
        seq = record.entry.header.seq
        if self.runs and self.runs[-1][1] == seq - 1:
            self.runs[-1][1] = seq
        else:
            self.runs.append([seq, seq])
        self.head = record.cid


class _Making:
    """One file as it grows."""

    def __init__(
        self,
        store: Store,
        snapshot: Snapshot,
        account: Cid,
        *,
        media: Media,
        now_ms: int,
        on_progress: Progress,
    ) -> None:
        self._store = store
        self._snapshot = snapshot
        self._account = account
        self._media = media
        self._now_ms = now_ms
        self._on_progress = on_progress
        self._operations: list[Cid] = []
        self._logs: dict[PublicKey, _LogMade] = {}
        self._records = self._bodies = 0
        self._wanted: dict[Cid, None] = {}  # blobs, in the order in which records name them
        self._blobs: list[Cid] = []
        self._blocks: set[bytes] = set()
        self._extras = 0
        self.lacking = 0
        self.absent: Counter[AbsentReason] = Counter()

    def write(self, file: BinaryIO, extras: Sequence[ExtraFrame]) -> Contents:
        # The page around the data is the same for every account but for a few lines behind it.
        before = build_shell(self._contents(()), __version__).before
        file.write(before)
        pieces = [
            piece
            for number, frames in enumerate(self._gather(extras), 1)
            for piece in [_put_piece(file, number, frames)]
        ]
        contents = self._contents(tuple(pieces))
        try:
            packed = contents.encode()
        except MalformedBytes as exc:
            raise LifeboatTooLarge("this account is held in more parts than a lifeboat can list") from exc
        text = b64encode(packed)
        file.write(CONTENTS_TAG % sha256(text).hexdigest().encode() + text + END_TAG)
        file.write(build_shell(contents, __version__).behind)
        return contents

    def _contents(self, pieces: tuple[Piece, ...]) -> Contents:
        return Contents(
            self._store.network,
            self._account,
            self._now_ms,
            f"unhush {__version__}",
            self._media,
            pieces,
            tuple(self._operations),
            tuple(
                LogContents(key, tuple((low, high) for low, high in made.runs), made.head, made.beside)
                for key, made in self._logs.items()
                if made.head is not None
            ),
            self._records,
            self._bodies,
            tuple(self._blobs),
            len(self._blocks),
            self._extras,
        )

    def _gather(self, extras: Sequence[ExtraFrame]) -> Iterator[list[bytes]]:
        """The frames of each piece."""
        waiting: list[bytes] = []
        size = 0
        for frame in self._frames(extras):
            data = encode_frame(frame)
            if waiting and size + len(data) > PIECE_BYTES:
                yield waiting
                waiting, size = [], 0
            waiting.append(data)
            size += len(data)
        if waiting:
            yield waiting

    def _frames(self, extras: Sequence[ExtraFrame]) -> Iterator[Frame]:
        for record in self._snapshot.operations(self._account):
            self._operations.append(record.cid)
            yield self._record_frame(record, "operation")
        for _, key, number in self._snapshot.logs(self._account):
            yield from self._log_frames(key, number)
        self._want_portrait()
        for blob in self._wanted:
            yield from self._blob_frames(blob)
        for extra in (*self._statements(), *extras):
            if len(extra.type.encode()) > MAX_EXTRA_TYPE_BYTES:
                raise ValueError(f"a type of more than {MAX_EXTRA_TYPE_BYTES} bytes")
            self._extras += 1
            yield extra

    def _log_frames(self, key: PublicKey, number: bytes) -> Iterator[Frame]:
        """As ``storage/car.py`` does: what is shown of the log, then the proof of a fork."""
        made = _LogMade()
        span = self._snapshot.span(self._account, key)
        for record in self._snapshot.log_records(number):
            if record.entry.header.seq in span:
                made.add(record)
                yield self._record_frame(record, "record")
        if made.head is None:
            return
        self._logs[key] = made
        if len(self._logs) > MAX_LOGS or len(made.runs) > MAX_RUNS:
            raise LifeboatTooLarge("this account is held in more parts than a lifeboat can list")
        shown = self._snapshot.fork_point(self._account, key)
        for record in self._snapshot.branches(self._account, key):
            if record.entry.header.seq != shown or self._snapshot.is_beside(record):
                made.beside += 1
                yield self._record_frame(record, "beside")

    def _record_frame(self, record: Record, place: Place) -> RecordFrame:
        self._records += 1
        if self._records % _STEP == 0:
            self._on_progress("records written", self._records)
        reason = _REASONS.get(record.body_state, "unknown")
        if place != "operation":
            self._bodies += record.body is not None
            if record.body is None:
                self.absent[reason] += 1
            self._want_blobs(record)
        return RecordFrame(place, record.block, record.body, reason)

    def _statements(self) -> Iterator[ExtraFrame]:
        """Where the account is to be found, and what it signed to be newest; not what it signed and is not here."""
        for card in self._snapshot.cards(self._account)[:MAX_STATEMENTS]:
            yield ExtraFrame(STATEMENT, card.block)
        for told in self._snapshot.heads_told(self._account)[:MAX_STATEMENTS]:
            claim = told.claim
            if isinstance(claim, Heads) and all(self._snapshot.record(head.entry) for head in claim.heads):
                yield ExtraFrame(STATEMENT, told.block)

    # -- pictures

    def _want_blobs(self, record: Record) -> None:
        if self._media == "none" or record.body is None or not may_name_blobs(record.body):
            return
        is_young = record.entry.header.time >= self._now_ms - MEDIA_DAYS * _DAY_MS
        if record.kind == PROFILE or (self._media == "90d" and not is_young) or not self._snapshot.is_visible(record):
            return
        self._wanted |= dict.fromkeys(blobs_of(self._snapshot.body(record)))

    def _want_portrait(self) -> None:
        profile = self._snapshot.profile(self._account) if self._media != "none" else None
        self._wanted = dict.fromkeys(blobs_of(profile)) | self._wanted

    def _blob_frames(self, blob: Cid) -> Iterator[BlockFrame]:
        """Every block of a blob that is here whole, its manifest first; chunks that another one has are there once."""
        try:
            blocks = [self._store.blobs.find_block(blob, part) for part in self._parts(blob)]
        except (BlobMissing, BlobDamaged):
            self.lacking += 1
            return
        if len(self._blobs) >= MAX_BLOBS:
            raise LifeboatTooLarge(f"more than {MAX_BLOBS:,} pictures: choose --media 90d or none")
        self._blobs.append(blob)
        self._on_progress("pictures written", len(self._blobs))
        for block in blocks:
            digest = sha256(block).digest()
            if digest not in self._blocks:
                self._blocks.add(digest)
                yield BlockFrame(block)

    def _parts(self, blob: Cid) -> list[Cid]:
        if not blob.is_dag_cbor:
            return [blob]
        return [blob, *parse_manifest(self._store.blobs.find_block(blob, blob)).chunks]


def _put_piece(file: BinaryIO, number: int, frames: list[bytes]) -> Piece:
    text = pack(b"".join(frames))
    if number > MAX_PIECES or file.tell() + len(text) > MAX_FILE_BYTES:
        raise LifeboatTooLarge(
            f"the file would be larger than {MAX_FILE_BYTES // 2**20} MiB; with fewer pictures it may fit: "
            "--media 90d or none"
        )
    file.write(PIECE_TAG % number + text + END_TAG)
    return Piece(sha256(text).digest(), len(frames))
