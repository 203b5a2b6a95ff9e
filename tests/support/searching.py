"""Searching a store in tests, and the same done by hand."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.support.people import texts

from unhush.storage.fulltext.query import parse_query
from unhush.storage.fulltext.searching import Found, Wanted
from unhush.storage.fulltext.words import words_of
from unhush.storage.kinds import Post
from unhush.storage.store import Store

LONG_S = 60.0


def find(
    store: Store, typed: str, *, limit: int = 100, before: str | None = None, ranked: bool = False, **where: Any
) -> Found:
    with store.snapshot() as snapshot:
        wanted = Wanted(parse_query(typed), **where)
        return snapshot.search(store.fulltext, wanted, limit=limit, before=before, ranked=ranked)


def found_texts(store: Store, typed: str, **where: Any) -> list[str]:
    """What the posts found said when they were written."""
    return texts(find(store, typed, **where).records)


def catch_up(store: Store) -> None:
    assert store.fulltext.catch_up(LONG_S)


def bytes_in(folder: Path) -> bytes:
    """Everything that is in the files of a folder."""
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def is_after_each_other(words: Sequence[str], text: Sequence[str]) -> bool:
    """Whether words stand in a text one after the other, looked up place by place."""
    return any(list(text[at : at + len(words)]) == list(words) for at in range(len(text) - len(words) + 1))


def naive_matches(wanted: Iterable[str], unwanted: Iterable[str], post: Post) -> bool:
    """Each is a phrase, or with a star a single beginning; by the words of each field of a post by itself."""
    fields = [words_of(text) for text in (post.title or "", post.text, *post.tags, *(item.alt for item in post.media))]

    def is_there(typed: str) -> bool:
        words = words_of(typed)
        if typed.endswith("*") and len(words[-1]) >= 3:
            return any(
                list(field[at : at + len(words) - 1]) == words[:-1] and field[at + len(words) - 1].startswith(words[-1])
                for field in fields
                for at in range(len(field) - len(words) + 1)
            )
        return any(is_after_each_other(words, field) for field in fields)

    return all(map(is_there, wanted)) and not any(map(is_there, unwanted))
