"""What is fit to be sent: LMDB has no checksums, so every record is held against its id before it leaves.

What the disk has damaged is left out, with a word in the log, and the rest is sent.
"""

import logging

from unhush.gossip.proto.actions import ReadBranches, ReadRun
from unhush.identity.cid import cid_of
from unhush.identity.keys import PublicKey
from unhush.storage.errors import DamagedRow
from unhush.storage.records import Record
from unhush.storage.snapshot import Snapshot

log = logging.getLogger(__name__)

# Numbers looked at one by one for what a damaged run still holds: a tenth of a second at the very most.
MAX_SALVAGE = 2_000


def find_sound_run(snapshot: Snapshot, read: ReadRun) -> list[Record]:
    """The run asked for, less what is damaged; whoever reads the answer takes gaps."""
    try:
        records = snapshot.run(read.account, read.key, read.lo, read.hi, read.max_bytes)
        if all(_is_sound(snapshot, record) for record in records):
            return records
    except DamagedRow as exc:
        log.debug("%s", exc)
    found: list[Record] = []
    room = read.max_bytes
    for seq in range(read.hi, max(read.lo, read.hi - MAX_SALVAGE) - 1, -1):
        record = _find_sound(snapshot, read, seq)
        if record is not None:
            found.append(record)
            room -= len(record.block) + len(record.body or b"")
        if room <= 0:
            break
    return found[::-1]


def find_sound_branches(snapshot: Snapshot, read: ReadBranches) -> list[Record]:
    """What shows a fork, less what is damaged."""
    try:
        return [record for record in snapshot.branches(read.account, read.key) if _is_sound(snapshot, record)]
    except DamagedRow as exc:
        log.error("branches damaged, not sent key=%s error=%s; run: unhush verify", read.key, exc)
        return []


def find_sound_inceptions(snapshot: Snapshot, root: PublicKey) -> list[Record]:
    """The inceptions a root key signed, less what is damaged."""
    try:
        return [record for record in snapshot.inceptions(root) if _is_sound(snapshot, record)]
    except DamagedRow as exc:
        log.error("inception damaged, not sent root=%s error=%s; run: unhush verify", root, exc)
        return []


def _find_sound(snapshot: Snapshot, read: ReadRun, seq: int) -> Record | None:
    try:
        record = next(iter(snapshot.run(read.account, read.key, seq, seq, 1)), None)
    except DamagedRow as exc:
        log.error("record damaged, not sent key=%s seq=%d error=%s; run: unhush verify", read.key, seq, exc)
        return None
    if record is not None and not _is_sound(snapshot, record):
        log.error("record damaged, not sent key=%s seq=%d aid=%d; run: unhush verify", read.key, seq, record.aid)
        return None
    return record


def _is_sound(snapshot: Snapshot, record: Record) -> bool:
    """Whether the bytes are the ones that were stored: an id that leads back to this row cannot be made by chance."""
    return snapshot.find_aid(record.cid) == record.aid and (
        record.body is None or cid_of(record.body) == record.entry.header.body
    )
