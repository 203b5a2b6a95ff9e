"""Commands that act on posts and people: what they print, what undoes them, and their exit codes."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import Cli
from tests.cli.homes import carry, post
from tests.support.people import Person as Stranger

from unhush.node import Config, Created, Node, Post

NOBODY = str(Stranger("Nobody", seed=3).account)
ACT_KEYS = {"id", "account", "aid", "time", "target"}


@pytest.fixture
def ben(ann: Cli, found: Callable[[str], Created], tmp_path: Path) -> str:
    """Somebody else's account, with one post, followed and here."""
    account = found("Ben").account
    with Node(Config(tmp_path / "ben")) as node:
        node.post(Post("by ben", warning="wet"))
    carry(ann.at(tmp_path / "ben"), ann, tmp_path)
    assert ann("follow", str(account)).code == 0
    return str(account)


def of_ben(ann: Cli, ben: str) -> str:
    return str(ann.json("timeline", "--of", ben).one()["id"])


def test_an_edit_says_how_to_see_and_undo_it(ann: Cli) -> None:
    record = post(ann, "first")
    said = ann("edit", record, "second")
    assert (said.code, said.out) == (0, f"{record}\n")
    shown = ann.json("show", record).one()
    assert (shown["text"], shown["edited"] is not None) == ("second", True)
    assert said.err == f"All versions: unhush history {record}; undo: unhush delete {shown['version']}\n"
    assert "· edited 20" in ann("timeline").out
    assert [value["text"] for value in ann.json("history", record).lines()] == ["first", "second"]

    assert ann("edit", record, "-", given=b"second\n").err == "Nothing changed, so nothing was published.\n"
    undone = ann("delete", shown["version"])
    assert undone.out == "The version before it is shown again.\n"
    assert ann.json("show", record).one()["text"] == "first"


@pytest.mark.parametrize(
    ("arguments", "given", "code"),
    [
        (["edit", "{mine}", ""], b"", 2),
        (["edit", "{mine}"], b"\n", 2),
        (["edit", "{mine}", "-"], b"\xff", 2),
        (["edit", "{mine}", "-"], b"x" * 49_153, 1),
        (["edit", "{his}", "x"], b"", 2),
        (["edit", "{gone}", "x"], b"", 3),
        (["edit", NOBODY, "x"], b"", 3),
        (["edit", "x", "x"], b"", 2),
        (["delete"], b"", 2),
        (["delete", "{mine}", "{his}"], b"", 2),
        (["delete", "{gone}"], b"", 3),
        (["delete", NOBODY], b"", 3),
        (["react", "{mine}", ""], b"", 1),
        (["react", "{mine}", "🌊" * 9], b"", 1),
        (["react", NOBODY, "🌊"], b"", 3),
        (["react", "{gone}", "🌊"], b"", 3),
        (["unreact", "{mine}"], b"", 3),
        (["repost", NOBODY], b"", 3),
        (["unrepost", "{mine}"], b"", 3),
        (["quote", "{gone}", "x"], b"", 3),
        (["quote", NOBODY], b"x", 3),
        (["history", "{gone}"], b"", 3),
        (["thread", NOBODY], b"", 3),
        (["timeline", "--of", "nobody"], b"", 2),
        (["timeline", "--only", "likes"], b"", 2),
        (["timeline", "--list", "none"], b"", 3),
        (["timeline", "--follow", "--only", "posts"], b"", 2),
        (["timeline", "--follow", "--before", "1-1-1"], b"", 2),
        (["timeline", "--before", "x"], b"", 3),
        (["timeline", "--before", "9" * 30], b"", 3),
        (["timeline", "--of", "{ben}", "--before", "1-1"], b"", 3),
        (["activity", "--before", "-1"], b"", 3),
        (["tag", "tide", "--before", "1-1-x"], b"", 3),
        (["mute", "nobody"], b"", 2),
        (["unmute", "{ben}"], b"", 3),
        (["unblock", "{ben}"], b"", 3),
        (["block", "{mine}"], b"", 2),
        (["list", "create", " "], b"", 2),
        (["list", "add", "none", "{ben}"], b"", 3),
        (["list", "drop", "none"], b"", 3),
    ],
    ids=str,
)
def test_what_will_not_do_is_one_line_and_an_exit_code_and_nothing_is_written(
    ann: Cli, ben: str, arguments: list[str], given: bytes, code: int
) -> None:
    names = {"mine": post(ann, "mine"), "gone": post(ann, "gone"), "his": of_ben(ann, ben), "ben": ben}
    assert ann("delete", names["gone"]).code == 0
    before = ann.json("status").one()["aid"]

    said = ann.json(*(argument.format(**names) for argument in arguments), given=given)

    assert (said.code, said.out) == (code, "")
    assert said.err.strip()
    assert ann.json("status").one()["aid"] == before


def test_acts_say_how_to_undo_them_and_deleting_does(ann: Cli, ben: str) -> None:
    record = of_ben(ann, ben)
    repost = ann.json("repost", record).one()
    reaction = ann.json("react", record, "🌊").one()
    assert set(repost) == set(reaction) == ACT_KEYS
    assert repost["target"] == reaction["target"] == record
    assert ann("repost", record).out == f"You reposted what Ben wrote. Undo: unhush delete {repost['id']}\n"
    assert ann("react", record, "🌊").out == f"You reacted 🌊. Undo: unhush delete {reaction['id']}\n"
    quote = ann.json("quote", record, "look").one()["id"]

    shown = ann.json("show", record).one()
    assert shown["counts"] == {
        "replies": 0,
        "reposts": 1,
        "quotes": 1,
        "reactions": [{"emoji": "🌊", "people": 1, "mine": True}],
    }
    assert shown["reposted_by_you"]
    assert "🌊 1 (you) · 1 repost (you) · 1 quote" in ann("show", record).out
    assert "Ann reposted · " in ann("timeline").out
    assert ann.json("timeline", "--only", "reposts").one()["reposted"]["id"] == record
    assert ann.json("show", quote).one()["quoted"]["id"] == record

    undone = ann.json("delete", repost["id"], reaction["id"], quote)
    assert [value["kind"] for value in undone.lines()] == ["repost", "react", "post"]
    assert ann.json("show", record).one()["counts"]["reactions"] == []
    assert ann("repost", record).code == ann("unrepost", record).code == 0
    assert ann("react", record, "👍").code == ann("unreact", record, "👍").code == 0


def test_what_bears_a_warning_is_folded_in_lists_and_not_where_it_is_asked_for(ann: Cli, ben: str) -> None:
    record = of_ben(ann, ben)
    for said in (ann("timeline"), ann("thread", record), ann("timeline", "--of", "ben")):
        assert "[wet]" in said.out
        assert "by ben" not in said.out
    assert "by ben" in ann("show", record).out
    assert "by ben" in ann("history", record).out


def test_a_thread_is_read_as_a_tree_and_says_what_was_deleted(ann: Cli) -> None:
    root = post(ann, "root")
    first = ann.json("reply", root, "first").one()["id"]
    ann("reply", first, "below")
    ann("delete", first)
    said = ann.json("thread", root).lines()
    assert [(value["depth"], value["deleted"]) for value in said] == [(0, False), (1, True), (2, False)]
    people = ann("thread", root).out
    assert "      (deleted by its author)" in people
    assert "          below" in people


def test_activity_tells_people_and_programs_who_did_what(ann: Cli, tmp_path: Path, found) -> None:
    record = post(ann, "mine")
    ann("export", "car", str(tmp_path / "ann.car"))
    found("Ben")
    with Node(Config(tmp_path / "ben")) as node:
        node.import_car(tmp_path / "ann.car")
        node.react(record, "🌊")
        node.reply(record, "an answer")
        node.export_car(tmp_path / "ben.car")
    assert ann("activity").err == "Nothing yet.\n"
    ann("import", "car", str(tmp_path / "ben.car"))

    values = ann.json("activity").lines()
    assert {(value["kind"], *value["reasons"], value["target"]) for value in values} == {
        ("react", "reaction", record),
        ("post", "reply", record),
    }
    text = ann("activity").out
    assert "Ben reacted 🌊 · " in text
    assert "  to: mine" in text
    assert "Ben answered you · " in text
    assert len(ann.json("activity", "--limit", "1").lines()) == 1


def test_tags_are_read_by_name(ann: Cli) -> None:
    record = post(ann, "low #Tide")
    for name in ("tide", "#TIDE"):
        assert ann.json("tag", name).one()["id"] == record
    assert ann("tag", "other").err == "Nothing here.\n"


def test_people_are_muted_blocked_and_listed_by_what_they_are_called(ann: Cli, ben: str) -> None:
    assert ann("mute", "ben").out == f"You no longer see Ben. Undo: unhush unmute {ben}\n"
    assert ann.json("timeline").out == ""
    assert ann.json("unmute", ben).one()["muted"] is False
    said = ann("block", "Ben")
    assert said.out == f"Ben is blocked. You still follow them: unhush unfollow {ben}. Undo: unhush unblock {ben}\n"
    assert ann("follows").out == f"{ben} Ben (blocked)\n"
    assert ann("unblock", ben).out == "Ben is no longer blocked.\n"
    assert [value["account"] for value in ann.json("follows").lines()] == [ben]
    assert ann.json("followers", ben).one()["own"] is True
    assert ann("followers").err == "Nobody, as far as it is known here.\n"
    assert ann.json("follows", "ben").out == ""


def test_a_list_is_made_read_and_forgotten(ann: Cli, ben: str) -> None:
    assert "unhush list create NAME" in ann("list", "show").err
    assert ann("list", "create", "by the sea").out == "Put somebody on it: unhush list add 'by the sea' WHO\n"
    assert ann.json("list", "add", "by the sea", "ben").one()["account"] == ben
    assert ann.json("list", "show").one() == {"list": "by the sea", "members": 1}
    assert ann("list", "show").out == "by the sea (1 person)\n"
    assert ann.json("list", "show", "by the sea").one()["account"] == ben
    post(ann, "by ann")
    assert ann.json("timeline", "--list", "by the sea").one()["account"] == ben
    assert ann("list", "remove", "by the sea", ben).err == "Nobody is on it any more.\n"
    assert ann("list", "drop", "by the sea").out == "The list is forgotten.\n"
