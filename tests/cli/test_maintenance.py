"""Looking after a home from the command line: verify, repair, backup, compact, index rebuild."""

import random
from pathlib import Path

from tests.cli.conftest import Cli
from tests.support.commands import serving
from tests.support.mounts import read_only

from unhush.identity.words import Words
from unhush.node import Config, Node, found_account
from unhush.storage.keyfile import write_private
from unhush.storage.pages import PageFile, Walk

WORDS = Words(bytes(range(32)))


def post_many(cli: Cli, count: int) -> None:
    cli("post", "--lines", given="".join(f"post {number} {'x' * 200}\n" for number in range(count)).encode())


def break_a_page(home: Path) -> None:
    """Overwrite the root of the journal."""
    walk = Walk()
    with PageFile(home / "store") as file:
        root = file.tables(walk)[b"journal"].root
    with (home / "store" / "data.mdb").open("r+b") as data:
        data.seek(root * 4096 + 16)
        data.write(random.Random(1).randbytes(4080))


def test_a_broken_database_is_said_to_be_broken_and_repaired(ann: Cli) -> None:
    post_many(ann, 60)
    assert ann("verify", "--deep").code == 0
    break_a_page(ann.home)

    said = ann("verify")
    assert (said.code, said.out) == (6, "")
    assert "is damaged" in said.err
    assert "unhush verify --repair" in said.err

    mended = ann.json("verify", "--repair")
    assert mended.code == 0, mended
    (value,) = mended.lines()
    assert (value["repaired"], value["entries"], value["bad"]) == (True, 62, 0)
    assert Path(str(value["damaged_database"])).exists()
    assert ann("verify", "--deep").code == 0
    assert len(ann.json("timeline", "--limit", "100").lines()) >= 1
    assert ann("post", "life goes on").code == 0
    assert "Nothing wanted repair" in ann("verify", "--repair").out


def test_a_backup_makes_a_home_that_reads_and_has_no_key(ann: Cli, tmp_path: Path) -> None:
    post_many(ann, 3)
    file = tmp_path / "ann.tar"

    made = ann.json("backup", str(file)).one()
    assert (made["file"], made["blobs"]) == (str(file), 0)
    assert ann.json("backup", str(file)).code == 1

    other = ann.at(tmp_path / "other")
    assert other.json("import", "backup", str(file)).one()["blobs"] == 0
    assert other("timeline").out == ann("timeline").out.replace(" · on this device only", " · kept by nobody yet")
    assert other("verify", "--deep").code == 0
    refused = other("post", "x")
    assert refused.code == 4
    assert "this home has no key; to write again: unhush restore, or unhush device join" in refused.err
    assert "this home has no key" in str(other.json("status").one()["problem"])
    assert other("import", "backup", str(file)).code == 1
    (tmp_path / "bad.tar").write_bytes(file.read_bytes()[:5_000])
    assert ann.at(tmp_path / "third")("import", "backup", str(tmp_path / "bad.tar")).code == 6


def test_a_home_without_a_key_runs_and_the_words_alone_give_it_one(ann: Cli, tmp_path: Path) -> None:
    words = tmp_path / "words"
    made = found_account(Config(tmp_path / "ben"), "Ben", words=WORDS)
    write_private(words, WORDS.text().encode())
    ben = ann.at(tmp_path / "ben")
    post_many(ben, 3)
    ben("backup", str(tmp_path / "ben.tar"))
    other = ann.at(tmp_path / "other")
    other("import", "backup", str(tmp_path / "ben.tar"))

    with serving(other.home) as running:
        assert "/tcp/" in running.address
    restored = other.json("restore", "--words-from", str(words), "--no-passphrase").one()

    assert (restored["account"], restored["complete"]) == (str(made.account), True)
    assert other("post", "with a new key").code == 0
    assert other.json("status").one()["problem"] is None
    assert other("verify", "--deep").code == 0
    assert restored["device"]["name"] == "restored"

    other("backup", str(tmp_path / "other.tar"))
    third = ann.at(tmp_path / "third")
    third("import", "backup", str(tmp_path / "other.tar"))
    again = third.json("restore", "--words-from", str(words), "--no-passphrase").one()
    assert again["device"]["name"] == "restored 2"


def test_what_needs_a_home_to_itself_is_refused_while_it_is_open(ann: Cli) -> None:
    post_many(ann, 3)
    with Node.open(ann.home):
        assert ann("compact").code == 1
        assert "close its Node first" in ann("verify", "--repair").err

    done = ann.json("compact").one()
    assert done["bytes_after"] <= done["bytes_before"]
    assert ann.json("index", "rebuild").one()["shown"] > 3


def test_a_home_that_cannot_be_written_is_read_by_every_command_that_only_reads(ann: Cli, tmp_path: Path) -> None:
    post_many(ann, 3)
    before = ann("timeline").out
    ann.home.chmod(0o755)  # and cannot be made private either

    with read_only(ann.home):
        assert ann("timeline").out == before
        for arguments in (
            ["status"],
            ["verify", "--deep"],
            ["export", "car", str(tmp_path / "ann.car")],
            ["id", "show"],
        ):
            assert ann(*arguments).code == 0, arguments
        for arguments in (["post", "x"], ["compact"], ["peers", "add", PEER]):
            said = ann(*arguments)
            assert (said.code, said.out) == (1, ""), arguments
            assert "cannot be written" in said.err, arguments


PEER = "/ip4/192.0.2.7/tcp/4470/p2p/12D3KooWDVXAgaXUS79ZjYXeqaH2XbvSduWZULv1HPHAUbdR7ki9"
