"""Fetching pictures unasked: within bounds, whatever authors claim and peers keep back."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.support.people import Clock, Home, Person, ingest, open_home

from unhush.identity.cid import Cid
from unhush.identity.statement import MediaPolicy
from unhush.node.pictures import fetching
from unhush.node.pictures import room as mediaroom
from unhush.node.pictures.fetching import Fetching
from unhush.node.pictures.room import MediaRoom
from unhush.node.pictures.wishes import DAY_MS, LATELY_MS
from unhush.storage.blobs.manifest import CHUNK_BYTES
from unhush.storage.keeping.promises import Promise
from unhush.storage.kinds import Edit, Follow, Media, Post, Profile
from unhush.storage.store import Store


@dataclass
class Asked:
    """A network that gives what it is told to, at once."""

    give: Callable[[Cid], bool]
    blobs: list[Cid] = field(default_factory=list)
    most: set[int | None] = field(default_factory=set)

    def __call__(self, blob: Cid, account: Cid, done: Callable[[bool], None], max_bytes: int | None) -> bool:
        self.blobs.append(blob)
        self.most.add(max_bytes)
        done(self.give(blob))
        return True


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with open_home(tmp_path / "ben", Clock()) as store:
        yield Home(store, Person("Ben", seed=2), Clock())


@pytest.fixture
def ann(home: Home) -> Person:
    person = Person("Ann", seed=1)
    home.publish(Follow(person.account))
    ingest(home.store, person.incept)
    return person


def made(tmp_path: Path, number: int, size: int = 2 * CHUNK_BYTES) -> tuple[Cid, Callable[[Store], None]]:
    """A blob, and what puts all of it but its last chunk into a store."""
    with Store(tmp_path / f"elsewhere{number}", network="test", clock_ms=lambda: 0) as store:
        blob, _ = store.blobs.put(io.BytesIO(number.to_bytes(4, "big") * (size // 4)))
        blocks = {cid: store.blobs.find_block(blob, cid) for cid in store.blobs._blocks(blob)}

    def put(into: Store) -> None:
        for cid in list(blocks)[:-1]:
            into.blobs.put_block(cid, blocks[cid])

    return blob, put


def showing(blob: Cid, size: int) -> Post:
    return Post("look", media=(Media(blob, "image/png", size, "a picture"),))


def run_until_still(store: Store, asked: Asked, clock: Clock) -> Fetching:
    """Made and stopped at once; its own steps then go on here."""
    running = Fetching(store, asked, clock_ms=clock)
    running.stop()
    running._stopping.clear()
    step_until_still(running)
    return running


def step_until_still(running: Fetching) -> None:
    running._promises_at = 0.0
    running._read_promises()
    while running._look():
        pass
    for _ in range(50):
        running._walk_some()
        running._begin()


def test_parts_of_what_never_comes_whole_take_room_too(
    home: Home, ann: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mediaroom, "MAX_KEPT_BYTES", 4 * CHUNK_BYTES)
    # Each as a raw chunk of its own beside its manifest: no two posts share one.
    kept_back = dict(made(tmp_path, number + 1, 3 * CHUNK_BYTES + 4 * (number + 1)) for number in range(12))

    def give(blob: Cid) -> bool:
        kept_back[blob](home.store)
        return False

    asked = Asked(give)
    ingest(home.store, *(ann.write(showing(blob, 1_000)).arrival for blob in kept_back))
    run_until_still(home.store, asked, Clock())
    assert 4 <= len(set(asked.blobs)) < len(kept_back)


def test_what_is_said_to_be_large_waits_in_an_edit_as_in_a_post(home: Home, ann: Person, tmp_path: Path) -> None:
    large, small = made(tmp_path, 1)[0], made(tmp_path, 2)[0]
    post = ann.write(Post("look"))
    too_large = ann.write(Edit(post.cid, showing(large, fetching.MAX_EAGER_BYTES + 1)))
    ingest(home.store, post.arrival, too_large.arrival, ann.write(showing(small, 1_000)).arrival)
    asked = Asked(lambda _: False)
    run_until_still(home.store, asked, Clock())
    assert set(asked.blobs) == {small}
    assert asked.most == {fetching.MAX_EAGER_BYTES}, "whatever its author says of its size"


def test_one_account_s_pictures_stop_at_its_share_and_others_come(
    home: Home, ann: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mediaroom, "MAX_KEPT_OF_ACCOUNT", 4 * CHUNK_BYTES)
    cleo = Person("Cleo", seed=3)
    home.publish(Follow(cleo.account))
    hers = dict(made(tmp_path, number, 3 * CHUNK_BYTES + 4 * number) for number in range(1, 13))
    cleo_s, put_cleo_s = made(tmp_path, 13)
    puts = hers | {cleo_s: put_cleo_s}
    asked = Asked(lambda blob: (puts[blob](home.store), False)[1])
    ingest(home.store, cleo.incept, cleo.write(showing(cleo_s, 1_000)).arrival)
    ingest(home.store, *(ann.write(showing(blob, 1_000)).arrival for blob in hers))
    run_until_still(home.store, asked, Clock())
    assert 4 <= len(hers.keys() & set(asked.blobs)) < 4 + fetching.AT_ONCE
    assert cleo_s in asked.blobs


def test_room_that_was_made_is_seen_without_a_restart(
    home: Home, ann: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mediaroom, "MAX_KEPT_BYTES", CHUNK_BYTES)
    blob, put = made(tmp_path, 1, 3 * CHUNK_BYTES + 4)
    ingest(home.store, ann.write(showing(blob, 1_000)).arrival)
    put(home.store)
    now = 0.0
    room = MediaRoom(home.store, clock_s=lambda: now)
    room.freshen()
    assert room.is_full()
    taken, of_accounts = room._taken, dict(room._taken_by)
    assert of_accounts == {ann.account: taken}
    for cid in home.store.blobs._blocks(blob):
        home.store.blobs.remove(cid)
    room.freshen()
    assert room.is_full(), "not looked at again at once"
    now = mediaroom.COUNT_EVERY_S
    room.freshen()
    assert not room.is_full()
    assert (room._taken, room._taken_by) == (0, {})


def test_one_s_own_pictures_have_no_share(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mediaroom, "MAX_KEPT_OF_ACCOUNT", 0)
    room = MediaRoom(home.store)
    room.freshen()
    assert not room.is_full_for(home.person.account)
    assert room.is_full_for(Person("Cleo", seed=3).account)


# -- what was promised

BUDGET = 2**30


@pytest.fixture
def eve(home: Home) -> Person:
    """Nobody follows her."""
    person = Person("Eve", seed=5)
    ingest(home.store, person.incept)
    return person


def keep(home: Home, person: Person, media: MediaPolicy, budget_bytes: int = BUDGET) -> None:
    home.store.promises.keep(person.account, Promise(budget_bytes, media, 0))


@pytest.mark.parametrize(
    ("media", "expected"),
    [(MediaPolicy.NONE, []), (MediaPolicy.RECENT, [1, 40, 89]), (MediaPolicy.ALL, [1, 40, 89, 100, 900])],
)
def test_of_an_account_that_is_only_kept_comes_what_was_promised_newest_first(
    home: Home, eve: Person, tmp_path: Path, media: MediaPolicy, expected: list[int]
) -> None:
    now_ms = 2_000 * DAY_MS
    pictures = {days: made(tmp_path, days)[0] for days in (1, 40, 89, 100, 900)}
    posts = [eve.write(showing(blob, 9), time_ms=now_ms - days * DAY_MS) for days, blob in reversed(pictures.items())]
    days_of = {blob: days for days, blob in pictures.items()}
    ingest(home.store, *(post.arrival for post in posts))
    keep(home, eve, media)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetching, "LOOK_BACK", 0)  # what is here already is seen by a walk alone
        patch.setattr(fetching, "_WALK_STEP", 2)
        walked = Asked(lambda _: False)
        run_until_still(home.store, walked, Clock(now_ms))
    assert [days_of[blob] for blob in dict.fromkeys(walked.blobs)] == expected
    seen = Asked(lambda _: False)
    run_until_still(home.store, seen, Clock(now_ms))
    assert {days_of[blob] for blob in seen.blobs} == set(expected), "as it comes"


def test_a_larger_promise_has_the_history_walked_again(home: Home, eve: Person, tmp_path: Path) -> None:
    now_ms = 2_000 * DAY_MS
    old, portrait = made(tmp_path, 1)[0], made(tmp_path, 2)[0]
    ingest(
        home.store,
        eve.write(Profile("Eve", avatar=portrait), time_ms=0).arrival,
        eve.write(showing(old, 1_000), time_ms=now_ms - 900 * DAY_MS).arrival,
    )
    keep(home, eve, MediaPolicy.RECENT)
    asked = Asked(lambda _: False)
    running = run_until_still(home.store, asked, Clock(now_ms))
    assert set(asked.blobs) == {portrait}
    keep(home, eve, MediaPolicy.ALL)
    step_until_still(running)
    assert set(asked.blobs) == {portrait, old}


def test_who_is_followed_and_kept_without_pictures_has_those_of_anybody_followed(
    home: Home, ann: Person, tmp_path: Path
) -> None:
    keep(home, ann, MediaPolicy.NONE)
    now_ms = 2_000 * DAY_MS
    new, old = made(tmp_path, 1)[0], made(tmp_path, 2)[0]
    ingest(
        home.store,
        ann.write(showing(old, 1_000), time_ms=now_ms - LATELY_MS - 1).arrival,
        ann.write(showing(new, 1_000), time_ms=now_ms - LATELY_MS).arrival,
    )
    asked = Asked(lambda _: False)
    run_until_still(home.store, asked, Clock(now_ms))
    assert set(asked.blobs) == {new}


def test_promised_pictures_have_a_room_of_their_own_as_large_as_the_budget(
    home: Home, ann: Person, eve: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mediaroom, "MAX_KEPT_BYTES", 2 * CHUNK_BYTES)
    keep(home, eve, MediaPolicy.ALL, 3 * CHUNK_BYTES)
    puts = dict(made(tmp_path, number, 2 * CHUNK_BYTES + 4 * number) for number in range(1, 13))
    anns, eves = list(puts)[:6], list(puts)[6:]
    asked = Asked(lambda blob: (puts[blob](home.store), False)[1])
    ingest(home.store, *(ann.write(showing(blob, 1_000)).arrival for blob in anns))
    ingest(home.store, *(eve.write(showing(blob, 1_000)).arrival for blob in eves))
    run_until_still(home.store, asked, Clock())
    assert 1 <= len(set(anns) & set(asked.blobs)) < len(anns), "the room of all others"
    assert 2 <= len(set(eves) & set(asked.blobs)) < len(eves), "her own"
    assert max(most for most in asked.most if most is not None) == fetching.MAX_EAGER_BYTES
    assert min(most for most in asked.most if most is not None) < 3 * CHUNK_BYTES, "what is left of it"


def test_a_large_file_comes_if_it_was_promised_and_there_is_room(home: Home, eve: Person, tmp_path: Path) -> None:
    size = fetching.MAX_EAGER_BYTES + 1
    fits, too_large = made(tmp_path, 1)[0], made(tmp_path, 2)[0]
    keep(home, eve, MediaPolicy.ALL, 2 * size)
    ingest(home.store, eve.write(showing(too_large, 3 * size)).arrival, eve.write(showing(fits, size)).arrival)
    asked = Asked(lambda _: False)
    run_until_still(home.store, asked, Clock())
    assert set(asked.blobs) == {fits}
    assert asked.most == {size}
