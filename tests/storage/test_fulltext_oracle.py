"""Search against a scan by hand: whatever is written, edited, deleted, indexed or rebuilt, both find the same."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.people import Clock, Home, Person, open_home
from tests.support.searching import catch_up, find, naive_matches

from unhush.identity.cid import Cid
from unhush.storage.errors import NothingToSearch
from unhush.storage.fulltext.fulltext import Checked
from unhush.storage.fulltext.query import parse_query
from unhush.storage.fulltext.words import words_of
from unhush.storage.kinds import Delete, Edit, Post
from unhush.storage.records import Record

# Few and alike, so that posts share words, parts of words and neighbours.
PIECES = [
    "a", "b", "ab", "abc", "abcd", "Abcé", "ABC", "東", "京", "東京", "タ", "ﾀ", "ก", "ั", "한", "é", "e\u0301", "ß",
    "ss", "👍", " ", " ", " ", ".", "-", "'", '"', "*", "_", "\u200d", "\u200b", "\n", "\x00", "\ue000", "عَ", "ع",
]  # fmt: skip
pieces = st.lists(st.sampled_from(PIECES), max_size=10).map("".join)
posts = st.builds(
    Post,
    pieces | st.text(max_size=30).map(lambda text: text.encode(errors="replace").decode()),
    title=st.none() | pieces,
    tags=st.lists(pieces, max_size=2).map(tuple),
)
NUMBERS = st.integers(0, 30)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("post"), posts),
        st.tuples(st.just("edit"), NUMBERS, posts),
        st.tuples(st.just("delete"), NUMBERS),
        st.tuples(st.just("index")),
        st.tuples(st.just("rebuild")),
        st.tuples(st.just("purge")),
    ),
    max_size=14,
)
# What would be a sign of the query language is added below, and only there.
phrases = pieces.map(lambda text: text.replace('"', "").replace("*", "").lstrip("-"))


class Model:
    """What is shown of each post: the newest edit, until it or its post is deleted."""

    def __init__(self) -> None:
        self.originals: dict[Cid, Post] = {}
        self.edits: dict[Cid, list[tuple[Cid, Post]]] = {}
        self.written: list[Record] = []

    def add(self, record: Record, post: Post, of: Cid | None = None) -> None:
        self.written.append(record)
        if of is None:
            self.originals[record.cid] = post
        else:
            self.edits.setdefault(of, []).append((record.cid, post))

    def delete(self, cid: Cid) -> None:
        self.originals.pop(cid, None)
        for of, edits in self.edits.items():
            self.edits[of] = [(edit, post) for edit, post in edits if edit != cid]

    def shown(self) -> dict[Cid, Post]:
        return {
            cid: edits[-1][1] if (edits := self.edits.get(cid)) else original
            for cid, original in self.originals.items()
        }


def do(home: Home, model: Model, step: tuple[object, ...]) -> None:
    match step:
        case ("post", Post() as post):
            (record,) = home.publish(post)
            model.add(record, post)
        case ("edit", int(number), Post() as post) if model.originals:
            of = sorted(model.originals)[number % len(model.originals)]
            (record,) = home.publish(Edit(of, post))
            model.add(record, post, of)
        case ("delete", int(number)) if model.written:
            cid = model.written[number % len(model.written)].cid
            home.publish(Delete(cid))
            model.delete(cid)
        case ("index",):
            catch_up(home.store)
        case ("rebuild",):
            home.store.fulltext.rebuild()
        case ("purge",):
            assert home.store.fulltext.purge()


def is_taken(typed: str) -> bool:
    """Whether there is anything to look for; a beginning that is too short is refused by itself."""
    try:
        parse_query(typed)
    except NothingToSearch:
        return False
    return True


def compare(
    history: list[tuple[object, ...]], wanted: list[str], unwanted: list[str], is_prefix: bool, is_ranked: bool
) -> None:
    clock, model = Clock(), Model()
    with TemporaryDirectory() as folder, open_home(Path(folder), clock) as store:
        home = Home(store, Person("Ann", seed=1, clock_ms=clock), clock)
        for step in history:
            clock.advance(1)
            do(home, model, step)

        asked_for = [phrase for phrase in wanted if words_of(phrase)]
        asked_for += [word for post in model.shown().values() for word in words_of(post.text)[:3]]
        for text in asked_for:
            has_star = is_prefix and not any(char.isspace() for char in text) and is_taken(f"{text}*")
            typed = f"{text}*" if has_star else f'"{text}"'
            away = [phrase for phrase in unwanted if words_of(phrase)]
            hits = find(store, typed + "".join(f' -"{phrase}"' for phrase in away), ranked=is_ranked)
            asked = [typed if has_star else text]
            expected = {cid for cid, post in model.shown().items() if naive_matches(asked, away, post)}
            assert {record.cid for record in hits.records} == expected, (typed, away)
            assert hits.behind == 0
            if not is_ranked:
                times = [(record.shown_at_ms, record.aid) for record in hits.records]
                assert times == sorted(times, reverse=True)

        catch_up(store)
        assert store.fulltext.check() == Checked(len(model.shown()), 0, ())
        before = find(store, "abc").records
        assert store.fulltext.rebuild() == len(model.shown())
        assert find(store, "abc").records == before


histories = given(
    steps, st.lists(phrases, min_size=1, max_size=3), st.lists(phrases, max_size=1), st.booleans(), st.booleans()
)


@histories
@settings(deadline=None, max_examples=20)
def test_a_search_finds_what_a_scan_by_hand_finds(
    history: list[tuple[object, ...]], wanted: list[str], unwanted: list[str], is_prefix: bool, is_ranked: bool
) -> None:
    compare(history, wanted, unwanted, is_prefix, is_ranked)


@pytest.mark.long
@pytest.mark.timeout(1800)
@histories
@settings(deadline=None, max_examples=1_000)
def test_a_search_finds_what_a_scan_by_hand_finds_in_many_histories(
    history: list[tuple[object, ...]], wanted: list[str], unwanted: list[str], is_prefix: bool, is_ranked: bool
) -> None:
    compare(history, wanted, unwanted, is_prefix, is_ranked)
