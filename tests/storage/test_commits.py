"""Group commit: several threads' work in few commits, each answered once its own is on disk, with its own errors."""

import threading
from pathlib import Path

import pytest
from tests.support.people import Home

from unhush.storage.commits import Commits
from unhush.storage.environment import Environment
from unhush.storage.kinds import Post
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn


class Counted(Environment):
    """Counts its write transactions; the first one waits until it is let go."""

    def __init__(self, path: Path) -> None:
        self.writes = 0
        super().__init__(path, network="test")
        self.may_go_on = threading.Event()

    def write(self):  # type: ignore[no-untyped-def]  # as the method it stands for
        self.writes += 1
        return super().write()


@pytest.fixture
def counted(tmp_path: Path):  # type: ignore[no-untyped-def]
    environment = Counted(tmp_path / "store")
    environment.writes = 0
    yield environment
    environment.close()


def put(name: bytes):  # type: ignore[no-untyped-def]
    def work(txn: Txn) -> bytes:
        txn.put(Table.META, name, b"here")
        return name

    return work


def test_what_waits_while_a_commit_is_on_its_way_goes_together(counted: Counted) -> None:
    commits = Commits(counted)
    begun = threading.Event()

    def first(txn: Txn) -> None:
        begun.set()
        assert counted.may_go_on.wait(10)

    results: dict[int, bytes] = {}
    threads = [threading.Thread(target=commits.run, args=(first,))]
    threads[0].start()
    assert begun.wait(10)
    for number in range(20):
        name = b"row-%d" % number
        threads.append(threading.Thread(target=lambda n=number, name=name: results.update({n: commits.run(put(name))})))
        threads[-1].start()
    while len(commits._queue) < 20:
        threading.Event().wait(0.01)
    counted.may_go_on.set()
    for thread in threads:
        thread.join(10)
    assert counted.writes == 2
    assert results == {number: b"row-%d" % number for number in range(20)}
    with counted.read() as txn:
        assert all(txn.get(Table.META, b"row-%d" % number) == b"here" for number in range(20))


def test_who_fails_fails_alone(counted: Counted) -> None:
    commits = Commits(counted)
    begun = threading.Event()
    outcomes: dict[str, object] = {}

    def slow(_txn: Txn) -> None:
        begun.set()
        assert counted.may_go_on.wait(10)

    def bad(txn: Txn) -> None:
        txn.put(Table.META, b"bad", b"half")
        raise ValueError("mine alone")

    def run(name: str, work) -> None:  # type: ignore[no-untyped-def]
        try:
            outcomes[name] = commits.run(work)
        except ValueError as exc:
            outcomes[name] = str(exc)

    threads = [threading.Thread(target=run, args=("slow", slow))]
    threads[0].start()
    assert begun.wait(10)
    for name, work in (("good", put(b"good")), ("bad", bad), ("other", put(b"other"))):
        threads.append(threading.Thread(target=run, args=(name, work)))
        threads[-1].start()
    while len(commits._queue) < 3:
        threading.Event().wait(0.01)
    counted.may_go_on.set()
    for thread in threads:
        thread.join(10)
    assert outcomes == {"slow": None, "good": b"good", "bad": "mine alone", "other": b"other"}
    with counted.read() as txn:
        assert txn.get(Table.META, b"good") == txn.get(Table.META, b"other") == b"here"
        assert txn.get(Table.META, b"bad") is None


def test_posts_of_many_threads_make_one_chain(home: Home) -> None:
    cids = []

    def post(number: int) -> None:
        cids.extend(home.store.publish(home.publisher, Post(f"{number}/{place}"))[0].cid for place in range(5))

    threads = [threading.Thread(target=post, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    with home.store.snapshot() as snapshot:
        records = [record for cid in cids if (record := snapshot.record(cid)) is not None]
    assert len(records) == len(set(cids)) == 40
    seqs = sorted(record.entry.header.seq for record in records)
    assert seqs == list(range(seqs[0], seqs[0] + 40))
