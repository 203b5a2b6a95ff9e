"""Lifeboats from the command line: made, checked, taken in."""

import json
from pathlib import Path

import pytest
from tests.cli.conftest import Cli
from tests.support.lifeboats import Frames, change_a_letter, write_again

from unhush.node.lifeboat.form import RecordFrame


@pytest.fixture
def file(ann: Cli, tmp_path: Path) -> Path:
    """A lifeboat of Ann, who has written one post."""
    file = tmp_path / "ann.html"
    ann("post", "post number 7, from the ferry")
    assert ann.json("export", "lifeboat", str(file)).one()["records"] == 3
    return file


def test_a_lifeboat_is_made_checked_and_taken_in_by_a_home_without_account(
    ann: Cli, file: Path, tmp_path: Path
) -> None:
    account = ann.json("id", "show").one()["account"]

    nowhere = ann.at(tmp_path / "nowhere")
    checked = nowhere.json("verify", str(file)).one()
    assert (checked["kind"], checked["ok"], checked["account"]) == ("lifeboat", True, account)
    assert (checked["checked"], checked["records"]) == (3, 3)
    assert checked["program"]["known"] is True
    assert not nowhere.home.exists()

    said = nowhere("verify", str(file))
    assert said.code == 0
    assert "3 of 3 records hold" in said.out
    assert said.err == ""

    bob = ann.at(tmp_path / "bob")
    taken = bob.json("import", "lifeboat", str(file)).one()
    assert (taken["account"], taken["stored"], taken["refused"]) == (account, 3, 0)
    assert f"unhush keep {account}" in bob("import", "lifeboat", str(file)).err
    assert bob.json("export", "lifeboat", str(tmp_path / "on.html"), "--account", account).one()["records"] == 3


def test_a_changed_file_ends_with_code_6_and_says_what_was_changed(ann: Cli, file: Path, tmp_path: Path) -> None:
    changed = write_again(file, tmp_path / "changed.html", change_a_letter)

    said = ann("verify", str(changed))
    assert said.code == 6
    assert "not what was signed: 2 of 3 records passed" in said.out
    assert "record 3: its words are not the ones that were signed" in said.err

    (value,) = ann.json("verify", str(changed)).lines()
    assert [problem["check"] for problem in value["problems"]] == ["body"]

    bob = ann.at(tmp_path / "bob")
    taken = bob.json("import", "lifeboat", str(changed))
    assert taken.code == 6
    assert json.loads(taken.out)["refused"] == 1
    assert "unhush verify" in taken.err


def test_of_an_account_of_which_nothing_came_nobody_is_told_to_carry_it(ann: Cli, file: Path, tmp_path: Path) -> None:

    def drop_operations(frames: Frames) -> Frames:
        return [each for each in frames if not (isinstance(each, RecordFrame) and each.place == "operation")]

    changed = write_again(file, tmp_path / "changed.html", drop_operations)

    said = ann.at(tmp_path / "bob")("import", "lifeboat", str(changed))

    assert (said.code, said.out.startswith("0 records are new here")) == (6, True), said
    assert "unhush keep" not in said.err


def test_an_unknown_program_in_a_file_is_a_warning(ann: Cli, file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b"<title>", b"<title>My "))

    said = ann("verify", str(file))

    assert said.code == 0
    assert "unknown program" in said.err
    assert ann("verify", str(file), "--strict").code == 6
    assert ann("verify", "--strict").code == 2


def test_a_file_is_not_written_over_unless_that_is_said(ann: Cli, file: Path) -> None:
    assert ann("verify", str(file), "--strict").code == 0
    before = file.read_bytes()
    ann("post", "another")

    said = ann("export", "lifeboat", str(file))

    assert (said.code, "--force" in said.err, file.read_bytes() == before) == (1, True, True)
    assert ann.json("export", "lifeboat", str(file), "--force").one()["records"] == 4


def test_words_that_are_not_in_a_file_are_counted(ann: Cli, file: Path, tmp_path: Path) -> None:
    bob = ann.at(tmp_path / "bob")
    account = bob.json("import", "lifeboat", str(file)).one()["account"]
    post = ann.json("timeline").one()["id"]
    assert bob("withhold", post, "--reason", "not here").code == 0
    lesser = tmp_path / "lesser.html"

    said = bob.json("export", "lifeboat", str(lesser), "--account", account)

    assert (json.loads(said.out)["lacking"], json.loads(said.out)["absent"]) == (1, {"withheld": 1})
    assert "1 of 2 are in it with their words; 1 withheld" in said.err
    cleo = ann.at(tmp_path / "cleo")
    assert cleo("import", "lifeboat", str(lesser)).code == 0
    checked = cleo("verify")
    assert "1 body withheld" in checked.out
    assert "taken back" not in checked.out
    assert "(withheld by whoever gave it" in cleo("show", post).out


def test_files_that_cannot_be_checked_are_named(ann: Cli, tmp_path: Path) -> None:
    other = tmp_path / "letter.txt"
    other.write_text("Dear all")

    assert ann("verify", str(other)).code == 6
    assert "no file that can be checked" in ann("verify", str(other)).err
    assert ann("verify", str(tmp_path / "nothing.html")).code == 3
    assert ann("verify", str(other), "--deep").code == 2
    assert ann("import", "lifeboat", str(other)).code == 6
    assert ann("export", "lifeboat", str(tmp_path / "no" / "folder.html")).code == 1
    assert ann("export", "lifeboat", str(tmp_path / "x.html"), "--account", "bafyrei" + "a" * 52).code == 3
