"""What is fit to be sent: LMDB has no checksums, so every record is held against its id before it leaves.

What the disk has damaged is left out, with a word in the log, and the rest is sent.
"""

import logging

from unhush.gossip.proto.actions import ReadBranches
from unhush.identity.cid import cid_of
from unhush.identity.keys import PublicKey
from unhush.storage.errors import DamagedRow
from unhush.storage.records import Record
from unhush.storage.snapshot import Snapshot

log = logging.getLogger(__name__)


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


def _is_sound(snapshot: Snapshot, record: Record) -> bool:
    """Whether the bytes are the ones that were stored: an id that leads back to this row cannot be made by chance."""
    return snapshot.find_aid(record.cid) == record.aid and (
        record.body is None or cid_of(record.body) == record.entry.header.body
    )
