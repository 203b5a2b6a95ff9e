"""What a session reads of the store: each read answered from one snapshot."""

from typing import assert_never

from unhush.gossip.net.sync.giving import find_given
from unhush.gossip.net.sync.soundness import find_sound_branches, find_sound_inceptions
from unhush.gossip.net.sync.travelling import item_of, operation_of
from unhush.gossip.proto.actions import (
    Purpose,
    Read,
    ReadAsked,
    ReadBranches,
    ReadFound,
    ReadOps,
    ReadPoints,
    ReadRun,
    ReadSummary,
)
from unhush.gossip.proto.events import (
    BranchesRead,
    FoundRead,
    OpsRead,
    PointsRead,
    ReadAnswer,
    RunRead,
    SummaryRead,
)
from unhush.gossip.proto.ranges import Ranges
from unhush.identity.cid import Cid
from unhush.storage.snapshot import Snapshot


def answer(snapshot: Snapshot, read: Read, network: str) -> ReadAnswer:
    """The event that answers a read. Long runs are better read in slices (``slices.py``)."""
    match read:
        case ReadSummary(account, purpose):
            return summarise(snapshot, account, bodies_wanted=purpose is Purpose.WANT)
        case ReadOps(account, ids):
            return OpsRead(account, tuple(map(operation_of, snapshot.operations(account, frozenset(ids)))))
        case ReadRun(account, key, lo, hi, max_bytes):
            return RunRead(account, key, tuple(map(item_of, snapshot.run(account, key, lo, hi, max_bytes))))
        case ReadBranches(account, key):
            return BranchesRead(account, key, tuple(map(item_of, find_sound_branches(snapshot, read))))
        case ReadPoints(account, key, seqs):
            return PointsRead(account, key, snapshot.points(account, key, seqs))
        case ReadFound(root):
            return FoundRead(root, tuple(map(operation_of, find_sound_inceptions(snapshot, root))))
        case ReadAsked():
            return find_given(snapshot, read, network)
        case _:
            assert_never(read)


def summarise(snapshot: Snapshot, account: Cid, *, bodies_wanted: bool) -> SummaryRead:
    """What is held of an account; with ``bodies_wanted`` less what lacks a body that somebody may have."""
    held = snapshot.summary(account, bodies_wanted=bodies_wanted)
    logs = {key: Ranges(runs) for key, runs in held.logs.items()}
    return SummaryRead(account, held.operations, logs, held.tips, held.forks)
