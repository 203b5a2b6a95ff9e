"""``init``, ``id`` and ``identity``: the words reach paper, the seal is what was chosen, and what stands is told."""

import re
from pathlib import Path

import pytest
from tests.cli.conftest import Cli
from tests.cli.homes import PASSPHRASE, bytes_of, carry, private, seal, words_of
from tests.cli.terminal import Terminal, terminal

from unhush.identity.words import Words, parse_words
from unhush.node import Config, Node
from unhush.storage.keyfile import read_public

STRANGER = Words(bytes(range(32)))
IDENTITY_KEYS = {
    "account", "name", "fingerprint", "generation", "table", "root", "closed", "device", "sealed", "keeps_root",
    "root_problem", "alarms", "complete", "problem", "words_waiting",
}  # fmt: skip


def is_sealed(cli: Cli) -> bool:
    return read_public(cli.home / "device.key", "device").is_sealed


def copy_of_words(cli: Cli, folder: Path) -> str:
    return private(folder / "paper.txt", Path(words_of(cli)).read_text())


# -- init without a terminal


def test_init_without_a_word_about_a_passphrase_says_that_nothing_is_sealed(cli: Cli) -> None:
    said = cli.json("init", "--name", "Ann")
    assert said.code == 0
    assert "not sealed with a passphrase; to seal it: unhush id passphrase" in said.err
    assert not is_sealed(cli)


def test_init_seals_with_the_passphrase_of_a_file(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = private(tmp_path / "passphrase.txt", PASSPHRASE)
    said = cli.json("init", "--name", "Ann", "--passphrase-file", file)
    assert (said.code, is_sealed(cli), "sealed" in said.err) == (0, True, False)
    assert cli.json("post", "x").code == 4
    assert cli.json("post", "x", "--passphrase-file", file).code == 0

    monkeypatch.setenv("UNHUSH_PASSPHRASE_FILE", file)
    other = cli.at(tmp_path / "other")
    assert other.json("init", "--name", "Ben").code == 0
    assert is_sealed(other)


def test_init_is_told_that_nothing_is_to_be_sealed(cli: Cli) -> None:
    said = cli.json("init", "--name", "Ann", "--no-passphrase")
    assert (said.code, is_sealed(cli), "passphrase" in said.err) == (0, False, False)


def test_init_keeps_the_root_key_sealed_or_not_at_all(cli: Cli, tmp_path: Path) -> None:
    said = cli.json("init", "--name", "Ann", "--keep-root-key")
    assert (said.code, "sealed or not at all" in said.err) == (2, True)
    assert cli.json("status").one()["account"] is None

    file = private(tmp_path / "passphrase.txt", PASSPHRASE)
    assert cli.json("init", "--name", "Ann", "--keep-root-key", "--passphrase-file", file).code == 0
    assert cli.json("id", "show").one()["keeps_root"] is True
    assert read_public(cli.home / "root.key", "root").is_sealed


def test_a_passphrase_and_none_exclude_each_other(cli: Cli, tmp_path: Path) -> None:
    file = private(tmp_path / "passphrase.txt", PASSPHRASE)
    assert cli.json("init", "--name", "Ann", "--passphrase-file", file, "--no-passphrase").code == 2
    assert cli.json("status").one()["account"] is None


# -- init with a person


def read_words(person: Terminal) -> list[str]:
    person.expect("Write them on paper")
    person.expect(r"24\. +[a-z]+")
    return re.findall(r"\d+\. +([a-z]+)", person.shown)


def answer_three(person: Terminal, words: list[str], *, wrong: bool = False) -> None:
    for number in range(3):
        position = int(person.expect(r"Word (\d+): ")[1])
        person.type("wrong" if wrong and number == 2 else words[position - 1].upper() + " ")


def test_init_shows_the_words_once_checks_three_and_writes_none(tmp_path: Path) -> None:
    home = tmp_path / "ann"
    with terminal(home, "init", "--name", "Ann") as person:
        person.answer("A new passphrase", PASSPHRASE)
        person.answer("The same again", PASSPHRASE)
        person.answer(r"Keep the root key on this machine\? \[y/N\]", "y")
        words = read_words(person)
        person.answer("press Enter", "")
        answer_three(person, words)
        person.expect("Ann, your account is")
        assert person.end() == 0

    assert parse_words(" ".join(words)).root(0).public == read_public(home / "root.key", "root").public
    assert PASSPHRASE not in person.shown
    # They stood on a screen of their own, which is gone when the questions come.
    before, entered, rest = person.shown.partition("\x1b[?1049h")
    screen, left, after = rest.partition("\x1b[?1049l")
    assert entered
    assert left
    assert words[0] in screen
    assert not re.search(r"\d+\. +[a-z]+", before + after)
    assert {path.name for path in home.iterdir()} == {"device.key", "root.key", "store"}
    everything = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert " ".join(words[:3]).encode() not in everything
    assert PASSPHRASE.encode() not in everything


@pytest.mark.parametrize("answer", ["", "wrong"])
def test_whoever_does_not_have_the_words_finds_them_waiting(cli: Cli, answer: str) -> None:
    with terminal(cli.home, "init", "--name", "Ann") as person:
        person.answer("A new passphrase", "")
        person.expect("not sealed with a passphrase")
        words = read_words(person)
        person.answer("press Enter", "")
        person.answer(r"Word \d+: ", answer)
        person.expect(r"words wait in .*words\.txt.* id check")
        assert person.end() == 0

    assert Path(words_of(cli)).read_text().split() == words
    assert cli.json("status").one()["words_waiting"] == words_of(cli)
    assert not is_sealed(cli)


def test_a_person_who_stops_in_the_middle_has_made_nothing(cli: Cli) -> None:
    with terminal(cli.home, "init", "--name", "Ann") as person:
        person.answer("A new passphrase", "")
        read_words(person)
        person.type("\x03")
        assert person.end() == 1
    assert person.shown.count("\x1b[?1049h") == person.shown.count("\x1b[?1049l")
    assert cli.json("status").one()["account"] is None
    assert not (cli.home / "device.key").exists()


def test_two_different_passphrases_are_asked_for_again(cli: Cli) -> None:
    with terminal(cli.home, "init", "--name", "Ann", "--words-to", str(cli.home.parent / "safe.txt")) as person:
        person.answer("A new passphrase", PASSPHRASE)
        person.answer("The same again", "something else")
        person.expect("not the same")
        person.answer("A new passphrase", PASSPHRASE)
        person.answer("The same again", PASSPHRASE)
        person.answer(r"Keep the root key", "")
        assert person.end() == 0
    assert is_sealed(cli)
    assert cli.json("id", "show").one()["keeps_root"] is False
    assert len((cli.home.parent / "safe.txt").read_text().split()) == 24


def test_a_home_with_an_account_asks_nothing(ann: Cli) -> None:
    with terminal(ann.home, "init", "--name", "Eve") as person:
        assert person.end() == 1
    assert "assphrase" not in person.shown
    assert "has an account already" in person.shown


# -- id show


def test_the_account_is_shown_with_its_fingerprint_and_this_device(ann: Cli) -> None:
    value = ann.json("id", "show").one()
    assert set(value) == IDENTITY_KEYS
    assert len(value["fingerprint"]) == 8
    assert (value["generation"], value["alarms"], value["closed"], value["sealed"]) == (0, [], False, False)
    assert (value["device"]["this"], value["device"]["state"]) == (True, "open")
    people = ann("id", "show").out
    assert value["account"] in people
    assert " ".join(value["fingerprint"]) in people
    assert "once on paper: unhush id check" in people


def test_the_qr_code_is_for_people_only(ann: Cli) -> None:
    plain, drawn = ann("id", "show").out, ann("id", "show", "--qr").out
    assert drawn.startswith(plain.rstrip("\n"))
    assert drawn.count("█") > 100
    assert ann.json("id", "show", "--qr").one() == ann.json("id", "show").one()


# -- id check


def test_three_words_from_paper_end_the_waiting_file(ann: Cli) -> None:
    words = Path(words_of(ann)).read_text().split()
    with terminal(ann.home, "id", "check") as person:
        answer_three(person, words)
        person.expect("was overwritten and removed")
        assert person.end() == 0
    assert not Path(words_of(ann)).exists()
    assert ann.json("status").one()["words_waiting"] is None


def test_a_wrong_word_erases_nothing(ann: Cli) -> None:
    before = bytes_of(ann.home)
    with terminal(ann.home, "id", "check") as person:
        answer_three(person, Path(words_of(ann)).read_text().split(), wrong=True)
        assert person.end() == 4
    assert re.search(r"unhush: word \d+ is another one; nothing was erased", person.shown)
    assert bytes_of(ann.home) == before


def test_all_the_words_end_the_waiting_file_too(ann: Cli, tmp_path: Path) -> None:
    copy = copy_of_words(ann, tmp_path)
    assert ann.json("id", "check", "--words-from", copy).lines() == [{"words": "right", "erased": words_of(ann)}]
    assert not Path(words_of(ann)).exists()
    assert Path(copy).exists()
    assert ann.json("id", "check", "--words-from", copy).one() == {"words": "right", "erased": None}
    given = Path(copy).read_bytes()
    assert ann.json("id", "check", "--words-from", "-", given=given).one()["words"] == "right"
    with terminal(ann.home, "id", "check") as person:
        person.answer("Your 24 words", Path(copy).read_text().strip())
        assert person.end() == 0


def test_the_waiting_file_does_not_prove_that_a_paper_exists(ann: Cli) -> None:
    before = bytes_of(ann.home)
    said = ann.json("id", "check", "--words-from", words_of(ann))
    assert (said.code, said.out, bytes_of(ann.home) == before) == (2, "", True)


@pytest.mark.parametrize("words", ["", "abandon " * 24, STRANGER.text()], ids=["none", "checksum", "stranger"])
def test_words_that_are_not_this_accounts_erase_nothing(ann: Cli, tmp_path: Path, words: str) -> None:
    before = bytes_of(ann.home)
    for arguments, given in (["--words-from", private(tmp_path / "given", words)], b""), (["--words-from", "-"], words):
        said = ann.json("id", "check", *arguments, given=given.encode() if isinstance(given, str) else given)
        assert (said.code, said.out) == (4, "")
        assert said.err.count("\n") == 1
    assert bytes_of(ann.home) == before


def test_a_waiting_file_with_other_words_is_not_trusted(ann: Cli) -> None:
    private(Path(words_of(ann)), STRANGER.text())
    with terminal(ann.home, "id", "check") as person:
        assert person.end() == 4
    assert "the words of another account" in person.shown
    assert Path(words_of(ann)).exists()


def test_nobody_can_be_asked_for_three_words_without_a_terminal(ann: Cli) -> None:
    said = ann.json("id", "check")
    assert (said.code, said.out) == (4, "")
    assert "--words-from FILE" in said.err


# -- id passphrase


def test_a_passphrase_is_set_changed_and_taken_off(ann: Cli, tmp_path: Path) -> None:
    first = private(tmp_path / "first", "first one")
    second = private(tmp_path / "second", "second one")

    said = ann.json("id", "passphrase", "--new-passphrase-file", first)
    assert (said.lines(), is_sealed(ann)) == ([{"sealed": True, "keyring": False}], True)
    assert "unsealed, may survive in freed blocks of the disk" in said.err
    said = ann.json("id", "passphrase", "--passphrase-file", first, "--new-passphrase-file", second)
    assert "sealed with the old passphrase, may survive" in said.err
    assert ann.json("post", "x", "--passphrase-file", first).code == 4
    assert ann.json("post", "x", "--passphrase-file", second).code == 0
    assert ann.json("id", "passphrase", "--passphrase-file", second, "--no-passphrase").one()["sealed"] is False
    assert ann.json("post", "x").code == 0


def test_a_person_types_the_old_passphrase_and_the_new_one_twice(ann: Cli, tmp_path: Path) -> None:
    seal(ann, tmp_path)
    with terminal(ann.home, "id", "passphrase") as person:
        person.answer("Passphrase: ", PASSPHRASE)
        person.answer("The new passphrase: ", "another one")
        person.answer("The same again: ", "another one")
        person.expect("may survive in freed blocks")
        assert person.end() == 0
    assert PASSPHRASE not in person.shown
    assert "another one" not in person.shown
    assert ann.json("post", "x", "--passphrase-file", private(tmp_path / "new", "another one")).code == 0


def test_an_empty_new_passphrase_changes_nothing(ann: Cli, tmp_path: Path) -> None:
    seal(ann, tmp_path)
    before = bytes_of(ann.home)
    with terminal(ann.home, "id", "passphrase") as person:
        person.answer("Passphrase: ", PASSPHRASE)
        person.answer("The new passphrase: ", "")
        assert person.end() == 2
    assert "nothing was changed" in person.shown
    assert bytes_of(ann.home) == before


def test_a_change_that_cannot_be_changes_nothing(ann: Cli, tmp_path: Path) -> None:
    file = seal(ann, tmp_path)
    wrong = private(tmp_path / "wrong", "not it")
    long = private(tmp_path / "long", "x" * 1_025)
    before = bytes_of(ann.home)
    for arguments, code in (
        (["--new-passphrase-file", file], 4),
        (["--new-passphrase-file", file, "--passphrase-file", wrong], 4),
        (["--no-passphrase", "--passphrase-file", wrong], 4),
        (["--new-passphrase-file", str(tmp_path / "none"), "--passphrase-file", file], 4),
        (["--new-passphrase-file", long, "--passphrase-file", file], 4),
        (["--passphrase-file", file], 2),
        (["--new-passphrase-file", file, "--no-passphrase"], 2),
        (["--no-passphrase", "--keyring"], 2),
    ):
        said = ann.json("id", "passphrase", *arguments)
        assert (said.code, said.out) == (code, ""), arguments
    assert bytes_of(ann.home) == before


# -- id root


def test_the_root_key_is_kept_sealed_used_and_forgotten(ann: Cli, tmp_path: Path) -> None:
    file = seal(ann, tmp_path)
    words = words_of(ann)

    assert ann.json("id", "root", "keep", "--words-from", words, "--passphrase-file", file).one() == {
        "keeps_root": True
    }
    assert ann.json("status").one()["keeps_root"] is True
    refused = ann.json("id", "passphrase", "--no-passphrase", "--passphrase-file", file)
    assert (refused.code, "unhush id root forget" in refused.err, is_sealed(ann)) == (4, True, True)
    other = private(tmp_path / "other", "another one")
    assert ann.json("id", "passphrase", "--new-passphrase-file", other, "--passphrase-file", file).code == 0
    assert ann.json("identity", "freeze", "--passphrase-file", other).one() == {"frozen": True, "silenced": []}

    asked = ann.json("id", "root", "forget")
    assert (asked.code, "--yes" in asked.err) == (2, True)
    assert ann.json("id", "root", "forget", "--yes").one() == {"keeps_root": False}
    assert not (ann.home / "root.key").exists()
    assert ann.json("id", "root", "forget", "--yes").code == 4


def test_no_root_key_is_kept_unsealed_or_under_a_typing_error_or_from_other_words(ann: Cli, tmp_path: Path) -> None:
    said = ann.json("id", "root", "keep", "--words-from", words_of(ann))
    assert (said.code, "unhush id passphrase" in said.err) == (4, True)
    file = seal(ann, tmp_path)
    wrong = private(tmp_path / "wrong", "not it")
    assert ann.json("id", "root", "keep", "--words-from", words_of(ann), "--passphrase-file", wrong).code == 4
    stranger = private(tmp_path / "stranger", STRANGER.text())
    assert ann.json("id", "root", "keep", "--words-from", stranger, "--passphrase-file", file).code == 4
    assert not (ann.home / "root.key").exists()


# -- identity


def test_a_freeze_is_an_alarm_that_everybody_hears_of_and_only_the_owner_is_told_to_end(
    ann: Cli, tmp_path: Path
) -> None:
    assert ann.json("identity", "freeze", "--words-from", words_of(ann)).one() == {"frozen": True, "silenced": []}
    again = ann.json("identity", "freeze", "--words-from", words_of(ann))
    assert (again.code, again.err) == (1, "unhush: this account is frozen already; the next rotate ends that\n")

    account = ann.json("status").one()["account"]
    assert ann.json("status").one()["alarms"] == ["frozen"]
    for arguments in (["status"], ["id", "show"], ["identity", "log"], ["profile", "show"]):
        assert re.search("alarm.*the account is frozen.*unhush rotate", ann(*arguments).out), arguments
    other = ann.at(tmp_path / "other")
    carry(ann, other, tmp_path)
    assert other.json("profile", "show", account).one()["alarms"] == ["frozen"]
    for arguments in (["identity", "log", account], ["profile", "show", account]):
        told = other(*arguments).out
        assert "its owner can end that" in told
        assert "unhush rotate" not in told


def test_the_log_names_every_operation_and_what_it_does(ann: Cli) -> None:
    value = ann.json("identity", "log").one()
    assert set(value) == {"account", "generation", "table", "alarms", "operations"}
    (incept,) = value["operations"]
    assert set(incept) == {
        "id", "kind", "time", "signer", "on", "device", "name", "cut", "generation", "counts", "why",
    }  # fmt: skip
    assert (incept["id"], incept["kind"], incept["counts"]) == (value["account"], "identity.incept", True)
    assert "counts: the table that stands" in ann("identity", "log").out

    assert ann.json("identity", "freeze", "--words-from", words_of(ann)).code == 0
    assert [each["kind"] for each in ann.json("identity", "log").one()["operations"]] == [
        "identity.incept",
        "identity.freeze",
    ]
    assert ann.json("rotate", "--words-from", words_of(ann), "--yes", "--unsynced").code == 0
    counts = {each["kind"]: each["counts"] for each in ann.json("identity", "log").one()["operations"]}
    assert counts == {"identity.incept": False, "identity.rotate": True}


def test_a_log_of_somebody_unknown_is_not_found(ann: Cli, tmp_path: Path) -> None:
    with Node(Config(tmp_path / "ben")) as _:
        pass
    stranger = ann.at(tmp_path / "ben")
    assert stranger.json("init", "--name", "Ben").code == 0
    account = stranger.json("status").one()["account"]
    assert ann.json("identity", "log", account).code == 3
    assert ann.json("device", "list", "--account", account).code == 3
    assert ann.json("identity", "log", "nonsense").code == 2
