"""A repair keeps what was kept: quotas are for what comes, not for what is here."""

from pathlib import Path

import pytest
from tests.support.people import NETWORK, Clock, Home, Person, open_home

from unhush.storage.kinds import Post
from unhush.storage.repair import repair
from unhush.storage.room.tiers import Limits
from unhush.storage.store import Store


def test_a_repair_loses_no_own_record_however_many_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, home = Clock(), tmp_path / "home"
    with open_home(home, clock) as store:
        own = Home(store, Person("Ann", seed=1, clock_ms=clock), clock)
        posts = own.publish(*(Post(f"{number} " + "x" * 300) for number in range(1_200)))
        before = store.count_records()
    # As if the account had more than anybody may: what a store allows unless it is told otherwise, scaled down.
    small = Limits(followed_bytes=30_000, near_bytes=20_000, stranger_bytes=10_000)
    defaults = Store.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "limits", small)

    done = repair(home, network=NETWORK)

    assert (done.kept, done.lost) == (before, 0)
    with open_home(home, clock) as store, store.snapshot() as snapshot:
        assert all(snapshot.record(post.cid) is not None for post in posts)
