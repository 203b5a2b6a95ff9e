"""News: whoever waits for the journal to grow wakes, whichever thread or process made it grow."""

import socket
import threading
import time
from pathlib import Path

import pytest
from tests.support.people import Clock, Home, Person, ingest, open_home, publisher_of
from tests.support.processes import child

from unhush.storage import news
from unhush.storage.errors import HomeInUse
from unhush.storage.kinds import Post
from unhush.storage.runtime import bind_in, runtime_dir, short_name
from unhush.storage.store import Store

PATIENCE_S = 20.0


class Waiter:
    """A thread in ``wait_for_news`` and what came of it."""

    def __init__(self, store: Store, after: int, timeout_s: float = PATIENCE_S) -> None:
        self.heard: bool | None = None
        self.took_s = 0.0
        self._thread = threading.Thread(target=self._wait, args=(store, after, timeout_s))
        self._thread.start()

    def _wait(self, store: Store, after: int, timeout_s: float) -> None:
        start = time.monotonic()
        self.heard = store.wait_for_news(after, timeout_s)
        self.took_s = time.monotonic() - start

    def join(self) -> "Waiter":
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        return self


def test_waiting_ends_at_once_if_the_news_is_already_there(home: Home) -> None:
    assert home.store.wait_for_news(0, 0.0)


def test_waiting_without_news_ends_with_no(home: Home) -> None:
    assert not home.store.wait_for_news(home.store.last_aid(), 0.01)


def test_a_post_wakes_whoever_waits_in_the_same_process(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(news, "LOOK_EVERY_S", 3_600.0)  # no look comes to help
    waiters = [Waiter(home.store, home.store.last_aid()) for _ in range(3)]

    home.post("news")

    assert all(waiter.join().heard for waiter in waiters)


def test_ingest_wakes_whoever_waits(home: Home, bob: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(news, "LOOK_EVERY_S", 3_600.0)
    waiter = Waiter(home.store, home.store.last_aid())
    calls: list[int] = []
    home.store.subscribe(lambda: calls.append(home.store.last_aid()))

    ingest(home.store, bob.incept)
    ingest(home.store, bob.incept)  # nothing new

    assert waiter.join().heard
    assert calls == [home.store.last_aid()]


def test_a_subscriber_is_called_after_every_commit_until_it_ends(home: Home) -> None:
    calls: list[int] = []
    end = home.store.subscribe(lambda: calls.append(home.store.last_aid()))
    first, second = home.post("one"), home.post("two")

    end()
    home.post("three")

    assert calls == [first.aid, second.aid]


def test_a_subscriber_that_fails_does_not_fail_the_post(home: Home) -> None:
    calls: list[int] = []

    def fail() -> None:
        raise RuntimeError("a subscriber with a bug")

    home.store.subscribe(fail)
    home.store.subscribe(lambda: calls.append(1))

    record = home.post("stored all the same")

    assert home.store.last_aid() == record.aid
    assert calls == [1]


def test_a_post_of_another_process_wakes_us_by_its_datagram(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(news, "LOOK_EVERY_S", 3_600.0)  # only the datagram can wake
    called = threading.Event()
    home.store.subscribe(called.set)
    with child("tests.support.writer", str(home.store.home), "1", "posts=1") as writer:
        assert writer.line() == "ready"
        waiter = Waiter(home.store, home.store.last_aid())
        writer.say("go")

        assert waiter.join().heard
        assert called.wait(PATIENCE_S)
        writer.finish()


def test_our_post_wakes_another_process(home: Home) -> None:
    with child("tests.support.listener", str(home.store.home), "2") as listener:
        assert listener.line() == "ready"
        for _ in range(2):
            record = home.post("for them")

            assert listener.line() == f"news {record.aid}"
        listener.finish()


def test_news_whose_datagram_is_lost_is_found_by_the_slow_look(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(news, "LOOK_EVERY_S", 0.05)
    called = threading.Event()
    home.store.subscribe(called.set)
    for path in runtime_dir(home.store.home).glob("*.sock"):
        path.unlink()  # nobody can reach us any more
    with child("tests.support.writer", str(home.store.home), "1", "posts=1") as writer:
        assert writer.line() == "ready"
        waiter = Waiter(home.store, home.store.last_aid())
        writer.say("go")

        assert waiter.join().heard
        assert called.wait(PATIENCE_S)
        writer.finish()


def test_a_socket_left_by_a_killed_process_is_cleared_away(home: Home) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
        left = bind_in(runtime_dir(home.store.home), "1-dead.sock", dead)

    home.post("news")

    assert not left.exists()


def test_an_ear_that_does_not_listen_does_not_hold_up_the_writer(home: Home) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        deaf = bind_in(runtime_dir(home.store.home), "1-deaf.sock", ear)
        for _ in range(600):  # more than a socket's queue holds
            home.store._news.announce()

        assert deaf.exists()


def test_closing_wakes_whoever_waits(tmp_path: Path, clock: Clock) -> None:
    with open_home(tmp_path / "closing", clock) as store:
        waiter = Waiter(store, store.last_aid())

    waiter.join()
    assert waiter.took_s < PATIENCE_S


def test_closing_leaves_no_socket_behind(tmp_path: Path, clock: Clock) -> None:
    with open_home(tmp_path / "closing", clock) as store:
        store.wait_for_news(0, 0.0)

        assert len(list(runtime_dir(store.home).glob("*.sock"))) == 1
    assert not runtime_dir(store.home).exists()


def test_a_socket_with_our_own_name_left_by_an_earlier_process_is_no_obstacle(home: Home) -> None:
    own = home.store._news._address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
        bind_in(own.parent, own.name, dead)

    assert not home.store.wait_for_news(home.store.last_aid(), 0.0)
    waiter = Waiter(home.store, home.store.last_aid())
    home.post("news")
    assert waiter.join().heard


@pytest.mark.parametrize("obstacle", ["file", "symlink"])
def test_waiting_where_no_socket_can_be_made_is_refused_by_name(obstacle: str, tmp_path: Path, clock: Clock) -> None:
    home = tmp_path / "home"
    home.mkdir()
    place = runtime_dir(home)
    if obstacle == "file":
        place.write_bytes(b"")
    else:
        place.symlink_to(tmp_path)

    with open_home(home, clock) as store:
        with pytest.raises(HomeInUse):
            store.wait_for_news(0, 0.0)

        assert store.last_aid() == 0  # reading and writing need no such folder


def test_two_homes_do_not_wake_each_other(home: Home, tmp_path: Path, clock: Clock) -> None:
    with open_home(tmp_path / "elsewhere", clock) as other:
        calls: list[int] = []
        other.subscribe(lambda: calls.append(1))

        home.post("news of one home")
        other.wait_for_news(other.last_aid(), 0.05)

        assert calls == []


def test_many_writers_and_waiters_lose_no_wake_up(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(news, "LOOK_EVERY_S", 3_600.0)
    last = home.store.last_aid() + 40
    reached = []

    def follow() -> None:
        cursor = 0
        while cursor < last and home.store.wait_for_news(cursor, PATIENCE_S):
            cursor = home.store.last_aid()
        reached.append(cursor)

    def write() -> None:
        publisher = publisher_of(home.person, Clock())
        for number in range(20):
            home.store.publish(publisher, Post(f"{threading.get_ident()} {number}"))

    threads = [threading.Thread(target=follow) for _ in range(4)] + [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)

    assert reached == [last] * 4


def test_the_last_to_leave_takes_the_runtime_folder_away(tmp_path: Path, clock: Clock) -> None:
    with open_home(tmp_path / "left", clock) as store:
        store.wait_for_news(store.last_aid(), 0.0)
        assert runtime_dir(store.home).is_dir()

    assert not runtime_dir(tmp_path / "left").exists()


def test_a_home_too_deep_for_a_socket_path_is_woken_all_the_same(tmp_path: Path, clock: Clock) -> None:
    deep = tmp_path / ("d" * 120) / "home"
    deep.parent.mkdir()
    called = threading.Event()
    with open_home(deep, clock) as store, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        store.subscribe(called.set)
        [ear] = runtime_dir(deep).glob("*.sock")

        with short_name(ear.parent) as folder:
            sender.sendto(b"news", f"{folder}/{ear.name}")

        assert called.wait(PATIENCE_S)
