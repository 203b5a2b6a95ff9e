"""Whoever follows the journal goes on past rows that a disk has changed."""

import random

from tests.support.people import Person

from unhush.gossip.net.sync.follower import _part
from unhush.storage.records import BodyState, Record


def test_no_bit_turned_on_the_disk_ends_the_following() -> None:
    person = Person("Ada", seed=1)
    blocks = [person.incept.entry, *(post.entry.block for post in person.posts(3, "words"))]
    for block in blocks:
        for bit in range(8 * len(block)):
            changed = bytearray(block)
            changed[bit // 8] ^= 1 << bit % 8
            whole = Record(1, block, None, BodyState.UNKNOWN, 0)
            damaged = Record(2, bytes(changed), None, BodyState.UNKNOWN, 0)
            operations, logs = _part([whole, damaged])
            assert whole in operations or any(whole in part for part in logs.values())


def test_junk_in_the_journal_is_left_out() -> None:
    junk = [Record(n, random.Random(n).randbytes(n), None, BodyState.UNKNOWN, 0) for n in range(1, 300)]
    assert _part(junk) == ([], {})
