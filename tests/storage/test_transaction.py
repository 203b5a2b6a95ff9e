"""A transaction reads what it wrote, gathered or not: whatever is asked, it answers like a sorted map."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from unhush.storage import transaction
from unhush.storage.environment import Environment
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn

KEYS = st.binary(min_size=1, max_size=3)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), KEYS, st.binary(max_size=4)),
        st.tuples(st.just("delete"), KEYS, st.just(b"")),
        st.tuples(st.just("look"), KEYS, st.just(b"")),
        st.tuples(st.just("clear"), st.just(b""), st.just(b"")),
        st.tuples(st.just("commit"), st.just(b""), st.just(b"")),
    ),
    max_size=60,
)


def look(txn: Txn, model: dict[bytes, bytes], key: bytes) -> None:
    """Every way to read, around one key."""
    assert txn.get(Table.HOME, key) == model.get(key)
    rows = sorted(model.items())
    assert txn.last(Table.HOME) == (rows[-1] if rows else None)
    assert txn.count(Table.HOME) == len(rows)
    prefix = key[:1]
    assert txn.has(Table.HOME, key) == any(held.startswith(key) for held in model)
    fitting = [row for row in rows if row[0].startswith(prefix)]
    assert list(txn.scan(Table.HOME, prefix)) == fitting
    below, above = [row for row in fitting if row[0] < key], [row for row in fitting if row[0] >= key]
    assert txn.around(Table.HOME, prefix, key) == (below[-1] if below else None, above[0] if above else None)
    assert list(txn.scan(Table.HOME, prefix, start=key)) == [row for row in fitting if row[0] >= key]
    assert list(txn.scan_down(Table.HOME, prefix)) == fitting[::-1]
    assert list(txn.scan_down(Table.HOME, prefix, before=key)) == [row for row in fitting if row[0] < key][::-1]


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_a_transaction_answers_like_a_sorted_map(steps: list[tuple[str, bytes, bytes]]) -> None:
    with TemporaryDirectory() as folder:
        environment = Environment(Path(folder) / "store", network="test")
        try:
            model: dict[bytes, bytes] = {}
            rest = iter(steps)
            is_done = False
            while not is_done:
                with environment.write() as txn:
                    is_done = run_until_commit(txn, rest, model)
                with environment.read() as txn:
                    assert list(txn.scan(Table.HOME)) == sorted(model.items())
        finally:
            environment.close()


def run_until_commit(txn: Txn, steps, model: dict[bytes, bytes]) -> bool:  # type: ignore[no-untyped-def]
    """Take steps until one of them is a commit; True if there are no more."""
    for what, key, value in steps:
        match what:
            case "put":
                txn.put(Table.HOME, key, value)
                model[key] = value
            case "delete":
                assert txn.delete(Table.HOME, key) == (model.pop(key, None) is not None)
            case "clear":
                txn.clear(Table.HOME)
                model.clear()
            case "look":
                look(txn, model, key)
            case _:
                return False
    return True


def test_more_than_is_gathered_at_once_is_written_all_the_same(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(transaction, "_MOST_GATHERED", 10)
    environment = Environment(tmp_path / "store", network="test")
    rows = {number.to_bytes(2, "big"): b"%d" % number for number in range(1_000, 0, -1)}
    with environment.write() as txn:
        for key, value in rows.items():
            txn.put(Table.HOME, key, value)
    with environment.read() as txn:
        assert dict(txn.scan(Table.HOME)) == rows
    environment.close()
