"""Homes on the command line: their words and passphrases as files, their bytes, several homes of one account."""

import hashlib
from pathlib import Path

from tests.cli.conftest import Cli

from unhush.identity.cid import parse_cid
from unhush.node import Config, Node

PASSPHRASE = "correct horse battery"


def private(path: Path, text: str) -> str:
    """A file that only its owner can read; its path as an argument."""
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


def words_of(cli: Cli) -> str:
    """The file in which the words of this home wait, as an argument."""
    return str(cli.home / "words.txt")


def bytes_of(home: Path) -> dict[str, str]:
    """Every file of a home by its hash; LMDB's lock file and sockets are no state."""
    return {
        str(path.relative_to(home)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(home.rglob("*"))
        if path.is_file() and path.name != "lock.mdb"
    }


def seal(cli: Cli, folder: Path) -> str:
    """Seal the keys of a home; the passphrase file as an argument."""
    file = private(folder / "passphrase.txt", PASSPHRASE + "\n")
    said = cli.json("id", "passphrase", "--new-passphrase-file", file)
    assert said.code == 0, said
    return file


def second_device(cli: Cli, folder: Path, name: str = "phone") -> Cli:
    """Another home of the same account, which has what the first has."""
    other = cli.at(folder / name)
    code = other.json("device", "request", "--name", name, "--no-passphrase").one()["code"]
    assert cli.json("device", "add", code, "--words-from", words_of(cli)).code == 0
    carry(cli, other, folder)
    account = parse_cid(cli.json("id", "show").one()["account"])
    with Node(Config(other.home)) as node:
        node._store.adopt_account(account, node.device())
    return other


def carry(source: Cli, target: Cli, folder: Path) -> None:
    """What one home has of the account, into another, without a network."""
    car = folder / "carried.car"
    assert source.json("export", "car", str(car), "--force").code == 0
    assert target.json("import", "car", str(car)).code in (0, 6)  # what the account no longer wants is refused


def post(cli: Cli, *arguments: str) -> str:
    """Its id."""
    return str(cli.json("post", *arguments).one()["id"])
