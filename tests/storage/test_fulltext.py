"""Full-text search: what is found, in which order, and what an index does that lags, breaks or must forget."""

import logging
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.people import Clock, Home, Person, ingest, open_home
from tests.support.searching import bytes_in, catch_up, find, found_texts

from unhush.storage.errors import HomeInUse, NotFound, NothingToSearch, StoreFull
from unhush.storage.fulltext import fulltext, searching
from unhush.storage.fulltext.engine import Engine
from unhush.storage.kinds import Delete, Edit, Media, Post
from unhush.storage.schema import Table
from unhush.storage.shunned import Shun
from unhush.storage.store import Store

INDEXED = pytest.mark.parametrize("is_indexed", [True, False], ids=["indexed", "not yet indexed"])
HOUR_MS = 3_600_000


def let(store: Store, is_indexed: bool) -> None:
    if is_indexed:
        catch_up(store)


FOUND = {
    "hello": ["Hello again, hello", "Hello, world"],
    "WORLD hello": ["Hello, world"],
    '"hello world"': ["Hello, world"],
    '"world hello"': [],
    "wor*": ["Hello, world"],
    "hello -world": ["Hello again, hello"],
    "hell": [],
    "creme": ["Crème brûlée"],
    "CRÈME": ["Crème brûlée"],
    "京": ["昨日、東京タワーへ行った"],
    "東京タワー": ["昨日、東京タワーへ行った"],
    "京東": [],
    "昨日東京": ["昨日、東京タワーへ行った"],
    "に行": [],
    "서울": ["서울에서 만나요"],
    "เมื่อ": ["สวัสดีเมื่อวาน"],
    "हिन्दी": ["हिन्दी में लिखना"],
    "محمد": ["مُحَمَّد"],
    "n입": [],
    "😀": ["😀 smile"],
    "smile -smile東": ["😀 smile"],
}


@INDEXED
def test_posts_are_found_by_their_words_newest_first(home: Home, clock: Clock, is_indexed: bool) -> None:
    for text in (
        "Hello, world", "Crème brûlée", "昨日、東京タワーへ行った", "서울에서 만나요", "สวัสดีเมื่อวาน",
        "हिन्दी में लिखना", "مُحَمَّد", "😀 smile", "Hello again, hello",
    ):  # fmt: skip
        home.post(text)
    let(home.store, is_indexed)

    assert {typed: found_texts(home.store, typed) for typed in FOUND} == FOUND


@INDEXED
def test_title_tags_and_texts_of_pictures_are_searched_each_by_itself(home: Home, is_indexed: bool) -> None:
    picture = Media(home.first.cid, "image/png", 1, "a red barn")
    (record,) = home.publish(Post("in the field", title="On farms", tags=("Country Life",), media=(picture,)))
    let(home.store, is_indexed)

    for typed in ("farms", "field", "country", '"country life"', "barn", "farms field barn"):
        assert [hit.cid for hit in find(home.store, typed).records] == [record.cid], typed
    assert find(home.store, '"farms in"').records == find(home.store, '"field country"').records == ()


@INDEXED
def test_only_an_account_a_tag_or_a_time(home: Home, clock: Clock, known_bob: Person, is_indexed: bool) -> None:
    home.publish(Post("mine", tags=("Élan vital",)))
    home.post("mine too")
    clock.advance(HOUR_MS)
    then = clock()
    ingest(home.store, known_bob.post("his, mine", time_ms=then).arrival)
    let(home.store, is_indexed)
    store = home.store

    assert found_texts(store, "mine") == ["his, mine", "mine too", "mine"]
    assert found_texts(store, "mine", by=home.person.account) == ["mine too", "mine"]
    assert found_texts(store, "mine", by=known_bob.account) == ["his, mine"]
    assert found_texts(store, "mine", by=home.first.cid) == []
    assert found_texts(store, "mine", tag="elan VITAL") == ["mine"]
    assert found_texts(store, "mine", tag="elan") == []
    assert found_texts(store, "mine", since_ms=then) == ["his, mine"]
    assert found_texts(store, "mine", until_ms=then) == ["mine too", "mine"]
    assert found_texts(store, "mine", since_ms=then, until_ms=then) == []
    assert found_texts(store, "mine", since_ms=-5, until_ms=2**80) == ["his, mine", "mine too", "mine"]
    with pytest.raises(NothingToSearch):
        find(store, "mine", tag="#")


def test_who_was_muted_is_found_only_if_named(home: Home, known_bob: Person) -> None:
    ingest(home.store, known_bob.post("noise").arrival)
    home.store.put_shun(known_bob.account, Shun.MUTED)
    catch_up(home.store)

    assert found_texts(home.store, "noise") == []
    assert found_texts(home.store, "noise", by=known_bob.account) == ["noise"]


def test_posts_come_by_the_time_they_are_shown_at_not_in_the_order_they_came(home: Home, known_bob: Person) -> None:
    early = known_bob.post("word early", time_ms=known_bob.clock_ms() - 5)
    late = known_bob.post("word late")
    ingest(home.store, late.arrival)
    ingest(home.store, early.arrival)
    catch_up(home.store)

    assert found_texts(home.store, "word") == ["word late", "word early"]


def test_a_cursor_goes_on_where_a_page_ended_whatever_came_meanwhile(home: Home, clock: Clock) -> None:
    for number in range(7):
        clock.advance(10)
        home.post(f"word {number}")
        if number == 3:
            catch_up(home.store)  # the rest is looked through by the search itself
    first = find(home.store, "word", limit=3)
    clock.advance(10)
    home.post("word new")
    catch_up(home.store)
    second = find(home.store, "word", limit=3, before=first.next)
    third = find(home.store, "word", limit=3, before=second.next)

    seen = [record.cid for page in (first, second, third) for record in page.records]
    assert len(seen) == len(set(seen)) == 7
    assert third.next is None
    assert found_texts(home.store, "word new") == ["word new"]


@pytest.mark.parametrize("cursor", ["", "x", "-1", "1.5", "9" * 30, "٣", "\x00", "18446744073709551616"])
def test_a_cursor_that_is_none_is_refused(home: Home, cursor: str) -> None:
    with pytest.raises(NotFound, match="not a place in a search"):
        find(home.store, "word", before=cursor)


@INDEXED
def test_an_edit_is_found_by_its_words_and_no_more_by_the_old(home: Home, is_indexed: bool) -> None:
    record = home.post("first words")
    catch_up(home.store)
    (edit,) = home.publish(Edit(record.cid, Post("other words")))
    let(home.store, is_indexed)

    assert [hit.cid for hit in find(home.store, "other").records] == [record.cid]
    assert find(home.store, "first").records == ()

    home.publish(Delete(edit.cid))
    let(home.store, is_indexed)

    assert find(home.store, "other").records == ()
    assert [hit.cid for hit in find(home.store, "first").records] == [record.cid]


@INDEXED
def test_what_was_deleted_is_not_found_and_what_its_delete_gives_back_is(
    store: Store, known_bob: Person, is_indexed: bool
) -> None:
    device, add = known_bob.add_device()
    post = known_bob.post("word")
    delete = known_bob.write(Delete(post.entry.cid), by=device)
    ingest(store, add, post.arrival)
    catch_up(store)
    ingest(store, delete.arrival)
    let(store, is_indexed)

    assert find(store, "word").records == ()

    ingest(store, known_bob.revoke(device.key.public, None))
    let(store, is_indexed)

    assert [hit.cid for hit in find(store, "word").records] == [post.entry.cid]


@INDEXED
def test_what_a_cut_hides_is_not_found(store: Store, known_bob: Person, is_indexed: bool) -> None:
    device, add = known_bob.add_device()
    kept, gone = known_bob.write(Post("word kept"), by=device), known_bob.write(Post("word gone"), by=device)
    ingest(store, add, kept.arrival, gone.arrival)
    catch_up(store)
    ingest(store, known_bob.revoke(device.key.public, kept.entry))
    let(store, is_indexed)

    assert found_texts(store, "word") == ["word kept"]
    catch_up(store)
    assert store.fulltext.check() == fulltext.Checked(1, 0, ())


def test_a_post_is_found_once_its_body_came(store: Store, known_bob: Person) -> None:
    post = known_bob.post("word")
    ingest(store, post.without_body)
    catch_up(store)
    assert find(store, "word").records == ()

    ingest(store, post.arrival)
    catch_up(store)
    assert [hit.cid for hit in find(store, "word").records] == [post.entry.cid]
    assert store.fulltext.check().problems == ()


def test_the_best_come_first_and_the_title_counts_most(home: Home) -> None:
    home.publish(Post("about something else " * 20 + "with the word salt in it"))
    home.publish(Post("salt and salt again"))
    home.publish(Post("what it does", title="Salt"))
    home.post("salt")
    home.post("東京、東京")
    home.post("東京 " + "長い文章 " * 50)
    catch_up(home.store)

    said = found_texts(home.store, "salt", ranked=True)
    assert said[0] == "what it does"
    assert said[-1].startswith("about something")
    assert found_texts(home.store, "東京", ranked=True)[0] == "東京、東京"
    assert len(find(home.store, "salt", ranked=True, limit=2).records) == 2


def test_the_best_are_those_of_the_newest_matches_and_the_cursor_goes_on(
    home: Home, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "MOST_RANKED", 3)
    for text in ("word word word", "word old", "word a b", "word word", "word a"):
        clock.advance(10)
        home.post(text)
    catch_up(home.store)

    page = find(home.store, "word", ranked=True)
    rest = find(home.store, "word", ranked=True, before=page.next)

    assert page.records[0].cid == find(home.store, '"word word"').records[0].cid
    assert (len(page.records), len(rest.records), rest.next) == (3, 2, None)


def test_what_the_index_has_not_seen_is_looked_through_as_far_as_it_is_little(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "MOST_LATE", 4)
    catch_up(home.store)
    home.publish(Post("word 0"), Post("word 1"))
    assert (len(find(home.store, "word").records), find(home.store, "word").behind) == (2, 0)

    home.publish(*(Post(f"word {number}") for number in range(2, 8)))
    found = find(home.store, "word")

    assert (len(found.records), found.behind) == (4, 4)
    catch_up(home.store)
    assert (len(find(home.store, "word").records), find(home.store, "word").behind) == (8, 0)


def test_a_search_without_end_stops_and_says_how_to_go_on(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "MOST_S", -1.0)
    for _ in range(3):
        home.post("word")
    home.post("no such")
    catch_up(home.store)

    pages = [find(home.store, "word")]
    while pages[-1].next is not None:
        pages.append(find(home.store, "word", before=pages[-1].next))

    assert [len(page.records) for page in pages] == [1, 1, 1]


def test_a_change_during_a_step_stays_due(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    record = home.post("first")
    catch_up(home.store)
    home.publish(Edit(record.cid, Post("second")))
    writing = Engine.put_place

    def edit_again(engine: Engine, *arguments: object) -> None:
        writing(engine, *arguments)  # type: ignore[arg-type]  # as it was called
        monkeypatch.setattr(Engine, "put_place", writing)
        home.publish(Edit(record.cid, Post("third")))

    monkeypatch.setattr(Engine, "put_place", edit_again)
    catch_up(home.store)

    assert home.store.fulltext.behind() > 0
    catch_up(home.store)

    assert [hit.cid for hit in find(home.store, "third").records] == [record.cid]
    assert home.store.fulltext.check() == fulltext.Checked(1, 0, ())
    with home.store._environment.read() as txn:
        assert txn.count(Table.TEXT_DUE) == 0


def test_a_rebuilt_index_is_the_same_and_the_old_one_is_gone(home: Home) -> None:
    records = [home.post(f"word {number}") for number in range(5)]
    catch_up(home.store)
    home.publish(Edit(records[0].cid, Post("changed")), Delete(records[1].cid))
    before = find(home.store, "word").records
    progress: list[int] = []

    assert home.store.fulltext.rebuild(progress.append) == 4

    assert find(home.store, "word").records == before
    assert progress
    assert home.store.fulltext.check().problems == ()
    catch_up(home.store)
    assert home.store.fulltext.check() == fulltext.Checked(4, 0, ())
    assert len(list((home.store.home / "search").glob("posts-*.sqlite"))) == 1


def test_a_rebuild_that_fails_leaves_the_index_as_it_was(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.post("word")
    catch_up(home.store)

    def fail(*_: object) -> None:
        raise StoreFull("no room")

    monkeypatch.setattr(Engine, "put", fail)
    with pytest.raises(StoreFull):
        home.store.fulltext.rebuild()
    monkeypatch.undo()

    assert [path.name for path in (home.store.home / "search").glob("posts-*.sqlite")] == ["posts-1.sqlite"]
    assert found_texts(home.store, "word") == ["word"]
    assert home.store.fulltext.rebuild() == 1


def break_file(path: Path, how: str) -> None:
    for beside in path.parent.glob(f"{path.name}-*"):
        beside.unlink()
    content = path.read_bytes()
    match how:
        case "nothing":
            path.write_bytes(b"")
        case "no database":
            path.write_bytes(b"hello" * 1_000)
        case "half":
            path.write_bytes(content[: len(content) // 2])
        case "zeros":
            path.write_bytes(content[:4096] + bytes(len(content) - 4096))
        case "other version":
            with sqlite3.connect(path) as db:
                db.execute("PRAGMA user_version = 999")
            db.close()
        case "other rule":
            with sqlite3.connect(path) as db:
                db.execute("UPDATE state SET value = '1/1.0' WHERE name = 'rule'")
            db.close()


@pytest.mark.parametrize("how", ["nothing", "no database", "half", "zeros", "other version", "other rule"])
def test_a_damaged_index_is_made_anew(home: Home, how: str, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(50):
        home.post(f"word {number}")
    catch_up(home.store)
    home.store.fulltext.close()
    (path,) = (home.store.home / "search").glob("posts-*.sqlite")
    break_file(path, how)

    with caplog.at_level(logging.WARNING):
        assert len(find(home.store, "word").records) == 50  # few enough to be looked through without an index
        catch_up(home.store)

    assert home.store.fulltext.check() == fulltext.Checked(50, 0, ())
    assert len(find(home.store, "word").records) == 50
    assert not path.exists()


def test_an_index_of_another_journal_is_made_anew(new_store: Callable[[], Store], known_bob: Person) -> None:
    first, second = new_store(), new_store()
    ingest(first, known_bob.incept, known_bob.post("word one").arrival, known_bob.post("word two").arrival)
    catch_up(first)
    first.fulltext.close()
    other = Person("Carol", seed=9)
    ingest(second, other.incept, other.post("her word").arrival, other.post("hers").arrival, other.post("more").arrival)
    shutil.copytree(first.home / "search", second.home / "search")

    catch_up(second)

    assert found_texts(second, "word") == ["her word"]
    assert second.fulltext.check() == fulltext.Checked(3, 0, ())


def test_an_index_that_is_ahead_of_the_journal_is_made_anew(new_store: Callable[[], Store], known_bob: Person) -> None:
    first, second = new_store(), new_store()
    log = known_bob.posts(4)
    ingest(first, known_bob.incept, *(record.arrival for record in log))
    catch_up(first)
    first.fulltext.close()
    ingest(second, known_bob.incept, log[0].arrival)
    shutil.copytree(first.home / "search", second.home / "search")

    catch_up(second)

    assert second.fulltext.check() == fulltext.Checked(1, 0, ())


def test_deleted_words_are_gone_from_the_files_after_a_purge(home: Home) -> None:
    home.publish(*(Post(f"common number{number} " + "filler " * (number % 7)) for number in range(300)))
    secret = home.post("xylographica quintessence 鑿穿")
    edited = home.post("zymurgologist before")
    catch_up(home.store)
    folder = home.store.home / "search"
    assert home.store.fulltext.purge()
    words = [b"xylographica", b"quintessence", "鑿穿".encode(), "鑿".encode(), b"zymurgologist", b"xyl", b"zym"]
    assert all(word in bytes_in(folder) for word in (b"xylographica", b"quintessence", b"zymurgologist"))

    home.publish(Delete(secret.cid), Edit(edited.cid, Post("after")))
    assert home.store.fulltext.purge()

    held = bytes_in(folder)
    assert [word for word in words if word in held] == []
    assert b"common" in held
    assert home.store.fulltext.check() == fulltext.Checked(301, 0, ())
    assert len(find(home.store, "common", limit=400).records) == 300


def test_a_purge_says_when_a_reader_holds_an_old_state(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unhush.storage.fulltext.engine.BUSY_S", 0.1)
    record = home.post("xylographica")
    catch_up(home.store)
    (path,) = (home.store.home / "search").glob("posts-*.sqlite")
    reader = Engine.open_to_read(path)
    with reader.reading():
        assert reader.count() == 1
        home.publish(Delete(record.cid))
        assert not home.store.fulltext.purge()
    reader.close()

    assert home.store.fulltext.purge()
    assert b"xylographica" not in bytes_in(path.parent)


def test_one_indexes_at_a_time_and_all_may_search(home: Home) -> None:
    home.post("word")
    catch_up(home.store)
    with home.store.fulltext._folder.lock("index"):
        home.post("word too")
        assert not home.store.fulltext.catch_up(0.1)
        assert len(find(home.store, "word").records) == 2
    catch_up(home.store)
    assert home.store.fulltext.behind() == 0


def test_an_index_that_was_dropped_is_made_anew(home: Home) -> None:
    index = home.store.fulltext
    assert index.size_bytes() == 0
    home.post("word")
    catch_up(home.store)
    assert index.size_bytes() > 0

    index.drop()

    assert index.size_bytes() == 0
    assert index.purge()
    assert index.check() == fulltext.Checked(0, home.store.last_aid(), ())
    assert found_texts(home.store, "word") == ["word"]
    catch_up(home.store)
    assert index.check() == fulltext.Checked(1, 0, ())


def test_one_follows_at_a_time(home: Home) -> None:
    index = home.store.fulltext
    assert not index.is_followed()
    with index.following():
        assert index.is_followed()
        with pytest.raises(HomeInUse), index.following():
            pass
    assert not index.is_followed()


def test_threads_search_while_others_write_and_index(home: Home) -> None:
    failures: list[BaseException] = []
    is_done = threading.Event()

    def search() -> None:
        try:
            while not is_done.is_set():
                records = find(home.store, "word", limit=500).records
                assert len({record.cid for record in records}) == len(records)
        except BaseException as exc:
            failures.append(exc)

    searchers = [threading.Thread(target=search) for _ in range(2)]
    for searcher in searchers:
        searcher.start()
    for number in range(20):
        home.publish(*(Post(f"word {number} {each}") for each in range(5)))
        home.store.fulltext.catch_up(0.05)
    is_done.set()
    for searcher in searchers:
        searcher.join()

    assert failures == []
    catch_up(home.store)
    assert len(find(home.store, "word", limit=500).records) == 100


def test_a_damaged_row_of_the_journal_stops_nothing(home: Home) -> None:
    broken = home.post("word broken")
    home.post("word whole")
    with home.store._environment.write() as txn:
        txn.put(Table.JOURNAL, broken.aid.to_bytes(8, "big"), b"\xff")

    assert found_texts(home.store, "word") == ["word whole"]
    catch_up(home.store)
    assert found_texts(home.store, "word") == ["word whole"]


def test_a_folder_that_cannot_be_made_leaves_a_search_that_looks_through_the_journal(home: Home) -> None:
    (home.store.home / "search").write_text("no folder")
    home.post("word")

    assert found_texts(home.store, "word") == ["word"]


INDEXER = """
import sys
from pathlib import Path
from unhush.storage.store import Store
with Store(Path(sys.argv[1]), network=sys.argv[2], clock_ms=lambda: 0) as store:
    print("ready", flush=True)
    store.fulltext.catch_up(600)
    print("done", flush=True)
"""


def start_indexer(store: Store) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-c", INDEXER, str(store.home), store.network],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": "src"},
    )


def kill_while_indexing(store: Store, home: Home, times: int, posts: int) -> None:
    written = 0
    for turn in range(times):
        home.publish(*(Post(f"word {turn} {number}") for number in range(posts)))
        written += posts
        victims = find(store, f'"word {turn}"', limit=3).records
        home.publish(*(Delete(victim.cid) for victim in victims))
        written -= len(victims)
        indexer = start_indexer(store)
        assert indexer.stdout is not None
        assert indexer.stdout.readline() == b"ready\n"
        try:
            indexer.wait(0.005 * (turn % 12 + 1))
        except subprocess.TimeoutExpired:
            indexer.send_signal(signal.SIGKILL)
        indexer.wait()
        indexer.stdout.close()

        checked = store.fulltext.check()
        assert checked.problems == ()
        catch_up(store)
        assert store.fulltext.check() == fulltext.Checked(written, 0, ())


def test_an_indexer_that_is_killed_loses_nothing(home: Home) -> None:
    kill_while_indexing(home.store, home, times=2, posts=300)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_an_indexer_that_is_killed_many_times_loses_nothing(home: Home) -> None:
    kill_while_indexing(home.store, home, times=30, posts=300)


def test_a_full_disk_stops_indexing_and_nothing_else(tmp_path: Path, clock: Clock) -> None:
    """In a child, whose files may not grow: the store may, its map is as large as it gets from the start."""
    with open_home(tmp_path / "home", clock) as store:
        home = Home(store, Person("Ann", seed=1, clock_ms=clock), clock)
        home.publish(
            *(Post(f"word {number} " + " ".join(f"w{number}x{each}" for each in range(100))) for number in range(200))
        )
    said = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "home"), "tests"],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": f"src{os.pathsep}."},
        check=False,
    )
    assert said.stdout.splitlines() == [b"full", b"found 200", b"caught up", b"found 200"], said.stderr


FULL = """
import resource, signal, sys
from pathlib import Path
from tests.support.people import NETWORK
from tests.support.searching import catch_up, find
from unhush.storage.errors import StoreFull
from unhush.storage.store import Store

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with Store(Path(sys.argv[1]), network=NETWORK, clock_ms=lambda: 0) as store:
    was = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, was[1]))
    try:
        store.fulltext.catch_up(60)
    except StoreFull:
        print("full")
    print("found", len(find(store, "word", limit=500).records))
    resource.setrlimit(resource.RLIMIT_FSIZE, was)
    catch_up(store)
    print("caught up")
    print("found", len(find(store, "word", limit=500).records))
"""
