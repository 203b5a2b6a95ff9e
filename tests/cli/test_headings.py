"""Titles, warnings and languages on the command line; and what an edit leaves as it is."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.cli.conftest import Cli
from tests.cli.homes import post
from tests.support.bombs import saved

from unhush.node import Config, Node, Post
from unhush.storage.kinds import Imported

PICTURE = saved(Image.new("RGB", (30, 20), "blue"), "PNG")
ABOVE = ("title", "warning", "lang")


def shown(cli: Cli, record: str) -> dict[str, Any]:
    return cli.json("show", record).one()


def above(cli: Cli, record: str) -> tuple[str | None, ...]:
    value = shown(cli, record)
    return tuple(value[name] for name in ABOVE)


def test_a_post_bears_a_title_a_warning_and_a_language_and_the_marks_of_its_text(ann: Cli) -> None:
    record = post(ann, "Low #tide", "--title", "On tides", "--warning", "wet", "--lang", "en-GB")

    assert above(ann, record) == ("On tides", "wet", "en-GB")
    assert shown(ann, record)["tags"] == ["tide"]
    assert ann.json("timeline", "--only", "articles").one()["id"] == record
    assert "[wet]" in ann("timeline").out
    assert "Low #tide" not in ann("timeline").out
    assert above(ann, post(ann, "plain")) == (None, None, None)


@pytest.mark.parametrize("command", ["reply", "quote"])
def test_a_reply_and_a_quote_bear_a_warning_and_a_language(ann: Cli, command: str) -> None:
    root = post(ann, "root")
    record = ann.json(command, root, "nass", "--warning", "wet", "--lang", "de").one()["id"]
    assert above(ann, record) == (None, "wet", "de")
    value = shown(ann, record)
    assert root in (value["reply"] or value["quote"]).values()


def test_every_line_bears_the_warning_and_the_language(ann: Cli) -> None:
    said = ann.json("post", "--lines", "--warning", "wet", "--lang", "x-own", given=b"one\ntwo\n")
    assert [above(ann, value["id"]) for value in said.lines()] == [(None, "wet", "x-own")] * 2


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (["post", "x", "--title", "t" * 301], 1, "title"),
        (["post", "x", "--title", "🌊" * 76], 1, "title"),
        (["post", "x", "--title", ""], 2, "--title is empty"),
        (["post", "x", "--title", " \t"], 1, "title"),
        (["post", "x", "--title", "\u200b\u202e"], 1, "title"),
        (["post", "x", "--title", "two\nlines"], 1, "title is one line"),
        (["post", "x", "--title", "\udcff"], 1, "title"),
        (["post", "--lines", "--title", "x"], 2, "--title does not go with --lines"),
        (["post", "x", "--warning", "w" * 301], 1, "warning"),
        (["post", "x", "--warning", ""], 2, "--warning is empty"),
        (["post", "--lines", "--warning", "w" * 301], 1, "warning"),
        (["post", "x", "--lang", "de_AT"], 1, "BCP 47"),
        (["post", "x", "--lang", "German, I think"], 1, "BCP 47"),
        (["post", "x", "--lang", "e"], 1, "BCP 47"),
        (["post", "x", "--lang", "en-"], 1, "BCP 47"),
        (["post", "x", "--lang", "en\n"], 1, "BCP 47"),
        (["post", "x", "--lang", "ен"], 1, "BCP 47"),
        (["post", "x", "--lang", "en-x-" + "-".join(["abcdefgh"] * 4)], 1, "lang"),
        (["post", "x", "--lang", ""], 2, "--lang is empty"),
        (["post", "--image", "{picture}", "--lang", "?", "x"], 1, "BCP 47"),
        (["reply", "{mine}", "x", "--warning", "w" * 301], 1, "warning"),
        (["reply", "{mine}", "x", "--title", "x"], 2, "No such option"),
        (["quote", "{mine}", "x", "--lang", "?"], 1, "BCP 47"),
        (["edit", "{mine}", "--title", "t" * 301], 1, "title"),
        (["edit", "{mine}", "--lang", "?"], 1, "BCP 47"),
    ],
    ids=str,
)
def test_what_cannot_stand_above_a_text_is_refused_and_nothing_is_written(
    ann: Cli, tmp_path: Path, arguments: list[str], code: int, problem: str
) -> None:
    picture = tmp_path / "picture.png"
    picture.write_bytes(PICTURE)
    mine = post(ann, "mine")
    before, blobs = ann.json("status").one()["aid"], _blobs(ann)

    said = ann.json(*(each.format(mine=mine, picture=picture) for each in arguments), given=b"one\ntwo\n")

    assert (said.code, said.out) == (code, "")
    assert problem in said.err
    assert "Traceback" not in said.err
    assert (ann.json("status").one()["aid"], _blobs(ann)) == (before, blobs)


@pytest.mark.parametrize("tag", ["en", "pt-BR", "zh-Hant", "de-CH-1901", "es-419", "zh-cmn-Hans-CN", "sl-rozaj-biske"])
def test_tags_of_languages_are_taken_as_written(ann: Cli, tag: str) -> None:
    assert above(ann, post(ann, "x", "--lang", tag)) == (None, None, tag)


def test_an_edit_keeps_what_it_does_not_name(ann: Cli, tmp_path: Path) -> None:
    with Node(Config(ann.home)) as node:
        media = [node.attach(PICTURE, "a tide")]
        imported = Imported("a blog", "https://blog.example/1", "1", 5)
        whole = Post("one", "On tides", "en", tags=("sea",), warning="wet", imported=imported)
        record = str(node.post(whole, media).id)
    first = shown(ann, record)

    for arguments in (["two #salt"], ["--title", "Tides"], ["--lang", "en-GB"], ["--warning", "very wet"]):
        assert ann("edit", record, *arguments).code == 0

    now = shown(ann, record)
    assert (now["text"], *(now[name] for name in ABOVE)) == ("two #salt", "Tides", "very wet", "en-GB")
    assert now["tags"] == ["sea", "salt"]
    assert now["media"] == first["media"] != []
    with Node(Config(ann.home)) as node, node._store.snapshot() as snapshot:
        found = snapshot.record(node.show(record).id)
        assert found is not None
        version = snapshot.shown_version(found)
    assert version is not None
    assert version.imported == imported
    assert len(ann.json("history", record).lines()) == 5


def test_an_edit_of_the_warning_alone_reads_no_input_and_a_dash_does(ann: Cli) -> None:
    record = post(ann, "one")
    ann("edit", record, "--warning", "wet", given=b"not read")
    assert shown(ann, record)["text"] == "one"
    ann("edit", record, "-", "--warning", "dry", given=b"read")
    assert (shown(ann, record)["text"], shown(ann, record)["warning"]) == ("read", "dry")
    said = ann("edit", record, "--warning", "dry")
    assert said.err == "Nothing changed, so nothing was published.\n"


def test_an_edit_takes_away_what_is_named_empty(ann: Cli) -> None:
    record = post(ann, "one", "--title", "t", "--warning", "w", "--lang", "en")
    assert ann("edit", record, "--warning", "", "--lang", "").code == 0
    assert above(ann, record) == ("t", None, None)


def _blobs(cli: Cli) -> list[str]:
    return sorted(str(path) for path in (cli.home / "blobs").rglob("*") if path.is_file())
