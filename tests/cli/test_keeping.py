"""``keep``, ``keepers``, ``unkeep`` and ``withhold`` as people type them; the network is other tests' business."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from tests.cli.conftest import Cli
from tests.cli.homes import carry
from tests.support.bombs import saved
from tests.support.people import Person

from unhush.cli.shown import some
from unhush.node import Config, Created, Node
from unhush.node.keeping.sizes import parse_share
from unhush.storage.kinds import Keeper

Found = Callable[[str], Created]


def test_an_account_is_kept_changed_listed_and_not_any_more(ann: Cli, found: Found) -> None:
    mara = found("Mara").account
    kept = ann.json("keep", str(mara), "--budget", "500MiB", "--media", "90d").one()
    assert (kept["account"], kept["budget"], kept["media"], kept["receipt"]) == (
        str(mara), 500 * 2**20, "90d", None,
    )  # fmt: skip
    assert "unhush run" in kept["problem"]
    again = ann.json("keep", str(mara), "--budget", "2g").one()
    assert (again["budget"], again["media"], again["since"]) == (2 * 2**30, "90d", kept["since"]), "unnamed: as it was"
    again = ann.json("keep", str(mara), "--media", "none").one()
    assert (again["budget"], again["media"]) == (2 * 2**30, "none")
    again = ann.json("keep", str(mara)).one()
    assert (again["budget"], again["media"]) == (2 * 2**30, "none")
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
        ["keep", "ACCOUNT", "--update"],
        ["keep", "ACCOUNT", "--yes"],
        ["keep", "--from", "/dev/null", "--exact"],
        ["keep", "--from", "/dev/null", "--update"],
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
    assert f"unhush keep {mara}" in ann("keep", "--accept", mara).err, "how to keep it anyway"


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
    assert (keeper["keeper"], keeper["asked"], keeper["receipt"], keeper["covers"], keeper["counts"]) == (
        mara, True, None, 0, False,
    )  # fmt: skip
    assert "no receipt" in keeper["why"]
    assert keeper["accepted"] is False, "nobody has answered yet"
    said = ann("keepers").out
    assert ("(asked)" in said, "accepted" in said) == (True, False)
    assert ann.json("keep", "--withdraw", mara).code == 0
    assert ann.json("keepers").lines() == []
    assert "unhush keep --offer KEEPER" in ann("keepers").err


def test_who_asks_to_be_kept_is_listed_and_accepted(ann: Cli, found: Found, tmp_path: Path) -> None:
    mara = found("Mara")
    with Node(Config(tmp_path / "mara")) as node:
        node.offer_keeping(ann.json("id", "show").one()["account"])
    carry(ann.at(tmp_path / "mara"), ann, tmp_path)
    (offer,) = ann.json("keep", "--list").lines()
    assert (offer["account"], offer["name"], offer["asked"], offer["kept"]) == (str(mara.account), "Mara", True, False)
    assert f"unhush keep --accept {mara.account}" in ann("keep", "--list").out
    assert ann.json("keep", "--accept", str(mara.account), "--media", "all").one()["media"] == "all"
    (kept,) = ann.json("keep", "--list").lines()
    assert (kept["kept"], kept["name"]) == (True, "Mara")
    assert kept["records"] > 0
    assert kept["used"] > 0


def test_a_list_is_kept_each_box_its_share(ann: Cli, tmp_path: Path) -> None:
    accounts = [Person(f"number {number}", 100 + number).account for number in range(6)]
    file = tmp_path / "list.txt"
    file.write_text("# the town\n" + "\n".join(f"{each}  # one" for each in accounts) + "\n")
    own = {str(each) for each in accounts if parse_share("1/2").holds(each)}
    assert len(own) == 3
    done = ann.json("keep", "--from", str(file), "--share", "1/2").one()
    assert done == {
        "new": len(own), "known": 0, "changed": 0, "differing": 0, "elsewhere": 6 - len(own), "dropped": 0,
        "unlisted": 0,
    }  # fmt: skip
    assert {each["account"] for each in ann.json("keep", "--list").lines()} == own
    assert ann.json("keep", "--from", str(file), "--share", "1/2").one()["new"] == 0
    rest = ann.json("keep", "--from", str(file), "--share", "0/2").one()
    assert (rest["new"], rest["unlisted"]) == (6 - len(own), len(own))
    refused = ann.json("keep", "--from", str(file), "--share", "0/2", "--exact")
    assert (refused.code, refused.out) == (2, "")
    assert f"{len(own)} of 6 accounts kept here are not on the list" in refused.err
    assert "--yes" in refused.err
    assert len(ann.json("keep", "--list").lines()) == 6
    ended = ann.json("keep", "--from", str(file), "--share", "0/2", "--exact", "--yes").one()
    assert (ended["new"], ended["dropped"]) == (0, len(own))
    assert len(ann.json("keep", "--list").lines()) == 6 - len(own)


def test_a_list_changes_no_promise_unless_it_is_told_to(ann: Cli, found: Found, tmp_path: Path) -> None:
    ben, mara = found("Ben").account, found("Mara").account
    ann("keep", str(ben), "--budget", "60MiB", "--media", "all")
    file = tmp_path / "list.txt"
    file.write_text(f"{ben}\n{mara}\n")

    def terms() -> dict[str, tuple[int, str]]:
        return {each["account"]: (each["budget"], each["media"]) for each in ann.json("keep", "--list").lines()}

    done = ann.json("keep", "--from", str(file), "--budget", "1GiB", "--media", "90d").one()
    assert (done["new"], done["known"], done["changed"], done["differing"]) == (1, 1, 0, 1)
    assert terms() == {str(ben): (60 * 2**20, "all"), str(mara): (2**30, "90d")}
    said = ann("keep", "--from", str(file), "--budget", "1GiB").out
    assert "1 of them has another budget or media" in said
    done = ann.json("keep", "--from", str(file), "--budget", "2GiB", "--update").one()
    assert (done["known"], done["changed"], done["differing"]) == (0, 2, 0)
    assert terms() == {str(ben): (2**31, "all"), str(mara): (2**31, "90d")}
    assert "0 as before, 2 changed" in ann("keep", "--from", str(file), "--exact", "--media", "none").out


def test_an_empty_list_ends_nothing_and_no_more_than_one_promise_in_ten_goes_unasked(
    ann: Cli, found: Found, tmp_path: Path
) -> None:
    ben, mara = found("Ben").account, found("Mara").account
    for each in (ben, mara):
        ann("keep", str(each))
    for empty in ("/dev/null", str(tmp_path / "remarks.txt")):
        (tmp_path / "remarks.txt").write_text("# nobody any more\n")
        said = ann.json("keep", "--from", empty, "--exact", "--yes")
        assert (said.code, said.out, "names no account" in said.err) == (2, "", True)
        assert ann.json("keep", "--from", empty).one()["unlisted"] == 2
    (tmp_path / "list.txt").write_text(f"{ben}\n")
    asked = ann.json("keep", "--from", str(tmp_path / "list.txt"), "--exact")
    assert (asked.code, asked.out) == (2, "")
    assert "1 of 2 accounts kept here is not on the list" in asked.err
    others = [Person(f"number {number}", 100 + number).account for number in range(8)]
    (tmp_path / "list.txt").write_text("\n".join(map(str, (ben, *others))))
    assert ann.json("keep", "--from", str(tmp_path / "list.txt")).one()["new"] == 8
    done = ann.json("keep", "--from", str(tmp_path / "list.txt"), "--exact").one()
    assert (done["known"], done["dropped"]) == (9, 1)
    assert "There is no file" in ann("keep", "--from", str(tmp_path / "none.txt")).err


def test_what_was_wrong_is_said_with_the_usage_of_the_command(ann: Cli, found: Found) -> None:
    mara = str(found("Mara").account)
    for arguments, why in (
        (["keep"], "Keep whom?"),
        (["keep", mara, "--list"], "ACCOUNT and --list do not go together"),
        (["keep", mara, "--share", "0/2"], "--share goes with --from FILE"),
        (["withhold"], "Withhold which record?"),
        (["withhold", mara], "--reason TEXT"),
        (["withhold", "--reason", "why"], "goes with the ID"),
        (["withhold", "--list", "--reason", "why"], "goes with the ID"),
    ):
        said = ann(*arguments)
        assert (said.code, said.out) == (2, ""), arguments
        assert said.err.startswith(f"Usage: unhush {arguments[0]} "), said.err
        assert why in said.err


def test_somebody_followed_may_take_what_they_may_anyway_and_it_is_said(ann: Cli, found: Found) -> None:
    mara = str(found("Mara").account)
    assert ann.json("keep", mara, "--budget", "60MiB").one()["room"] == 60 * 2**20
    ann("follow", mara)
    kept = ann.json("keep", "--list").one()
    assert (kept["budget"], kept["room"]) == (60 * 2**20, 200 * 2**20)
    assert "of 200 MiB (followed; budget 60 MiB)" in ann("keep", "--list").out
    assert "so they may take 200 MiB" in ann("keep", mara).out
    said = ann("keep", mara, "--budget", "1GiB").out
    assert "200 MiB" not in said


def test_a_reason_is_replaced_and_it_is_said_what_was_here(ann: Cli, found: Found) -> None:
    record = str(found("Mara").account)  # by its form an id of a record; none of Mara's is here
    first = ann("withhold", record, "--reason", "a court").out
    assert "Nothing of this record is here" in first
    again = ann("withhold", record, "--reason", "another court").out
    assert "in place of: a court." in again
    (listed,) = ann.json("withhold", "--list").lines()
    assert (listed["reason"], listed["replaced"]) == ("another court", None)


def test_one_of_a_thing_is_said_as_one(ann: Cli, found: Found, tmp_path: Path) -> None:
    assert (some(1, "picture"), some(2, "picture"), some(1_000, "body", "bodies")) == (
        "1 picture", "2 pictures", "1,000 bodies",
    )  # fmt: skip
    found("Mara")
    with Node(Config(tmp_path / "mara")) as node:
        node.export_car(tmp_path / "mara.car")
    ann("import", "car", str(tmp_path / "mara.car"))
    with Node(Config(tmp_path / "mara")) as node:
        node.post("hello")
        node.export_car(tmp_path / "more.car")
    assert ann("import", "car", str(tmp_path / "more.car")).out == "1 record is new here, 2 were known.\n"


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
        attached = node.attach(saved(Image.new("RGB", (8, 8), "red"), "PNG"), "a fish")
        post = str(node.post("The mayor is a fish.", [attached]).id)
        data = node._store.blobs.read(attached.cid)
    ann("follow", str(mara))
    carry(ann.at(tmp_path / "mara"), ann, tmp_path)
    with Node(Config(ann.home)) as node:
        node._store.blobs.put_block(attached.cid, data)  # as a peer gives it
    assert ann.json("show", post).one()["body"] is True
    done = ann.json("withhold", post, "--reason", "A court  in Ullsund, 12/2031").one()
    assert (done["id"], done["account"], done["reason"]) == (post, str(mara), "A court in Ullsund, 12/2031")
    assert done["pictures"] == 1
    assert ann.json("show", post).one()["body"] is False
    (listed,) = ann.json("withhold", "--list").lines()
    assert (listed["id"], listed["withheld"]) == (post, True)
    assert "A court in Ullsund" in ann("withhold", "--list").out
    carry(ann.at(tmp_path / "mara"), ann, tmp_path)
    assert ann.json("show", post).one()["body"] is False, "what is withheld does not come back by itself"
    assert ann.json("withhold", "--undo", post).one() == {"id": post, "withheld": False}
    carry(ann.at(tmp_path / "mara"), ann, tmp_path)
    assert ann.json("show", post).one()["text"] == "The mayor is a fish."
    with Node(Config(ann.home)) as node:
        assert not node.media.has(attached.cid)
        node._store.blobs.put_block(attached.cid, data)
    said = ann("withhold", post, "--reason", "a court").out
    assert "Its body is gone from here, and 1 picture that nothing else shows." in said


def test_own_records_and_operations_are_not_withheld(ann: Cli, found: Found, tmp_path: Path) -> None:
    mara = str(found("Mara").account)
    carry(ann.at(tmp_path / "mara"), ann, tmp_path)
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
    carry(ann.at(tmp_path / "mara"), ann, tmp_path)
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


def test_a_card_names_web_addresses_until_they_are_dropped(ann: Cli) -> None:
    url = "https://ann.example/boat.html"
    assert ann.json("card").one()["unsaid"] == []
    assert ann.json("card", "--url", url).one()["unsaid"] == [url]
    assert f"{url} (on the card once the node runs)" in ann("card").out
    assert ann("card", "--url", "javascript:alert(1)").code == 2
    assert ann("card", "--drop", "https://other.example/").code == 3
    assert ann("card", ann.json("card").one()["account"], "--url", url).code == 2
    assert ann.json("card", "--drop", url).one()["unsaid"] == []
