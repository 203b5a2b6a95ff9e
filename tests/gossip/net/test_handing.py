"""What of our log left is written down for the key that wrote it."""

from pathlib import Path

import trio
from tests.support.people import Clock, Home, Person, open_home

from unhush.gossip.net.sync.handing import HandedOnKeeper


def test_only_what_the_present_key_wrote_is_noted_as_runs(tmp_path: Path) -> None:
    clock = Clock()
    ann, other = Person("Ann", seed=1), Person("Other", seed=2)
    with open_home(tmp_path / "ann", clock) as store:
        Home(store, ann, clock)
        keeper = HandedOnKeeper(store)
        keeper.note(ann.key, 0, 9)  # before it is known who writes here
        keeper.restart(other.key)
        keeper.note(other.key, 30, 39)
        keeper.restart(ann.key)
        keeper.note(other.key, 20, 29)  # a session that has not ended yet
        keeper.note(ann.key, 5, 6)
        trio.run(keeper.save)
        keeper.note(ann.key, 1, 2)
        trio.run(keeper.save)
        with store.snapshot() as snapshot:
            assert snapshot.handed_on() == ((1, 2), (5, 6))
