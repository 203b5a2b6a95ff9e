"""``unhush search``: what it prints, and what it makes of odd words, times and cursors."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import Cli
from tests.cli.homes import carry

from unhush.node import Config, Created, Node


def said(cli: Cli, *arguments: str) -> list[str]:
    found = cli.json("search", *arguments)
    assert found.code == 0, found
    return [str(line["text"]) for line in found.lines()]


def test_posts_are_found_newest_first_and_printed_as_in_the_timeline(ann: Cli) -> None:
    for text in ("Hello world", "東京タワー", "hello again, world hello"):
        ann.json("post", text).one()

    assert said(ann, "hello") == ["hello again, world hello", "Hello world"]
    assert said(ann, "hello world") == said(ann, '"hello world"') == ["Hello world"]
    assert said(ann, "hello", "world") == ["hello again, world hello", "Hello world"]
    assert said(ann, "world", "hello again") == ["hello again, world hello"]
    assert said(ann, "東京") == ["東京タワー"]
    assert said(ann, "--best", "-n", "1", "hello") == ["hello again, world hello"]
    assert said(ann, "--", "world", "-again") == ["Hello world"]
    assert ann("search", "東京").out == ann("timeline").out.split("\n\n")[1] + "\n\n"
    assert ann.json("search", "東京").out == ann.json("timeline").out.splitlines()[1] + "\n"


def test_nothing_found_is_said_and_is_no_failure(ann: Cli) -> None:
    found = ann("search", "nothing")
    assert (found.code, found.out, found.err) == (0, "", "Nothing was found.\n")
    as_json = ann.json("search", "nothing")
    assert (as_json.code, as_json.out, as_json.err) == (0, "", "")


def test_a_search_goes_on_at_its_cursor(ann: Cli) -> None:
    for number in range(3):
        ann.json("post", f"word {number}").one()
    first = ann.json("search", "-n", "2", "word")
    cursor = first.err.split("--before ")[1].strip()

    assert [line["text"] for line in first.lines()] == ["word 2", "word 1"]
    assert said(ann, "word", "--before", cursor) == ["word 0"]


def test_only_an_account_or_a_time(ann: Cli) -> None:
    ann.json("post", "word").one()
    own = ann.json("profile", "show").one()["account"]

    assert said(ann, "word", "--by", str(own), "--since", "2001-02-03", "--until", "9000-01-01T00:00Z") == ["word"]
    assert said(ann, "word", "--until", "2001-02-03T04:05") == []
    assert said(ann, "word", "--tag", "x") == []


def test_an_account_may_be_named_as_people_name_it(ann: Cli, found: Callable[[str], Created], tmp_path: Path) -> None:
    ben = str(found("Ben").account)
    with Node(Config(tmp_path / "ben")) as node:
        node.post("word by ben")
    carry(ann.at(tmp_path / "ben"), ann, tmp_path)
    assert ann("follow", ben, "--petname", "Benno").code == 0
    ann.json("post", "word by ann").one()

    for name in ("Benno", "ben", ben):
        assert said(ann, "word", "--by", name) == ["word by ben"]


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (['"'], 2, "nothing to look for"),
        (["--", "-word"], 2, "nothing to look for"),
        (["\ud800"], 2, "nothing to look for"),
        (["word", "--tag", "#"], 2, "has no letter"),
        (["word", "--since", "yesterday"], 2, "is no day or time"),
        (["word", "--until", "0001-01-01"], 2, "is no day or time"),
        (["word", "--by", "me"], 2, "nobody here is called 'me', and it is no id: an id has 59"),
        (["se*"], 2, "at least 3 letters"),
        (["word", "--before", "x"], 3, "not a place in a search"),
        ([], 2, "at least one word"),
        (["--tag", "sea"], 2, "unhush tag NAME"),
    ],
)
def test_what_cannot_be_searched_is_refused_in_one_line(
    ann: Cli, arguments: list[str], code: int, problem: str
) -> None:
    found = ann("search", *arguments)
    assert (found.code, found.out) == (code, "")
    assert problem in found.err
    assert "Traceback" not in found.err


def test_a_search_of_very_much_is_cut_and_says_so(ann: Cli) -> None:
    ann.json("post", "word").one()
    found = ann("search", "word " * 2_000)
    assert found.code == 0
    assert "its end was left out" in found.err


def test_a_home_that_is_none_is_said(cli: Cli) -> None:
    assert cli("search", "word").code == 3
