"""The journal: every record has one local number, and whoever follows the numbers misses nothing."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.people import Clock, Home, Person, arrivals_of, dump, ingest, texts

from unhush.storage.records import BodyState, Record, unpack_record
from unhush.storage.schema import Table
from unhush.storage.store import Store


def follow(store: Store, since: int) -> list[Record]:
    with store.snapshot() as snapshot:
        return list(snapshot.journal(since))


def test_aids_only_grow_whoever_writes(home: Home, bob: Person) -> None:
    home.post("one")
    ingest(home.store, bob.incept, *arrivals_of(bob.posts(3)))
    home.post("two")

    aids = [record.aid for record in follow(home.store, 0)]

    assert aids == sorted(set(aids))
    assert home.store.last_aid() == aids[-1]


def test_an_empty_journal_ends_at_zero(store: Store) -> None:
    assert store.last_aid() == 0
    assert follow(store, 0) == []


def test_a_cursor_sees_every_record_once_however_it_is_read(home: Home, bob: Person) -> None:
    seen: list[Record] = []
    cursor = 0
    for step in range(10):
        if step % 2:
            home.post(f"step {step}")
        else:
            ingest(home.store, bob.incept, *arrivals_of(bob.posts(2)))
        news = follow(home.store, cursor)
        seen += news
        cursor = news[-1].aid

    assert [record.aid for record in seen] == [record.aid for record in follow(home.store, 0)]


def test_a_record_without_its_body_is_journaled_for_its_chain(store: Store, known_bob: Person) -> None:
    post = known_bob.post("late")

    ingest(store, post.without_body)

    last = follow(store, 0)[-1]
    assert (last.cid, last.body, last.body_state) == (post.cid, None, BodyState.UNKNOWN)


def test_a_body_that_comes_moves_its_record_past_every_cursor(store: Store, known_bob: Person) -> None:
    late, *others = known_bob.posts(5)
    ingest(store, late.without_body, *arrivals_of(others))
    cursor = store.last_aid()

    ingest(store, late.arrival)

    assert [record.cid for record in follow(store, cursor)] == [late.cid]
    assert [record.cid for record in follow(store, 0)].count(late.cid) == 1
    assert texts(follow(store, cursor)) == ["post 0"]
    assert dump(store)[Table.BODILESS] == []


def test_the_first_sight_of_a_record_is_kept_when_its_body_comes(store: Store, known_bob: Person, clock: Clock) -> None:
    late = known_bob.post("late")
    ingest(store, late.without_body)
    first_seen = follow(store, 0)[-1].seen_at_ms

    clock.advance(5_000)
    ingest(store, late.arrival)

    assert follow(store, 0)[-1].seen_at_ms == first_seen


@given(
    state=st.sampled_from(BodyState),
    body=st.binary(max_size=200),
    block=st.binary(max_size=300),
    seen=st.integers(0, 2**63),
    aid=st.integers(1, 2**63),
)
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_a_row_reads_back_as_it_was_packed(state: BodyState, body: bytes, block: bytes, seen: int, aid: int) -> None:
    held = body if state is BodyState.PRESENT else None
    record = Record(aid, block, held, state, seen)

    assert unpack_record(aid, record.pack()) == record
