"""``device`` and ``rotate``: what is asked before it is signed, and what becomes of a device and its records."""

from pathlib import Path

import pytest
from tests.cli.conftest import Cli
from tests.cli.homes import bytes_of, carry, post, private, seal, second_device, words_of
from tests.cli.terminal import terminal

from unhush.identity.request import parse_request
from unhush.node import Config, Node, found_account
from unhush.node.errors import NetworkFailed

DEVICE_KEYS = {
    "key", "name", "state", "this", "added", "cut", "in_force", "contested", "unproven", "void", "fork", "newest",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _a_peer_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process; a process of its own has nobody to ask."""
    monkeypatch.setattr(Node, "sync_own", lambda _node, _timeout_s: True)


@pytest.fixture
def phone(ann: Cli, tmp_path: Path) -> Cli:
    """A second device, whose three posts the first has."""
    phone = second_device(ann, tmp_path)
    for text in ("one", "two", "three"):
        post(phone, text)
    carry(phone, ann, tmp_path)
    return phone


def devices(cli: Cli) -> dict[str, dict[str, object]]:
    return {device["name"]: device for device in cli.json("device", "list").one()["devices"]}


def texts(cli: Cli) -> list[str]:
    return [value["text"] for value in cli.json("timeline").lines()]


def revoke(cli: Cli, *arguments: str) -> None:
    said = cli.json("device", "revoke", *arguments, "--words-from", words_of(cli), "--yes")
    assert said.code == 0, said


def rotate(cli: Cli, *arguments: str) -> dict[str, dict[str, object]]:
    """The new table by names."""
    said = cli.json("rotate", "--words-from", words_of(cli), "--yes", *arguments)
    assert said.code == 0, said
    return {row["name"]: row for row in said.one()["devices"]}


# -- list, request, add


def test_this_device_stands_first_in_the_list(ann: Cli, phone: Cli, tmp_path: Path) -> None:
    for cli, names in ((ann, ["Ann", "phone"]), (phone, ["phone", "Ann"])):
        listed = cli.json("device", "list").one()["devices"]
        assert [device["name"] for device in listed] == names
        assert [device["this"] for device in listed] == [True, False]
        assert all(set(device) == DEVICE_KEYS for device in listed)
    people = ann("device", "list").out
    assert people.startswith("Ann (this device) · k")
    assert "open, added since the last rotate\n  3 records, last seen 20" in people

    other = ann.at(tmp_path / "other")
    found_account(Config(other.home), "Ben")
    carry(ann, other, tmp_path)
    account = ann.json("status").one()["account"]
    assert [
        device["name"] for device in other.json("device", "list", "--account", account).one()["devices"]
    ] == ["Ann", "phone"]  # fmt: skip


def test_a_new_machine_prints_its_code_and_nothing_else_on_its_output(cli: Cli) -> None:
    said = cli("device", "request", "--name", "phone", "--no-passphrase")
    assert said.code == 0
    request = parse_request(said.out, "main")
    assert (request.name, said.out.count("\n")) == ("phone", 1)
    assert "unhush device add CODE" in said.err
    again = cli.json("device", "request", "--name", "tablet").one()
    assert (again["key"], again["name"]) == (str(request.key), "tablet")


def test_the_key_of_a_new_machine_can_be_sealed_from_the_start(cli: Cli, tmp_path: Path) -> None:
    file = private(tmp_path / "passphrase", "correct horse")
    assert cli.json("device", "request", "--name", "phone", "--passphrase-file", file).code == 0
    assert cli.json("device", "request", "--name", "phone").code == 4
    assert cli.json("device", "request", "--name", "phone", "--passphrase-file", file).code == 0

    tablet = cli.at(tmp_path / "tablet")
    with terminal(tablet.home, "device", "request", "--name", "tablet") as person:
        person.answer("A new passphrase", "typed here")
        person.answer("The same again", "typed here")
        person.expect("unhush-device-")
        assert person.end() == 0
    assert tablet.json("device", "request", "--name", "tablet").code == 4


@pytest.mark.parametrize("name", ["", " ", "x" * 65])
def test_a_name_that_no_device_can_have_makes_no_key(cli: Cli, name: str) -> None:
    said = cli.json("device", "request", "--name", name)
    assert (said.code, said.out, cli.home.exists()) == (2, "", False)


def test_a_home_that_speaks_for_an_account_asks_for_no_other(ann: Cli) -> None:
    before = bytes_of(ann.home)
    said = ann.json("device", "request", "--name", "phone")
    assert (said.code, said.out, bytes_of(ann.home) == before) == (1, "", True)
    assert "speaks for an account already" in said.err


def test_a_device_is_added_by_its_code_once(ann: Cli, tmp_path: Path) -> None:
    code = ann.at(tmp_path / "phone").json("device", "request", "--name", "phone").lines()[0]["code"]

    value = ann.json("device", "add", code, "--words-from", words_of(ann)).one()
    assert (value["name"], value["state"], value["added"]) == ("phone", "open", True)
    before = bytes_of(ann.home)
    again = ann.json("device", "add", code, "--words-from", words_of(ann))
    assert (again.code, again.err) == (1, "unhush: this device is listed already\n")
    assert bytes_of(ann.home) == before


def test_the_next_step_of_an_added_device_is_said(ann: Cli, tmp_path: Path) -> None:
    code = ann.at(tmp_path / "phone").json("device", "request", "--name", "phone").lines()[0]["code"]
    account = ann.json("status").one()["account"]
    said = ann("device", "add", code, "--words-from", "-", given=Path(words_of(ann)).read_bytes())
    assert (said.code, said.out.endswith(f"unhush device join {account}\n")) == (0, True)


def test_a_frozen_account_says_why_it_adds_nobody(ann: Cli, tmp_path: Path) -> None:
    code = ann.at(tmp_path / "phone").json("device", "request", "--name", "phone").lines()[0]["code"]
    ann("identity", "freeze", "--words-from", words_of(ann))
    said = ann.json("device", "add", code, "--words-from", words_of(ann))
    assert (said.code, "frozen" in said.err, said.err.count("\n")) == (1, True, 1)


def test_the_kept_root_key_adds_without_words(ann: Cli, tmp_path: Path) -> None:
    file = seal(ann, tmp_path)
    assert ann("id", "root", "keep", "--words-from", words_of(ann), "--passphrase-file", file).code == 0
    code = ann.at(tmp_path / "phone").json("device", "request", "--name", "phone").lines()[0]["code"]
    assert ann.json("device", "add", code).code == 4
    assert ann.json("device", "add", code, "--passphrase-file", file).one()["state"] == "open"


# -- revoke


def test_what_a_revoke_keeps_and_hides_is_shown_and_asked_for(ann: Cli, phone: Cli) -> None:
    two = ann.json("timeline").lines()[1]["id"]
    before = bytes_of(ann.home)

    said = ann("device", "revoke", "phone", "--cut", two, "--words-from", words_of(ann))

    assert (said.code, said.out, bytes_of(ann.home) == before) == (2, "", True)
    kept, _, lost = said.err.partition("1 record will be hidden")
    assert [text in kept for text in ("  one", "  two", "  three")] == [True, True, False]
    assert "  three" in lost
    assert "--yes" in lost


@pytest.mark.parametrize(
    ("place", "state", "left"),
    [("last-seen", "cut", ["three", "two", "one"]), ("nothing", "void", []), (None, "cut", ["three", "two", "one"])],
)
def test_a_device_is_revoked_where_one_says(
    ann: Cli, phone: Cli, tmp_path: Path, *, place: str | None, state: str, left: list[str]
) -> None:
    cut = ["--cut", place] if place else []
    value = ann.json("device", "revoke", "phone", *cut, "--words-from", words_of(ann), "--yes").one()
    assert (value["state"], value["hidden"], texts(ann)) == (state, 3 - len(left), left)

    post(phone, "four")
    carry(phone, ann, tmp_path)
    assert texts(ann) == left
    assert ann.json("status").one()["cut_devices"] == 1
    assert "1 device was cut off" in ann("profile", "show").out


def test_a_record_that_went_is_said_to_be_void_and_never_shown(ann: Cli, phone: Cli) -> None:
    three, two, _ = (value["id"] for value in ann.json("timeline").lines())
    revoke(ann, "phone", "--cut", two)

    assert texts(ann) == ["two", "one"]
    value = ann.json("show", three).one()
    assert (value["standing"], value["text"]) == ("void", "")
    assert "(void:" in ann("show", three).out
    assert "three" not in ann("show", three).out
    assert ann.json("show", two).one()["standing"] == "in force"
    later = ann.json("device", "revoke", "phone", "--words-from", words_of(ann), "--yes")
    assert (later.code, "cut off at an earlier place already" in later.err) == (1, True)


def test_a_device_is_named_by_name_or_key(ann: Cli, phone: Cli) -> None:
    key = str(devices(ann)["phone"]["key"])
    for name, code in (("nobody", 3), ("", 3), ("k", 3), ("phone", 2), (key, 2), (key[:9], 2)):
        assert ann.json("device", "revoke", name, "--words-from", words_of(ann)).code == code, name
    assert ann.json("device", "revoke", "phone", "--cut", "nonsense", "--yes").code == 2
    own = ann.json("post", "x").one()["id"]
    assert ann.json("device", "revoke", "phone", "--cut", own, "--yes").code == 3
    revoke(ann, key[:9])


def test_a_person_says_yes_or_no_to_a_revoke(ann: Cli, phone: Cli) -> None:
    before = bytes_of(ann.home)
    with terminal(ann.home, "device", "revoke", "phone", "--cut", "nothing", "--words-from", words_of(ann)) as person:
        person.answer(r"Go on with what this machine has seen\? \[y/N\]", "y")
        person.expect("3 records will be hidden")
        person.answer(r"Revoke it there\? \[y/N\]", "n")
        assert person.end() == 1
    assert bytes_of(ann.home) == before
    with terminal(ann.home, "device", "revoke", "phone", "--cut", "nothing", "--unsynced") as person:
        person.answer(r"Revoke it there\? \[y/N\]", "y")
        person.answer("Your 24 words", Path(words_of(ann)).read_text().strip())
        assert person.end() == 0
    assert texts(ann) == []


@pytest.mark.parametrize(
    "command", [["device", "revoke", "phone"], ["rotate", "--keep", "phone"]], ids=lambda each: each[0]
)
def test_without_anybody_to_ask_for_the_newest_state_a_program_must_say_so(
    ann: Cli, phone: Cli, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_node: Node, _timeout_s: float) -> bool:
        raise NetworkFailed("no port")

    before = bytes_of(ann.home)
    for sync in (lambda _node, _timeout_s: False, fails):
        monkeypatch.setattr(Node, "sync_own", sync)
        said = ann.json(*command, "--words-from", words_of(ann), "--yes")
        assert (said.code, said.out, bytes_of(ann.home) == before) == (1, "", True)
        assert "No peer could be asked" in said.err
        assert "--unsynced" in said.err
    assert ann.json(*command, "--words-from", words_of(ann), "--yes", "--unsynced").code == 0


# -- renew


def test_a_renewed_device_writes_on_under_its_name(ann: Cli) -> None:
    post(ann, "before")
    value = ann.json("device", "renew", "--words-from", words_of(ann)).one()
    assert (value["name"], value["this"], value["state"]) == ("Ann", True, "open")
    assert value["rewritten"] >= 1
    post(ann, "after")
    assert texts(ann) == ["after", "before"]
    assert ann.json("id", "show").one()["device"]["key"] == value["key"] != value["before"]
    revoke(ann, value["before"], "--cut", "nothing")
    assert texts(ann) == ["after", "before"]


def test_a_renewed_device_may_have_another_name(ann: Cli) -> None:
    assert ann.json("device", "renew", "--name", "desk", "--words-from", words_of(ann)).one()["name"] == "desk"
    assert ann.json("device", "renew", "--name", "x" * 65, "--words-from", words_of(ann)).code == 2


# -- rotate


def test_a_rotate_without_a_choice_changes_nothing_but_the_keys(ann: Cli) -> None:
    before = ann.json("id", "show").one()
    post(ann, "hello")
    rows = rotate(ann)
    after = ann.json("id", "show").one()
    assert (after["generation"], after["account"], after["root"] == before["root"]) == (1, before["account"], False)
    assert (rows["Ann"]["state"], rows["Ann"]["this"], texts(ann)) == ("open", True, ["hello"])
    post(ann, "again")


def test_a_device_that_was_added_needs_a_word_of_its_own(ann: Cli, phone: Cli) -> None:
    before = bytes_of(ann.home)
    said = ann.json("rotate", "--words-from", words_of(ann), "--yes")
    assert (said.code, said.out, bytes_of(ann.home) == before) == (2, "", True)
    assert "--keep k" in said.err
    assert "--drop k" in said.err
    assert rotate(ann, "--keep", "phone")["phone"] == {
        "key": devices(ann)["phone"]["key"],
        "name": "phone",
        "state": "open",
        "cut": None,
        "this": False,
        "added": True,
        "stays": 3,
        "goes": 0,
        "returns": 0,
    }
    rotate(ann)  # from now on it stands in a table
    assert devices(ann)["phone"]["state"] == "open"


def test_a_dropped_device_goes_with_all_it_wrote_and_may_come_back(ann: Cli, phone: Cli) -> None:
    row = rotate(ann, "--drop", "phone")["phone"]
    assert (row["state"], row["stays"], row["goes"], texts(ann)) == ("unlisted", 0, 3, [])
    assert devices(ann).keys() == {"Ann", ""}
    key = str(devices(ann)[""]["key"])
    row = rotate(ann, "--keep", key)[""]
    assert (row["state"], row["returns"], texts(ann)) == ("open", 3, ["three", "two", "one"])


def test_a_device_is_cut_in_a_rotate(ann: Cli, phone: Cli) -> None:
    two = ann.json("timeline").lines()[1]["id"]
    row = rotate(ann, "--cut", f"phone={two}")["phone"]
    assert (row["state"], row["cut"], row["stays"], row["goes"]) == ("cut", {"seq": 1, "entry": two}, 2, 1)
    assert texts(ann) == ["two", "one"]
    assert rotate(ann, "--cut", "phone=nothing")["phone"]["state"] == "void"
    assert texts(ann) == []


def test_choices_that_cannot_be_change_nothing(ann: Cli, phone: Cli) -> None:
    before = bytes_of(ann.home)
    for choice, code in (
        (["--keep", "phone", "--drop", "phone"], 2),
        (["--drop", "Ann", "--keep", "phone"], 2),
        (["--cut", "Ann=nothing", "--keep", "phone"], 2),
        (["--cut", "phone"], 2),
        (["--cut", "phone=nonsense"], 2),
        (["--keep", "nobody"], 3),
    ):
        said = ann.json("rotate", *choice, "--words-from", words_of(ann), "--yes")
        assert (said.code, said.out) == (code, ""), choice
    said = ann.json("rotate", "--keep", "phone", "--yes")
    assert (said.code, "--words-from FILE" in said.err) == (4, True)
    said = ann.json("rotate", "--keep", "phone", "--words-from", words_of(ann))
    assert (said.code, "The table of generation 1" in said.err, "--yes" in said.err) == (2, True, True)
    assert bytes_of(ann.home) == before


def test_a_closed_table_adds_nobody(ann: Cli, tmp_path: Path) -> None:
    rotate(ann, "--close")
    assert ann.json("id", "show").one()["closed"] is True
    assert "closed" in ann("id", "show").out
    code = ann.at(tmp_path / "phone").json("device", "request", "--name", "phone").lines()[0]["code"]
    said = ann.json("device", "add", code, "--words-from", words_of(ann))
    assert (said.code, "closed" in said.err) == (1, True)
    rotate(ann)
    assert ann.json("device", "add", code, "--words-from", words_of(ann)).code == 0


@pytest.mark.parametrize(("answer", "state", "left"), [("keep", "open", 3), ("cut", "cut", 3), ("drop", "unlisted", 0)])
def test_a_person_decides_on_each_added_device_and_then_on_all(
    ann: Cli, phone: Cli, answer: str, state: str, left: int
) -> None:
    with terminal(ann.home, "rotate") as person:
        person.answer(r"Go on with what this machine has seen\?", "y")
        person.expect("Added since the last rotate:\nphone · k")
        person.answer(r"\(keep, cut, drop\)", answer)
        person.expect(r"The table of generation 1:\n  Ann k\w+ \(this device\) stays open")
        person.expect(r"phone k\w+ \(added since the last rotate\)")
        person.answer(r"Rotate to this table\? \[y/N\]", "y")
        person.answer("Your 24 words", Path(words_of(ann)).read_text().strip())
        assert person.end() == 0
    value = ann.json("id", "show").one()
    assert value["generation"] == 1
    key = str(phone.json("id", "show").one()["device"]["key"])
    (device,) = (device for device in ann.json("device", "list").one()["devices"] if device["key"] == key)
    assert (device["state"], len(texts(ann))) == (state, left)


def test_a_kept_root_key_follows_the_rotation(ann: Cli, tmp_path: Path) -> None:
    file = seal(ann, tmp_path)
    assert ann("id", "root", "keep", "--words-from", words_of(ann), "--passphrase-file", file).code == 0
    before = bytes_of(ann.home)
    refused = ann.json("rotate", "--words-from", words_of(ann), "--yes")
    assert (refused.code, bytes_of(ann.home) == before) == (4, True)
    rotate(ann, "--passphrase-file", file)
    assert ann.json("identity", "freeze", "--passphrase-file", file).code == 0
