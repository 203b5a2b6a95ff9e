"""What a check that was killed left behind goes with the next one."""

import os
import time

from tests.support.people import Home


def test_the_copy_of_a_check_that_was_killed_goes_with_the_next(home: Home) -> None:
    old, young = home.store.home / ".check-old", home.store.home / ".check-young"
    for left in (old, young):
        left.mkdir()
        (left / "data.mdb").write_bytes(b"a copy")
    long_ago = time.time() - 3 * 24 * 3600
    os.utime(old, (long_ago, long_ago))

    assert home.store.find_stale() == []

    assert not old.exists()
    assert young.exists()  # it may be under way
