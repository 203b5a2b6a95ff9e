"""Going on where a look ended: cursors of timelines, tags and activity."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Cli, Said

from unhush.node import Config, Created, Node

POSTS = 5


@pytest.fixture
def talk(ann: Cli, found: Callable[[str], Created], tmp_path: Path) -> Cli:
    """A home with posts by Ann, all with a tag and on a list, each of which somebody answered."""
    lines = b"".join(b"post %d #tide\n" % number for number in range(POSTS))
    records = [value["id"] for value in ann.json("post", "--lines", given=lines).lines()]
    ann("export", "car", str(tmp_path / "ann.car"))
    found("Ben")
    with Node(Config(tmp_path / "ben")) as node:
        node.import_car(tmp_path / "ann.car")
        for number, record in enumerate(records):
            node.reply(record, f"answer {number}")
        node.export_car(tmp_path / "ben.car")
    ann("import", "car", str(tmp_path / "ben.car"))
    own = ann.json("profile", "show").one()["account"]
    ann("list", "create", "by the sea")
    assert ann("list", "add", "by the sea", own).code == 0
    return ann


def older(said: Said) -> list[str]:
    """The command that the last line names."""
    assert said.err.startswith("Older: unhush "), said
    assert said.err.count("\n") == 1
    return shlex.split(said.err.removeprefix("Older: unhush "))


def walk(cli: Cli, *arguments: str) -> list[list[dict[str, Any]]]:
    """Every part of a listing, by the command that the part before it names."""
    said = cli.json(*arguments)
    parts = [said.lines()]
    while said.err:
        said = cli.json(*older(said))
        assert said.code == 0
        parts.append(said.lines())
        assert len(parts) <= 2 * POSTS
    return parts


@pytest.mark.parametrize(
    "arguments",
    [
        ["timeline"],
        ["timeline", "--of", "{ann}"],
        ["timeline", "--list", "by the sea"],
        ["timeline", "--only", "posts"],
        ["tag", "tide"],
        ["tag", "#tide"],
        ["activity"],
    ],
    ids=str,
)
def test_a_listing_goes_on_as_it_says_until_its_end(talk: Cli, arguments: list[str]) -> None:
    own = talk.json("profile", "show").one()["account"]
    command = [each.format(ann=own) for each in arguments]

    parts = walk(talk, *command, "--limit", "2")

    assert [len(part) for part in parts] == [2, 2, 1]
    whole = talk.json(*command)
    assert (whole.err, [value for part in parts for value in part]) == ("", whole.lines())
    assert older(talk(*command, "--limit", "2"))[-2] == "--before"


@pytest.mark.parametrize("arguments", [["timeline"], ["tag", "tide"], ["activity"]], ids=str)
def test_where_nothing_follows_nothing_is_said(talk: Cli, arguments: list[str]) -> None:
    assert talk(*arguments, "--limit", str(POSTS)).err == ""
    assert talk(*arguments, "--before", "0-0-0").err == "Nothing older.\n"
    assert talk.json(*arguments, "--before", "0-0-0").err == ""


def test_a_cursor_stays_good_when_something_comes_in(talk: Cli) -> None:
    command = older(talk.json("timeline", "--limit", "2"))
    talk("post", "new")
    assert [value["text"] for value in talk.json(*command).lines()] == ["post 2 #tide", "post 1 #tide"]


def test_a_followed_timeline_does_not_say_how_to_go_on(talk: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Node, "events", lambda *_, **__: iter(()))
    said = talk("timeline", "--follow", "--limit", "2")
    assert (said.code, said.err) == (0, "")
    assert said.out.index("post 3") < said.out.index("post 4")
