"""Every command: what it prints for programs and for people, and the exit code it ends with."""

import hashlib
import json
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import lmdb
import pytest
from tests.cli.conftest import Cli
from tests.cli.homes import post
from tests.support.people import Person as Stranger

from unhush.identity.cid import cid_of
from unhush.node import Config, Created, Node, Post, found_account

NOBODY = str(Stranger("Nobody", seed=3).account)
PEER = "/ip4/192.0.2.7/tcp/4470/p2p/12D3KooWDVXAgaXUS79ZjYXeqaH2XbvSduWZULv1HPHAUbdR7ki9"
RECORD_KEYS = {
    "id", "account", "aid", "name", "petname", "kind", "time", "title", "text", "lang", "warning", "tags", "reply",
    "own", "deleted", "body", "standing", "local", "media", "mentions", "edited", "version", "quote", "quoted",
    "target", "emoji", "reposted", "counts", "reposted_by_you", "shun", "kept_by", "withheld",
}  # fmt: skip
WRITTEN_KEYS = {"id", "account", "aid", "time"}
PERSON_KEYS = {
    "account", "name", "petname", "bio", "own", "followed", "posts", "alarms", "contested", "unproven", "cut_devices",
    "avatar", "followers", "muted", "blocked",
}  # fmt: skip


def test_init_makes_an_account_and_says_where_the_words_are(cli: Cli) -> None:
    said = cli.json("init", "--name", "Ann")

    (value,) = said.lines()
    assert (said.code, set(value), value["name"]) == (0, {"account", "device", "name"}, "Ann")
    words = cli.home / "words.txt"
    assert str(words) in said.err
    assert stat.S_IMODE(words.stat().st_mode) == 0o600
    assert cli.json("profile", "show").one()["name"] == "Ann"


def test_init_speaks_to_people(cli: Cli, tmp_path: Path) -> None:
    said = cli("init", "--name", "Ann", "--words-to", str(tmp_path / "safe.txt"))
    assert said.code == 0
    assert said.out.startswith("Ann, your account is\nbafyrei")
    assert str(tmp_path / "safe.txt") in said.err
    assert len((tmp_path / "safe.txt").read_text().split()) == 24


def test_a_second_init_is_refused_and_changes_nothing(ann: Cli) -> None:
    before = ann.json("profile", "show").one()
    said = ann.json("init", "--name", "Eve")
    assert (said.code, said.out) == (1, "")
    assert f"has an account already: {before['account']}" in said.err
    assert ann.json("profile", "show").one() == before


def test_init_refuses_a_words_file_that_exists(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "safe.txt").write_text("mine")
    said = cli.json("init", "--name", "Ann", "--words-to", str(tmp_path / "safe.txt"))
    assert (said.code, said.out) == (4, "")
    assert "nothing was written over it" in said.err
    assert (tmp_path / "safe.txt").read_text() == "mine"
    assert cli.json("profile", "show").code == 3


@pytest.mark.parametrize(("name", "code"), [("", 2), (" ", 2), ("x" * 201, 1)])
def test_init_refuses_a_name_that_cannot_be(cli: Cli, name: str, code: int) -> None:
    said = cli.json("init", "--name", name)
    assert (said.code, said.out) == (code, "")
    assert said.err.startswith("unhush: ")
    assert not cli.home.exists()


def test_init_asks_for_a_name(cli: Cli) -> None:
    assert cli("init").code == 2


def test_post_says_what_was_written(ann: Cli) -> None:
    value = ann.json("post", "hello").one()

    assert set(value) == WRITTEN_KEYS
    shown = ann.json("show", value["id"]).one()
    assert (shown["text"], shown["aid"], shown["time"]) == ("hello", value["aid"], value["time"])
    assert ann("post", "again").out == ann.json("timeline", "--limit", "1").lines()[0]["id"] + "\n"


@pytest.mark.parametrize("arguments", [["post"], ["post", "-"]])
def test_a_post_is_read_from_the_input(ann: Cli, arguments: list[str]) -> None:
    said = ann.json(*arguments, given="\nzwei Zeilen:\nsüß und 🌊\n\n".encode())
    assert ann.json("show", said.one()["id"]).one()["text"] == "zwei Zeilen:\nsüß und 🌊"


def test_lines_are_posts_of_their_own_and_empty_ones_are_skipped(ann: Cli) -> None:
    said = ann.json("post", "--lines", "-", given=b"one\n\n  \n two \r\nthree")

    assert said.code == 0
    values = said.lines()
    assert [set(value) for value in values] == [WRITTEN_KEYS] * 3
    assert len({value["aid"] for value in values}) == 3
    assert [value["text"] for value in ann.json("timeline").lines()] == ["three", "two", "one"]
    assert ann("post", "--lines", given=b"").out == ""


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        (["post", ""], b""),
        (["post", " \n "], b""),
        (["post"], b""),
        (["post", "-"], b"\n\n"),
        (["post", "-"], b"\xff\xfe"),
        (["post", "--lines"], b"caf\xe9"),
        (["post", "--lines", "text"], b""),
        (["post", "one", "two"], b""),
        (["post", "--unknown"], b""),
    ],
    ids=str,
)
def test_what_is_no_post_is_a_usage_error_and_nothing_is_stored(ann: Cli, arguments: list[str], given: bytes) -> None:
    said = ann.json(*arguments, given=given)
    assert (said.code, said.out) == (2, "")
    assert said.err
    assert ann.json("timeline").out == ""


@pytest.mark.parametrize("given", [b"x" * 49_153, b"x" * 3_000_000])
def test_a_text_that_is_too_long_gets_a_named_error_and_nothing_is_stored(ann: Cli, given: bytes) -> None:
    for arguments in (["post", "-"], ["post", "--lines"]):
        said = ann.json(*arguments, given=given)
        assert (said.code, said.out) == (1, "")
        assert "at most 49,152 are allowed" in said.err
    assert ann.json("timeline").out == ""


def test_a_post_that_is_no_unicode_text_is_refused(ann: Cli) -> None:
    said = ann.json("post", os.fsdecode(b"a\xff"))
    assert (said.code, said.out, said.err) == (1, "", "unhush: text is not valid Unicode text\n")


def test_lines_posted_before_a_bad_one_stay(ann: Cli) -> None:
    said = ann.json("post", "--lines", given=b"one\n\xff\ntwo\n")
    assert (said.code, len(said.lines())) == (2, 1)
    assert [value["text"] for value in ann.json("timeline").lines()] == ["one"]


def test_reply_answers_a_record(ann: Cli) -> None:
    root = post(ann, "root")
    first = ann.json("reply", root, "first").one()
    second = ann.json("reply", first["id"], "-", given=b"second\n").one()

    assert set(first) == set(second) == WRITTEN_KEYS
    account = first["account"]
    assert ann.json("show", second["id"]).one()["reply"] == {
        "root": root,
        "parent": first["id"],
        "root_account": account,
        "parent_account": account,
    }
    thread = ann.json("thread", second["id"]).lines()
    assert [value["text"] for value in thread] == ["root", "first", "second"]
    assert all(set(value) == RECORD_KEYS | {"depth"} for value in thread)
    assert [value["depth"] for value in thread] == [0, 1, 2]
    assert "· reply" in ann("thread", root).out


def test_a_reply_to_what_is_not_here_is_not_found(ann: Cli) -> None:
    said = ann.json("reply", NOBODY, "hello?")
    assert (said.code, said.out) == (3, "")


def test_timeline_is_newest_first_and_ends_at_its_limit(ann: Cli) -> None:
    ann("post", "--lines", given=b"".join(b"post %d\n" % number for number in range(7)))

    values = ann.json("timeline", "--limit", "3").lines()

    assert [value["text"] for value in values] == ["post 6", "post 5", "post 4"]
    assert all(set(value) == RECORD_KEYS for value in values)
    people = ann("timeline", "--limit", "2").out
    assert re.search(r"^Ann · \d{4}-\d\d-\d\d \d\d:\d\d · on this device only\n  post 6\nbafyrei\w+\n\nAnn · ", people)


def test_a_timeline_longer_than_a_page_is_read_to_the_limit(ann: Cli) -> None:
    ann("post", "--lines", given=b"".join(b"post %d\n" % number for number in range(620)))
    values = ann.json("timeline", "--limit", "610").lines()
    assert [value["text"] for value in values] == [f"post {number}" for number in reversed(range(10, 620))]


def test_an_empty_timeline_tells_people_how_to_begin_and_programs_nothing(ann: Cli) -> None:
    assert "unhush follow ACCOUNT" in ann("timeline").err
    assert ann.json("timeline").out == ""
    assert ann.json("timeline").err == ""


def test_whoever_follows_from_a_home_that_knows_nobody_is_told_to_ask_for_an_invite(ann: Cli) -> None:
    said = ann("follow", NOBODY)
    assert (said.code, said.out.startswith("You follow ")) == (0, True)
    assert "unhush accept INVITE" in said.err
    assert ann.json("follow", NOBODY).err == ""
    empty = ann("timeline").err
    assert "unhush accept INVITE" in empty
    assert "Follow somebody" not in empty

    assert ann("peers", "add", PEER).code == 0
    assert ann("follow", NOBODY).err == ""
    empty = ann("timeline").err
    assert "unhush run" in empty
    assert "INVITE" not in empty


def test_a_followed_timeline_prints_nothing_twice(ann: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    ann("post", "--lines", given=b"one\ntwo\n")
    events = Node.events
    # As if both posts had come between the question where the journal ends and the reading of the page.
    monkeypatch.setattr(Node, "last_aid", lambda _: 0)
    monkeypatch.setattr(Node, "events", lambda node, since, **how: events(node, since, timeout_s=0, **how))

    assert [value["text"] for value in ann.json("timeline", "--follow").lines()] == ["one", "two"]


@pytest.mark.parametrize("limit", ["0", "-1", "x", "100001"])
def test_a_limit_that_cannot_be_is_a_usage_error(ann: Cli, limit: str) -> None:
    assert ann("timeline", "--limit", limit).code == 2


def test_show_raw_gives_the_bytes_whose_hash_is_the_id(ann: Cli) -> None:
    record = post(ann, "hello")
    said = ann("show", record, "--raw")
    assert said.code == 0
    assert str(cid_of(said.raw)) == record
    assert hashlib.sha256(said.raw).digest() == cid_of(said.raw).digest
    assert set(ann.json("show", record).one()) == RECORD_KEYS


def test_following_and_unfollowing_are_told_and_done(ann: Cli, found: Callable[[str], Created]) -> None:
    bob = str(found("Bob").account)

    value = ann.json("follow", bob, "--petname", "Bobby").one()
    assert value == {"account": bob, "name": "", "petname": "Bobby", "followed": True}
    assert ann.json("profile", "show", bob).one() == {
        "account": bob,
        "name": "",
        "petname": "Bobby",
        "bio": "",
        "own": False,
        "followed": True,
        "posts": 0,
        "alarms": [],
        "contested": 0,
        "unproven": 0,
        "cut_devices": 0,
        "avatar": None,
        "followers": 1,
        "muted": False,
        "blocked": False,
    }
    assert ann("follow", bob).out == "You follow Bobby.\n"
    assert ann.json("status").one()["follows"] == 1
    assert ann.json("profile", "show", "bobby").one()["account"] == bob
    assert ann.json("unfollow", "Bobby").one() == {"account": bob, "followed": False}
    assert ann.json("unfollow", bob).code == 3
    assert ann.json("status").one()["follows"] == 0


def test_nobody_follows_themselves(ann: Cli) -> None:
    own = ann.json("profile", "show").one()["account"]
    assert ann.json("follow", own).code == 2


def test_a_petname_that_cannot_be_is_a_usage_error(ann: Cli) -> None:
    for petname in ("x" * 201, os.fsdecode(b"\xff")):
        said = ann.json("follow", NOBODY, "--petname", petname)
        assert (said.code, said.out) == (2, "")
    assert ann.json("status").one()["follows"] == 0


def test_a_profile_is_set_and_shown(ann: Cli) -> None:
    value = ann.json("profile", "set", "--name", "Ann B.", "--bio", "of the sea").one()
    assert set(value) == PERSON_KEYS
    assert (value["name"], value["bio"], value["own"]) == ("Ann B.", "of the sea", True)
    assert ann.json("profile", "show").one() == value
    assert ann("profile", "show").out.startswith(f"Ann B.\nof the sea\n{value['account']}\n0 posts kept here\n")
    assert ann("profile", "set").code == 2
    assert ann("profile", "set", "--name", " ").code == 2
    assert ann("profile", "show", NOBODY).code == 3


def test_peers_are_added_and_listed_offline(ann: Cli) -> None:
    assert "unhush peers add" in ann("peers").err
    assert ann.json("peers", "add", PEER).one() == {"address": PEER, "remembered": True}

    expected = {"address": PEER, "peer": PEER.rpartition("/")[2], "connected": False, "inbound": False}
    expected |= {"covers": 0, "gave": 0}
    for arguments in (
        ["--json", "peers"],
        ["peers", "--json"],
        ["peers", "list", "--json"],
        ["peers", "--json", "list"],
    ):
        assert ann(*arguments).one() == expected
    said = ann("peers", "list")
    assert said.out == f"remembered out {PEER}\n"
    assert "not running" in said.err


def test_an_address_that_cannot_be_dialled_is_a_usage_error(ann: Cli) -> None:
    said = ann.json("peers", "add", "192.0.2.7:4470")
    assert (said.code, said.out) == (2, "")
    assert "an address looks like" in said.err
    assert ann.json("peers").out == ""


def test_status_works_offline_and_says_so(ann: Cli) -> None:
    value = ann.json("status").one()
    assert set(value) == {
        "home", "account", "name", "words_waiting", "follows", "records", "aid", "running", "peer", "listen", "peers",
        "problem", "alarms", "contested", "unproven", "cut_devices", "local_only", "keeps_root", "kept_by", "keeps",
        "root_problem", "outage", "limits_met", "silent",
    }  # fmt: skip
    assert (value["running"], value["peer"], value["listen"], value["peers"]) == (False, None, [], 0)
    assert value["words_waiting"] == str(ann.home / "words.txt")
    people = ann("status").out
    assert "not running (offline" in people
    assert "write them on paper" in people
    (ann.home / "words.txt").unlink()
    assert ann.json("status").one()["words_waiting"] is None


COUNTED = ("bad", "missing", "forks", "malformed", "dropped", "withheld", "bad_blobs")
ALL_IS_WELL = {"stale": []} | dict.fromkeys(COUNTED, 0)


def test_an_account_goes_out_as_a_file_and_into_an_empty_home(ann: Cli, tmp_path: Path) -> None:
    ann("post", "--lines", given=b"one\ntwo\n")
    account = ann.json("profile", "show").one()["account"]
    car = str(tmp_path / "ann.car")

    out = ann.json("export", "car", car).one()
    assert set(out) == {"file", "roots", "blocks", "cards"}
    assert (out["file"], out["roots"][0], out["blocks"]) == (car, account, 8)
    for said in (ann("export", "car", car, "--force").out, ann("export", "car", "--help").out):
        assert "ictures are not in it" in said
        assert "export lifeboat" in said
    assert "Pictures are in no CAR; a lifeboat takes them along." in ann("verify", car).out

    attic = ann.at(tmp_path / "attic")
    assert attic.json("import", "car", car).one() == {
        "accounts": [account],
        "stored": 4,
        "known": 0,
        "refused": 0,
        "cards": 0,
        "refused_cards": 0,
    }
    assert attic.json("import", "car", car).one()["known"] == 4
    assert attic.json("profile", "show", account).one()["posts"] == 2
    assert attic.json("verify").one() == {**ALL_IS_WELL, "entries": 4}
    assert attic.json("status").one()["account"] is None
    assert "make one with: unhush init" in attic("status").out
    again = attic.json("export", "car", str(tmp_path / "again.car"), "--account", account).one()
    assert again["blocks"] == 8
    assert (tmp_path / "again.car").read_bytes() == (tmp_path / "ann.car").read_bytes()
    assert "4 records are new here" in ann.at(tmp_path / "loft")("import", "car", car).out


def test_a_car_is_not_written_over_unless_that_is_said_and_is_checked_as_a_file(ann: Cli, tmp_path: Path) -> None:
    file = tmp_path / "ann.car"
    assert ann("export", "car", str(file)).code == 0
    before = file.read_bytes()
    ann("post", "another")
    said = ann("export", "car", str(file))
    assert (said.code, "--force" in said.err, file.read_bytes() == before) == (1, True, True)
    assert ann.json("export", "car", str(file), "--force").one()["blocks"] == 6

    found = ann.json("verify", str(file)).one()
    assert [found[name] for name in ("kind", "ok", "records", "checked", "cards")] == ["car", True, 3, 3, 0]
    assert "3 of 3 records hold, no contact card in it" in ann("verify", str(file)).out
    file.write_bytes(before[:-1])
    assert ann("verify", str(file)).code == 6


def test_a_file_that_is_no_account_is_refused_with_its_own_exit_code(ann: Cli, tmp_path: Path) -> None:
    (tmp_path / "bad.car").write_bytes(b"not a car")
    said = ann.json("import", "car", str(tmp_path / "bad.car"))
    assert (said.code, said.out) == (6, "")
    assert ann.json("import", "car", str(tmp_path / "no.car")).code == 3
    assert ann.json("import", "car", str(tmp_path)).code == 2
    assert ann.json("export", "car", str(tmp_path / "x.car"), "--account", NOBODY).code == 3
    assert ann.json("export", "car", str(tmp_path / "no" / "x.car")).code == 1


def test_verify_says_that_all_is_well_or_what_is_not(ann: Cli) -> None:
    record = post(ann, "hello")
    assert ann.json("verify").one() == {**ALL_IS_WELL, "entries": 3}
    assert ann("verify").out == "3 records: 0 bad, 0 missing, 0 forked logs. All is well.\n"

    damage(ann.home, b"hello")

    said = ann.json("verify")
    assert (said.code, said.lines()) == (6, [{**ALL_IS_WELL, "entries": 3, "bad": 1}])
    assert said.err.strip()
    assert "All is well" not in ann("verify").out
    assert record


def damage(home: Path, text: bytes) -> None:
    """Turn one bit of a stored post behind everybody's back."""
    with lmdb.open(str(home / "store"), max_dbs=64, lib_version=0) as environment:
        journal = environment.open_db(b"journal")
        with environment.begin(write=True) as txn, txn.cursor(journal) as cursor:
            for key, row in cursor:
                at = row.find(text)
                if at >= 0:
                    txn.put(key, row[:at] + bytes([row[at] ^ 1]) + row[at + 1 :], db=journal)
                    return
    raise AssertionError("nothing to damage")


# -- what holds for all of them


@pytest.mark.parametrize(
    "arguments",
    [
        ["post", "x"],
        ["post", "-"],
        ["reply", NOBODY, "x"],
        ["timeline"],
        ["timeline", "--follow"],
        ["thread", NOBODY],
        ["show", NOBODY],
        ["follow", NOBODY],
        ["unfollow", NOBODY],
        ["profile", "set", "--name", "x"],
        ["profile", "show"],
        ["peers"],
        ["peers", "add", PEER],
        ["status"],
        ["export", "car", "x.car"],
        ["verify"],
        ["verify", "--repair"],
        ["backup", "x.tar"],
        ["compact"],
        ["index", "rebuild"],
        ["id", "show"],
        ["id", "check"],
        ["id", "passphrase", "--no-passphrase"],
        ["id", "root", "keep"],
        ["id", "root", "forget"],
        ["device", "list"],
        ["device", "add", "x"],
        ["device", "revoke", "x"],
        ["device", "renew"],
        ["rotate"],
        ["identity", "freeze"],
        ["identity", "log"],
    ],
    ids=" ".join,
)
def test_a_home_that_was_never_made_is_not_found_and_not_made(
    cli: Cli, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for exists in (False, True):
        if exists:
            cli.home.mkdir(mode=0o755)
        said = cli.json(*arguments, given=b"x")
        assert (said.code, said.out) == (3, "")
        assert "unhush init --name NAME" in said.err
    assert list(cli.home.iterdir()) == []
    assert stat.S_IMODE(cli.home.stat().st_mode) == 0o755


@pytest.mark.parametrize("record", ["x", "", "bafy", NOBODY[:-1], NOBODY.upper(), f"../{NOBODY}", "\x1b[31m"])
def test_a_bad_id_is_a_usage_error(ann: Cli, record: str) -> None:
    for arguments in (["show"], ["thread"], ["reply"], ["follow"], ["unfollow"], ["profile", "show"]):
        if arguments[0] == "profile" and not record:
            continue  # nothing is you
        said = ann.json(*arguments, record, *(["x"] if arguments == ["reply"] else []))
        assert (said.code, said.out) == (2, ""), arguments
        assert "\x1b" not in said.err


@pytest.mark.parametrize("command", ["show", "follow", "mute", "unfollow"])
def test_an_id_with_a_wrong_letter_is_told_from_what_never_was_one(ann: Cli, command: str) -> None:
    wrong = ann(command, f"{NOBODY[:-1]}1")  # 1 is no letter of an id
    assert (wrong.code, wrong.err.strip().endswith("a letter is wrong; was it copied whole?")) == (2, True)

    short = ann(command, "mara")
    assert (short.code, "an id has 59 letters and digits and begins with b" in short.err) == (2, True)
    assert ("nobody here is called 'mara'" in short.err) == (command != "show")


def test_an_id_that_is_not_here_is_not_found(ann: Cli) -> None:
    for arguments in (["show"], ["thread"], ["show", "--raw"], ["unfollow"], ["profile", "show"]):
        said = ann.json(*arguments, NOBODY)
        assert (said.code, said.out) == (3, ""), arguments


def test_json_may_stand_before_or_after_the_command(ann: Cli) -> None:
    record = post(ann, "hello")
    for arguments in (["show", record], ["status"], ["profile", "show"], ["verify"], ["timeline"], ["thread", record]):
        before, after = ann("--json", *arguments), ann(*arguments, "--json")
        assert before.one() == after.one()


def test_the_home_is_named_by_option_or_environment_or_is_the_users(
    ann: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = ann.json("profile", "show").one()["account"]
    monkeypatch.setenv("UNHUSH_HOME", str(ann.home))
    assert ann.bare("--json", "status").one()["account"] == own
    elsewhere = ann.at(tmp_path / "elsewhere")
    assert elsewhere.json("status").code == 3

    monkeypatch.setenv("UNHUSH_HOME", "")
    assert ann.bare("--json", "init", "--name", "Zoe").code == 0
    assert ann.bare("--json", "status").one()["home"] == str(tmp_path / "data" / "unhush")


def test_a_home_that_was_given_stands_in_what_to_run_next(cli: Cli, tmp_path: Path) -> None:
    home = tmp_path / "a home"
    before = ["--home", str(home)]
    assert f"unhush --home '{home}' init --name NAME" in cli.bare(*before, "timeline").err
    assert (
        cli.bare(*before, "init", "--name", "Ann", "--no-passphrase").err.count(f"unhush --home '{home}' id check") == 1
    )
    assert f"unhush --home '{home}' id check" in cli.bare(*before, "status").out
    # What is said with the same words and is no command stays.
    assert "by a newer version of unhush\n" in cli.bare(*before, "accept", "unhush:" + "z" * 200, "--yes").err


@pytest.mark.parametrize("arguments", [["status", "--home", "x"], ["media", "save", "--home=x"]])
def test_an_option_for_all_commands_that_stands_after_one_is_told_its_place(cli: Cli, arguments: list[str]) -> None:
    said = cli.bare(*arguments)
    assert (said.code, said.out) == (2, "")
    assert "--home stands before the command: unhush --home … COMMAND" in said.err


def test_an_unknown_command_is_a_usage_error_with_a_hint(cli: Cli) -> None:
    said = cli.bare("timelin")
    assert (said.code, said.out) == (2, "")
    assert "There is no command 'timelin'. Did you mean 'timeline'?" in said.err
    assert cli.bare("peers", "remove").code == 2
    assert cli.bare("--wrong").code == 2


def test_help_names_every_command_and_every_command_has_help(cli: Cli) -> None:
    from unhush.cli.main import COMMANDS

    for arguments in ([], ["-h"], ["--help"]):
        said = cli.bare(*arguments)
        assert all(re.search(rf"^  {name} ", said.out + said.err, re.MULTILINE) for name in COMMANDS)
    for name in COMMANDS:
        said = cli.bare(name, "--help")
        assert (said.code, said.out.startswith(f"Usage: unhush {name}")) == (0, True)
        assert "--json" in said.out
    assert re.fullmatch(r"unhush \d+\.\d+\.\d+\S*\n", cli.bare("--version").out)


def test_a_key_that_others_could_read_is_locked_out(ann: Cli) -> None:
    (ann.home / "device.key").chmod(0o644)
    said = ann.json("post", "x")
    assert (said.code, said.out) == (4, "")
    assert re.search(r"mode 0644: others could read the key; if none did: chmod 600", said.err)
    assert ann.json("timeline").code == 0


def test_nothing_a_stranger_wrote_steers_the_terminal(ann: Cli, tmp_path: Path) -> None:
    hostile = "a\x1b[2J\x1b]0;gone\x07\x08\x7f\x9b31m\u202eevil\u2066\u2028x\u200f\r"
    eve = Config(tmp_path / "eve")
    account = found_account(eve, "Eve").account
    with Node.open(eve) as node:
        node.set_profile(hostile[:60], hostile)
        record = node.post(Post(hostile, title=hostile, warning=hostile, tags=(hostile,), lang="\x1b[1m"))
        reply = node.reply(record.id, hostile)
        node.export_car(tmp_path / "eve.car")
    ann("import", "car", str(tmp_path / "eve.car"))
    ann("follow", str(account), "--petname", hostile[:40])

    for arguments in (
        ["timeline"],
        ["thread", str(reply.id)],
        ["show", str(record.id)],
        ["profile", "show", str(account)],
        ["follow", str(account)],
        ["verify"],
        ["status"],
        ["device", "list", "--account", str(account)],
        ["identity", "log", str(account)],
    ):
        for said in (ann(*arguments), ann.json(*arguments)):
            assert said.code == 0
            rest = re.sub(r"\x1b\[[0-9]{1,2}m", "", said.out)  # our own bold, dim and slanted
            assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", rest), arguments
            assert "\x1b[31m" not in said.out
    kept = ann.json("show", str(record.id)).one()
    assert (kept["text"], kept["title"]) == (hostile, hostile)


def test_json_escapes_what_it_must_and_leaves_letters_alone(ann: Cli) -> None:
    text = "süß 🌊 \u202e \x1b \u2028"
    record = post(ann, text)
    said = ann.json("show", record)
    assert "süß 🌊 \\u202e \\u001b \\u2028" in said.out
    assert json.loads(said.out)["text"] == text
