"""Withholding: the body goes at once and everywhere, the entry stays, and the reason is said."""

import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from tests.storage.test_room_collecting import (
    assert_counted_and_rebuildable,
    is_sound,
    posts_of,
    record_of,
    served,
    wanted_runs,
)
from tests.support.people import Clock, Home, Person, arrivals_of, ingest, open_home

from unhush.identity.cid import Cid, cid_of, cid_of_raw
from unhush.storage.arrivals import Status
from unhush.storage.backup import read_backup
from unhush.storage.blobs.folder import DigestFolder
from unhush.storage.blobs.manifest import CHUNK_BYTES
from unhush.storage.blobs.thumbs import Thumbs
from unhush.storage.errors import BlobsUnusable, WithholdRefused
from unhush.storage.keeping import withheld
from unhush.storage.kinds import Delete, Edit, Follow, Media, Post, Reply
from unhush.storage.records import BodyState
from unhush.storage.repair import repair
from unhush.storage.room import collecting
from unhush.storage.snapshot import Snapshot
from unhush.storage.store import Store
from unhush.storage.verify import verify_store

WORDS = "a very rare sentence of which no page may keep a trace "


def withhold(store: Store, cid: Cid, reason: str = "order of a court") -> None:
    store.withheld.add(cid, reason, 5)


def versions_of(store: Store, cid: Cid) -> list[str]:
    with store.snapshot() as snapshot:
        record = snapshot.record(cid)
        assert record is not None
        return [version.post.text for version in snapshot.versions(record)]


def asked(store: Store, question: Callable[[Snapshot], object]) -> object:
    with store.snapshot() as snapshot:
        return question(snapshot)


def test_a_body_is_gone_at_once_and_peers_get_the_word_for_it(home: Home, known_bob: Person) -> None:
    posts = known_bob.posts(3)
    ingest(home.store, *arrivals_of(posts))
    withhold(home.store, posts[1].cid)
    record = record_of(home.store, posts[1].cid)
    assert (record.body, record.body_state) == (None, BodyState.WITHHELD)
    assert served(home.store, known_bob) == {
        posts[0].cid: posts[0].body,
        posts[1].cid: None,
        posts[2].cid: posts[2].body,
    }
    assert posts_of(home.store, known_bob) == ["post 0", "post 2"]
    assert home.store.withheld.find(posts[1].cid) == withheld.WithheldBody(posts[1].cid, "order of a court", 5)
    assert asked(home.store, lambda snapshot: snapshot.why_withheld(posts[1].cid)) == "order of a court"
    assert asked(home.store, lambda snapshot: snapshot.why_withheld(posts[0].cid)) is None
    assert_counted_and_rebuildable(home.store)


def test_nothing_of_it_is_left_in_the_files(home: Home, known_bob: Person) -> None:
    secret = known_bob.post(WORDS * 20)
    ingest(home.store, known_bob.post("before").arrival, secret.arrival, known_bob.post("after").arrival)
    assert home.store.fulltext.catch_up(9.0)
    files = [file for file in home.store.home.rglob("*") if file.is_file()]
    assert sum(WORDS.encode() in file.read_bytes() for file in files) == 1
    assert sum(b"sentence" in file.read_bytes() for file in files) > 1

    withhold(home.store, secret.cid)

    for file in home.store.home.rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            assert WORDS.encode() not in data, file
            assert b"sentence" not in data, file


def test_it_is_neither_asked_for_nor_taken_in_again(home: Home, known_bob: Person) -> None:
    posts = known_bob.posts(3)
    ingest(home.store, *arrivals_of(posts))
    withhold(home.store, posts[1].cid)
    assert {each.status for each in ingest(home.store, *arrivals_of(posts))} == {Status.KNOWN}
    assert record_of(home.store, posts[1].cid).body is None
    assert wanted_runs(home.store, known_bob) == ((0, 2),)


def test_what_is_withheld_before_it_comes_is_stored_without_its_body(home: Home, known_bob: Person) -> None:
    posts = known_bob.posts(4)
    withhold(home.store, posts[1].cid)
    withhold(home.store, posts[3].cid)
    assert [each.status for each in ingest(home.store, *arrivals_of(posts[:3]))] == [Status.STORED] * 3
    ingest(home.store, posts[3].arrival)
    assert posts_of(home.store, known_bob) == ["post 0", "post 2"]
    assert record_of(home.store, posts[3].cid).body_state is BodyState.WITHHELD
    assert wanted_runs(home.store, known_bob) == ((0, 3),)
    assert_counted_and_rebuildable(home.store)


def test_what_is_withheld_while_it_is_on_its_way_is_not_stored_either(home: Home, known_bob: Person) -> None:
    from unhush.storage.arrivals import Batch

    post = known_bob.post("words")
    begun = home.store.begin(Batch((post.arrival,), "a test", wanted_only=False))
    withhold(home.store, post.cid)
    (outcome,) = home.store.finish(begun)
    assert outcome.status is Status.STORED
    assert record_of(home.store, post.cid).body is None


def test_it_may_come_again_when_it_is_withheld_no_longer(home: Home, known_bob: Person) -> None:
    posts = known_bob.posts(3)
    ingest(home.store, *arrivals_of(posts))
    withhold(home.store, posts[1].cid)
    assert home.store.withheld.drop(posts[1].cid)
    assert not home.store.withheld.drop(posts[1].cid)
    assert record_of(home.store, posts[1].cid).body_state is BodyState.UNKNOWN
    assert wanted_runs(home.store, known_bob) == ((0, 0), (2, 2))
    assert ingest(home.store, posts[1].arrival)[0].status is Status.FILLED
    assert posts_of(home.store, known_bob) == ["post 0", "post 1", "post 2"]
    assert_counted_and_rebuildable(home.store)


def test_what_others_withheld_is_still_wanted(home: Home, known_bob: Person) -> None:
    posts = known_bob.posts(2)
    ingest(home.store, posts[0].without_body._replace(reason=BodyState.WITHHELD), posts[1].arrival)
    assert wanted_runs(home.store, known_bob) == ((1, 1),)
    assert home.store.withheld.all() == {}


def test_a_change_of_mind_about_the_reason_keeps_the_time(home: Home, known_bob: Person) -> None:
    cid = cid_of(b"not here")
    home.store.withheld.add(cid, "one", 5)
    home.store.withheld.add(cid, "two", 9)
    assert home.store.withheld.all() == {cid: withheld.WithheldBody(cid, "two", 5)}


def test_an_edit_that_is_withheld_shows_the_version_before_it(home: Home, known_bob: Person) -> None:
    post = known_bob.post("first")
    edit = known_bob.write(Edit(post.cid, Post("second")))
    answer = known_bob.write(Post("answer", reply=Reply(post.cid, post.cid, post.entry.account, post.entry.account)))
    ingest(home.store, *arrivals_of([post, edit, answer]))
    withhold(home.store, edit.cid)
    assert posts_of(home.store, known_bob)[0] == "first"
    withhold(home.store, post.cid)
    assert posts_of(home.store, known_bob) == ["answer"]
    assert asked(home.store, lambda snapshot: len(list(snapshot.thread(post.cid)))) == 1
    assert_counted_and_rebuildable(home.store)


def test_a_post_is_withheld_with_all_its_versions_and_nothing_of_them_is_left(home: Home, known_bob: Person) -> None:
    post, other = known_bob.post("first"), known_bob.post("another")
    edits = [known_bob.write(Edit(post.cid, Post(f"{WORDS} {number} " * 20))) for number in range(3)]
    beside = known_bob.write(Edit(other.cid, Post("another, mended")))
    ingest(home.store, *arrivals_of([post, other, *edits, beside]), known_bob.write(Delete(edits[2].cid)).arrival)
    assert home.store.fulltext.catch_up(9.0)
    assert any(WORDS.encode() in file.read_bytes() for file in home.store.home.rglob("*") if file.is_file())

    withhold(home.store, post.cid)

    assert {each.body for each in (record_of(home.store, edit.cid) for edit in edits)} == {None}
    assert record_of(home.store, beside.cid).body is not None
    assert versions_of(home.store, other.cid) == ["another", "another, mended"]
    assert posts_of(home.store, known_bob) == ["another"]
    for file in home.store.home.rglob("*"):
        assert not file.is_file() or WORDS.encode() not in file.read_bytes(), file
    all_of_it = {post.cid: None} | dict.fromkeys((edit.cid for edit in edits), post.cid)
    assert {cid: each.of for cid, each in home.store.withheld.all().items()} == all_of_it
    assert {each.reason for each in home.store.withheld.all().values()} == {"order of a court"}
    assert {each.status for each in ingest(home.store, *arrivals_of(edits))} == {Status.KNOWN}
    assert wanted_runs(home.store, known_bob) == ((0, 6),)
    withhold(home.store, post.cid, "another reason")
    assert {each.reason for each in home.store.withheld.all().values()} == {"another reason"}
    assert is_sound(home.store)
    home.store.fulltext.catch_up(9.0)
    assert_counted_and_rebuildable(home.store)


def test_an_edit_that_comes_later_is_withheld_with_its_post_and_both_come_again(home: Home, known_bob: Person) -> None:
    post = known_bob.post("first")
    edits = [known_bob.write(Edit(post.cid, Post("second"))), known_bob.write(Edit(post.cid, Post("third")))]
    ingest(home.store, post.arrival, edits[0].without_body)
    withhold(home.store, post.cid)
    ingest(home.store, *arrivals_of(edits))
    for edit in edits:
        record = record_of(home.store, edit.cid)
        assert (record.body, record.body_state) == (None, BodyState.WITHHELD)
        with pytest.raises(WithholdRefused, match=str(post.cid)):
            home.store.withheld.drop(edit.cid)
    assert wanted_runs(home.store, known_bob) == ((0, 2),)
    assert_counted_and_rebuildable(home.store)

    assert home.store.withheld.drop(post.cid)
    assert home.store.withheld.all() == {}
    assert wanted_runs(home.store, known_bob) == ()
    ingest(home.store, *arrivals_of([post, *edits]))
    assert set(versions_of(home.store, post.cid)) == {"first", "second", "third"}
    assert_counted_and_rebuildable(home.store)


def test_edits_that_came_before_a_post_that_is_withheld_go_when_it_comes(home: Home, known_bob: Person) -> None:
    post = known_bob.post("first")
    edit = known_bob.write(Edit(post.cid, Post("second")))
    ingest(home.store, edit.arrival)
    withhold(home.store, post.cid)
    ingest(home.store, post.arrival)
    assert record_of(home.store, edit.cid).body_state is BodyState.WITHHELD
    assert posts_of(home.store, known_bob) == []
    assert_counted_and_rebuildable(home.store)


def test_an_edit_that_was_withheld_by_itself_stays_so(home: Home, known_bob: Person) -> None:
    post = known_bob.post("first")
    edit = known_bob.write(Edit(post.cid, Post("second")))
    ingest(home.store, post.arrival, edit.arrival)
    withhold(home.store, edit.cid, "of its own")
    withhold(home.store, post.cid)
    assert home.store.withheld.drop(post.cid)
    assert home.store.withheld.all() == {edit.cid: withheld.WithheldBody(edit.cid, "of its own", 5)}
    ingest(home.store, post.arrival, edit.arrival)
    assert versions_of(home.store, post.cid) == ["first"]


def test_what_somebody_else_says_of_a_post_does_not_go_with_it(home: Home, known_bob: Person) -> None:
    cleo = Person("Cleo", seed=3)
    home.publish(Follow(cleo.account))
    post = known_bob.post("first")
    ingest(home.store, post.arrival, cleo.incept)
    withhold(home.store, post.cid)
    no_edit = cleo.write(Edit(post.cid, Post("second")))
    ingest(home.store, no_edit.arrival)
    assert record_of(home.store, no_edit.cid).body is not None
    assert set(home.store.withheld.all()) == {post.cid}


def test_edits_of_others_making_take_no_place_of_decisions(
    home: Home, known_bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(withheld, "MAX_WITHHELD", 2)
    post = known_bob.post("first")
    withhold(home.store, post.cid)
    ingest(home.store, post.arrival, *(known_bob.write(Edit(post.cid, Post("more"))).arrival for _ in range(3)))
    assert len(home.store.withheld.all()) == 4
    withhold(home.store, cid_of(b"two"))
    with pytest.raises(WithholdRefused, match="2 bodies"):
        withhold(home.store, cid_of(b"three"))


def test_what_its_author_took_back_already_can_be_withheld(home: Home, known_bob: Person) -> None:
    post = known_bob.post("words")
    ingest(home.store, post.arrival, known_bob.write(Delete(post.cid)).arrival)
    withhold(home.store, post.cid)
    assert record_of(home.store, post.cid).body_state is BodyState.WITHHELD
    assert home.store.collect(is_now=True).erased == 0
    assert_counted_and_rebuildable(home.store)


def test_a_delete_an_operation_and_an_own_record_are_not_withheld(home: Home, known_bob: Person) -> None:
    post = known_bob.post("words")
    delete = known_bob.write(Delete(post.cid))
    ingest(home.store, post.arrival, delete.arrival)
    mine = home.post("mine")
    for cid in (delete.cid, known_bob.account, mine.cid, cid_of_raw(b"a blob")):
        with pytest.raises(WithholdRefused):
            withhold(home.store, cid)
    for reason in ("x" * 301, "\ud800"):
        with pytest.raises(WithholdRefused):
            withhold(home.store, post.cid, reason)
    assert home.store.withheld.all() == {}
    assert record_of(home.store, post.cid).body is not None


def test_as_much_can_be_withheld_as_a_bound_says(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(withheld, "MAX_WITHHELD", 1)
    withhold(home.store, cid_of(b"one"))
    withhold(home.store, cid_of(b"one"), "again")
    with pytest.raises(WithholdRefused, match="1 bodies"):
        withhold(home.store, cid_of(b"two"))


def test_a_follow_that_is_withheld_is_none(home: Home, known_bob: Person) -> None:
    follow = known_bob.write(Follow(home.person.account))
    ingest(home.store, follow.arrival)
    withhold(home.store, follow.cid)
    assert asked(home.store, lambda snapshot: list(snapshot.followers(home.person.account))) == []
    assert asked(home.store, lambda snapshot: list(snapshot.activity())) == []


def picture_of(store: Store, data: bytes) -> Media:
    blob, size = store.blobs.put(BytesIO(data))
    Thumbs(store.home).put(blob, b"small " + data[-8:])
    return Media(blob, "image/png", size, "")


def files_of(store: Store) -> set[bytes]:
    return {*store.blobs.folder.iter_digests(), *Thumbs(store.home).folder.iter_digests()}


def test_pictures_that_nothing_else_shows_go_at_once_however_young(
    home: Home, known_bob: Person, tmp_path: Path
) -> None:
    shared = b"s" * CHUNK_BYTES  # a chunk of two of them
    only, other, both, of_edit = (
        picture_of(home.store, data) for data in (shared + b"only", shared + b"other", b"both", b"of the edit")
    )
    posts = [known_bob.write(Post("with", media=media)) for media in ((only, both), (other, both))]
    edit = known_bob.write(Edit(posts[0].cid, Post("new", media=(of_edit,))))
    ingest(home.store, *arrivals_of([*posts, edit]))
    before = files_of(home.store)
    home.store.blobs.put(BytesIO(b"attached for a post that is written now"))

    assert home.store.withheld.add(posts[0].cid, "order of a court", 5) == 2

    gone = {only.cid.digest, of_edit.cid.digest, cid_of_raw(b"only").digest}
    assert files_of(home.store) == before - gone | {cid_of_raw(b"attached for a post that is written now").digest}
    for kept in (other, both):
        assert home.store.blobs.has(kept.cid)
    assert home.store.withheld.add(posts[0].cid, "again", 6) == 0
    home.store.backup(tmp_path / "backup.tar", now_ms=7)
    assert b"of the edit" not in (tmp_path / "backup.tar").read_bytes()
    assert home.store.withheld.add(posts[1].cid, "order of a court", 5) == 2
    assert files_of(home.store) == {cid_of_raw(b"attached for a post that is written now").digest}


def test_what_cannot_be_erased_now_goes_with_gc(home: Home, known_bob: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = picture_of(home.store, b"only")
    post = known_bob.write(Post("with", media=(picture,)))
    ingest(home.store, *arrivals_of([post]))
    with monkeypatch.context() as patch:

        def fail(_self: DigestFolder, _digest: bytes) -> bool:
            raise BlobsUnusable("this disk takes no write")

        patch.setattr(DigestFolder, "remove", fail)
        assert home.store.withheld.add(post.cid, "order of a court", 5) == 0
    assert record_of(home.store, post.cid).body is None
    assert home.store.blobs.has(picture.cid)

    monkeypatch.setattr(collecting, "YOUNG_S", -time.time())
    home.store.collect()

    assert files_of(home.store) == set()


def test_it_is_no_damage_and_survives_backup_and_repair(
    home: Home, known_bob: Person, tmp_path: Path, clock: Clock
) -> None:
    posts = known_bob.posts(3)
    ingest(home.store, *arrivals_of(posts))
    withhold(home.store, posts[1].cid)
    with home.store.snapshot() as snapshot:
        report = verify_store(snapshot, network=home.store.network, check_cid=lambda _name, _block: True)
    assert (report.is_damaged, report.missing, report.dropped) == (False, 0, 1)
    assert home.store.find_stale() == []
    home.store.backup(tmp_path / "backup.tar", now_ms=clock())
    (tmp_path / "again").mkdir()
    read_backup(tmp_path / "backup.tar", tmp_path / "again", network=home.store.network)
    repair(tmp_path / "again", network=home.store.network)
    with open_home(tmp_path / "again", clock) as again:
        assert again.withheld.all() == home.store.withheld.all()
        assert record_of(again, posts[1].cid).body_state is BodyState.WITHHELD
        assert ingest(again, posts[1].arrival)[0].status is Status.KNOWN
        assert is_sound(again)
