"""Forked logs of a session: so many are remembered, and one that is forgotten is told anew."""

from unhush.gossip.proto import limits
from unhush.gossip.proto.branches import Branches, Log
from unhush.identity.cid import cid_of
from unhush.identity.keys import PublicKey


def log(number: int) -> Log:
    return cid_of(b"Ann"), PublicKey(cid_of(b"%d" % number).digest)


def test_of_any_number_of_forked_logs_1024_are_remembered_and_the_oldest_goes() -> None:
    branches = Branches()
    for number in range(3 * limits.MAX_FORKED_LOGS):
        branches.tell(log(number), 1)
    assert len(branches._told) == limits.MAX_FORKED_LOGS == 1_024
    assert log(0) not in branches._told
    assert log(3 * limits.MAX_FORKED_LOGS - 1) in branches._told
    assert len(branches.waiting) == limits.MAX_FORKED_LOGS
    branches.tell(log(0), 1)
    assert log(0) in branches._told


def test_what_was_told_is_not_told_again_unless_the_fork_lies_deeper() -> None:
    branches = Branches()
    branches.tell(log(0), 5)
    branches.finish(log(0))
    branches.waiting.discard(log(0))
    branches.tell(log(0), 5)
    assert len(branches.waiting) == 0
    branches.tell(log(0), 4)
    assert len(branches.waiting) == 1
