"""``keep``, ``keepers``, ``unkeep`` and ``withhold`` as people type them; the network is other tests' business."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import Cli

from unhush.node import Config, Created, Node
from unhush.node.keeping.sizes import parse_share
from unhush.storage.kinds import Keeper

Found = Callable[[str], Created]


def bring(ann: Cli, home: Path, tmp_path: Path) -> None:
    """An account into Ann's home by a file, as a friend might carry it over."""
    file = tmp_path / "carried.car"
    file.unlink(missing_ok=True)
    with Node(Config(home)) as node:
        node.export_car(file)
    assert ann("import", "car", str(file)).code == 0


def test_an_account_is_kept_changed_listed_and_not_any_more(ann: Cli, found: Found) -> None:
    mara = found("Mara").account
    kept = ann.json("keep", str(mara), "--budget", "500MiB", "--media", "90d").one()
    assert (kept["account"], kept["budget"], kept["media"], kept["receipt"]) == (
        str(mara), 500 * 2**20, "90d", None,
    )  # fmt: skip
    assert "unhush run" in kept["problem"]
    again = ann.json("keep", str(mara), "--budget", "2g").one()
    assert (again["budget"], again["media"], again["since"]) == (2 * 2**30, "none", kept["since"])
    (listed,) = ann.json("keep", "--list").lines()
    assert (listed["account"], listed["full"], listed["records"]) == (str(mara), False, 0)
    people = ann("keep", "--list").out
    assert f"{mara} …" in people
    assert "0 B of 2 GiB, no pictures · 0 records · no receipt yet" in people
    assert ann.json("unkeep", str(mara)).one() == {"account": str(mara), "kept": False}
    assert ann.json("keep", "--list").lines() == []
    assert "Nothing is kept here" in ann("keep", "--list").err


def test_people_are_told_what_a_promise_is_and_how_to_undo_it(ann: Cli, found: Found) -> None:
    mara = found("Mara").account
    said = ann("keep", str(mara))
    assert (said.code, said.err) == (0, "")
    assert "up to 1 GiB, no pictures" in said.out
    assert "unhush run" in said.out
    assert f"unhush unkeep {mara}" in said.out


@pytest.mark.parametrize(
    "arguments",
    [
        ["keep"],
        ["keep", "ACCOUNT", "--list"],
        ["keep", "ACCOUNT", "--offer", "ACCOUNT"],
        ["keep", "ACCOUNT", "--budget", "much"],
        ["keep", "ACCOUNT", "--budget", "12"],
        ["keep", "ACCOUNT", "--media", "some"],
        ["keep", "ACCOUNT", "--share", "0/2"],
        ["keep", "ACCOUNT", "--exact"],
        ["keep", "--offer", "ACCOUNT", "--budget", "1GiB"],
        ["keep", "--from", "nothing"],
        ["keep", "nobody"],
        ["keep", "OWN"],
        ["keep", "--offer", "OWN"],
        ["withhold"],
        ["withhold", "ACCOUNT"],
        ["withhold", "--reason", "why"],
        ["withhold", "ACCOUNT", "--reason", " "],
        ["withhold", "ACCOUNT", "--reason", "x" * 301],
        ["withhold", "nothing", "--reason", "why"],
        ["withhold", "ACCOUNT", "--reason", "why", "--list"],
    ],
    ids=" ".join,
)
def test_what_does_not_fit_is_refused_in_one_line_and_nothing_is_done(
    ann: Cli, found: Found, arguments: list[str]
) -> None:
    names = {"ACCOUNT": str(found("Mara").account), "OWN": ann.json("id", "show").one()["account"]}
    said = ann.json(*(names.get(word, word) for word in arguments))
    assert (said.code, said.out) == (2, "")
    assert said.err
    assert ann.json("keep", "--list").lines() == ann.json("keepers").lines() == ann.json("withhold", "--list").lines()


def test_what_is_not_there_is_said(ann: Cli, found: Found) -> None:
    mara = str(found("Mara").account)
    for arguments in (
        ["unkeep", mara],
        ["keep", "--accept", mara],
        ["keep", "--withdraw", mara],
        ["withhold", "--undo", mara],
    ):
        said = ann.json(*arguments)
        assert (said.code, said.out, said.err.count("\n")) == (3, "", 1), arguments


def test_a_home_without_an_account_keeps_nothing(cli: Cli, found: Found) -> None:
    cli.home.mkdir()
    said = cli.json("keep", str(found("Mara").account))
    assert (said.code, "unhush init" in said.err) == (3, True)


def test_somebody_is_asked_once_and_the_request_taken_back(ann: Cli, found: Found) -> None:
    mara = str(found("Mara").account)
    assert ann.json("keep", "--offer", mara).one() == {"keeper": mara, "asked": True}
    before = ann.json("status").one()["records"]
    assert ann.json("keep", "--offer", mara).code == 0
    assert ann.json("status").one()["records"] == before
    (keeper,) = ann.json("keepers").lines()
    assert (keeper["keeper"], keeper["accepted"], keeper["receipt"], keeper["covers"], keeper["counts"]) == (
        mara, True, None, 0, False,
    )  # fmt: skip
    assert "no receipt" in keeper["why"]
    assert "accepted" in ann("keepers").out
    assert ann.json("keep", "--withdraw", mara).code == 0
    assert ann.json("keepers").lines() == []
    assert "unhush keep --offer KEEPER" in ann("keepers").err


def test_who_asks_to_be_kept_is_listed_and_accepted(ann: Cli, found: Found, tmp_path: Path) -> None:
    mara = found("Mara")
    with Node(Config(tmp_path / "mara")) as node:
        node.offer_keeping(ann.json("id", "show").one()["account"])
    bring(ann, tmp_path / "mara", tmp_path)
    (offer,) = ann.json("keep", "--list").lines()
    assert (offer["account"], offer["name"], offer["asked"], offer["kept"]) == (str(mara.account), "Mara", True, False)
    assert f"unhush keep --accept {mara.account}" in ann("keep", "--list").out
    assert ann.json("keep", "--accept", str(mara.account), "--media", "all").one()["media"] == "all"
    (kept,) = ann.json("keep", "--list").lines()
    assert (kept["kept"], kept["name"]) == (True, "Mara")
    assert kept["records"] > 0
    assert kept["used"] > 0


def test_a_list_is_kept_each_box_its_share(ann: Cli, found: Found, tmp_path: Path) -> None:
    accounts = [found(name).account for name in ("Ben", "Mara", "Ines", "Otto", "Jun", "Noor")]
    file = tmp_path / "list.txt"
    file.write_text("# the town\n" + "\n".join(f"{each}  # one" for each in accounts) + "\n")
    own = {str(each) for each in accounts if parse_share("1/2").holds(each)}
    done = ann.json("keep", "--from", str(file), "--share", "1/2").one()
    assert done == {"new": len(own), "known": 0, "elsewhere": 6 - len(own), "dropped": 0, "unlisted": 0}
    assert {each["account"] for each in ann.json("keep", "--list").lines()} == own
    assert ann.json("keep", "--from", str(file), "--share", "1/2").one()["new"] == 0
    rest = ann.json("keep", "--from", str(file), "--share", "0/2").one()
    assert (rest["new"], rest["unlisted"]) == (6 - len(own), len(own))
    ended = ann.json("keep", "--from", str(file), "--share", "0/2", "--exact").one()
    assert (ended["new"], ended["dropped"]) == (0, len(own))
    assert len(ann.json("keep", "--list").lines()) == 6 - len(own)


def test_a_list_with_a_wrong_line_changes_nothing(ann: Cli, found: Found, tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_text(f"{found('Ben').account}\nmara\n")
    said = ann.json("keep", "--from", str(file))
    assert (said.code, said.out) == (2, "")
    assert "line 2 " in said.err
    assert ann.json("keep", "--list").lines() == []


def test_a_record_is_withheld_with_its_reason_and_taken_in_again(ann: Cli, found: Found, tmp_path: Path) -> None:
    mara = found("Mara").account
    with Node(Config(tmp_path / "mara")) as node:
        post = str(node.post("The mayor is a fish.").id)
    ann("follow", str(mara))
    bring(ann, tmp_path / "mara", tmp_path)
    assert ann.json("show", post).one()["body"] is True
    done = ann.json("withhold", post, "--reason", "A court  in Ullsund, 12/2031").one()
    assert (done["id"], done["account"], done["reason"]) == (post, str(mara), "A court in Ullsund, 12/2031")
    assert ann.json("show", post).one()["body"] is False
    (listed,) = ann.json("withhold", "--list").lines()
    assert (listed["id"], listed["withheld"]) == (post, True)
    assert "A court in Ullsund" in ann("withhold", "--list").out
    bring(ann, tmp_path / "mara", tmp_path)
    assert ann.json("show", post).one()["body"] is False, "what is withheld does not come back by itself"
    assert ann.json("withhold", "--undo", post).one() == {"id": post, "withheld": False}
    bring(ann, tmp_path / "mara", tmp_path)
    assert ann.json("show", post).one()["text"] == "The mayor is a fish."


def test_own_records_and_operations_are_not_withheld(ann: Cli, found: Found, tmp_path: Path) -> None:
    mara = str(found("Mara").account)
    bring(ann, tmp_path / "mara", tmp_path)
    own = ann.json("post", "hello").one()["id"]
    for record, why in ((own, "unhush delete"), (mara, "who may speak")):
        said = ann.json("withhold", record, "--reason", "why")
        assert (said.code, said.out) == (2, "")
        assert why in said.err


def test_what_is_not_here_yet_can_be_withheld_beforehand(ann: Cli, found: Found, tmp_path: Path) -> None:
    mara = found("Mara").account
    with Node(Config(tmp_path / "mara")) as node:
        post = str(node.post("The mayor is a fish.").id)
    assert ann.json("withhold", post, "--reason", "a court").one()["account"] is None
    ann("follow", str(mara))
    bring(ann, tmp_path / "mara", tmp_path)
    assert ann.json("show", post).one()["body"] is False


def test_every_way_to_read_says_who_keeps_it(ann: Cli) -> None:
    post = ann.json("post", "hello").one()["id"]
    only_here = {"proven": 0, "unproven": 0, "on_this_device_only": True, "words": "on this device only"}
    for command in (["timeline"], ["show", post], ["thread", post]):
        (line,) = ann.json(*command).lines()
        assert line["kept_by"] == only_here
        assert " · on this device only\n" in ann(*command).out


def test_status_says_how_safe_the_account_is_and_what_is_wrong_with_promises(ann: Cli, found: Found) -> None:
    ann("post", "hello")
    status = ann.json("status").one()
    assert status["kept_by"] == {"records": 2, "by_one": 0, "by_two": 0, "least": 0, "keepers": 0}
    assert status["keeps"] == {"accounts": 0, "problems": []}
    assert "kept      by nobody yet" in ann("status").out
    mara = found("Mara").account
    ann("keep", str(mara))
    status = ann.json("status").one()
    assert status["keeps"]["accounts"] == 1


def test_a_record_that_asks_is_of_the_kind_the_others_know(ann: Cli, found: Found) -> None:
    mara = found("Mara").account
    ann("keep", "--offer", str(mara))
    with Node(Config(ann.home)) as node:
        (asked,) = [shown for shown in node.events(timeout_s=0) if shown.kind == Keeper.kind]
    assert asked.target == mara
