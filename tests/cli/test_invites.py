"""``invite`` and ``accept`` as people use them: real processes, a terminal, mail that wraps, and what goes wrong."""

import contextlib
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import Cli
from tests.cli.terminal import terminal
from tests.support.commands import Serving, await_until, command, serving, start

from unhush.gossip.proto.invites import Invite, encode_invite
from unhush.identity.cid import cid_of
from unhush.identity.words import fingerprint
from unhush.node import Config, Node, found_account
from unhush.node.config import DEFAULT_PORT

PEER = "12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo"
MARA = cid_of(b"Mara")
LINK = encode_invite(
    Invite(MARA, PEER, (f"/ip4/127.0.0.1/tcp/9/p2p/{PEER}",), bytes(16), 4_000_000_000, "Mara", (cid_of(b"one"),))
)


def make(home: Path) -> Path:
    found_account(Config(home), home.name.title())
    return home


def follows(home: Path) -> list[str]:
    return [json.loads(line)["account"] for line in command("--home", home, "--json", "follows").out.splitlines()]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[Path, Serving]]:
    """Ann's home, and her node in a process of its own."""
    home = make(tmp_path / "ann")
    with serving(home, "--no-lan") as node:
        yield home, node


def invite(home: Path, *options: str) -> dict[str, object]:
    (line,) = command("--home", home, "--json", "invite", *options).lines()
    return line


def test_two_homes_and_one_mail_make_a_mutual_follow(running: tuple[Path, Serving], tmp_path: Path) -> None:
    ann, _ = running
    ben = make(tmp_path / "ben")
    given = invite(ann, "--uses", "2")
    mail = "> " + str(given["text"]).replace("\n", "\n> ") + "\n> -- \n> Ann\n"

    ended = command("--home", ben, "--json", "accept", "-", "--yes", "--wait", "60", given=mail.encode())

    (said,) = ended.lines()
    assert (ended.code, said["state"], said["account"]) == (0, "mutual", given["account"])
    assert said["fingerprint"] == list(fingerprint_of(ann))
    assert follows(ben) == [given["account"]]
    (open_invite,) = command("--home", ann, "--json", "invite", "--list-open").lines()
    assert (open_invite["id"], open_invite["uses"]) == (given["id"], 2)
    assert [person["account"] for person in open_invite["accepted"]] == follows(ann)
    assert command("--home", ann, "--json", "invite", "--cancel", str(given["id"])).code == 0
    assert command("--home", ann, "--json", "invite", "--list-open").lines() == []


def fingerprint_of(home: Path) -> tuple[str, ...]:
    (said,) = command("--home", home, "--json", "id", "show").lines()
    return tuple(said["fingerprint"])


@pytest.mark.long
def test_while_the_inviter_is_away_the_running_node_goes_on_trying(tmp_path: Path) -> None:
    ann, ben = make(tmp_path / "ann"), make(tmp_path / "ben")
    with serving(ann, "--no-lan") as node:
        given, at = invite(ann), node.address.rpartition("/p2p/")[0]
        node.end()
    with serving(ben, "--no-lan"):
        ended = command("--home", ben, "accept", "--yes", "--wait", "0.5", str(given["link"]))
        assert (ended.code, ended.err.count("fingerprint")) == (0, 2)
        assert b"Their node was not reached yet; your node goes on trying, until 20" in ended.out
        with serving(ann, "--no-lan", "--listen", at):
            await_until(lambda: b"mutual" in command("--home", ben, "accept", "--list").out, "Ann's node is told")
        assert len(follows(ann)) == 1


def test_a_person_sees_what_it_does_before_it_is_done_and_may_say_no(ann: Cli) -> None:
    with terminal(ann.home, "accept", "--wait", "0", LINK) as person:
        person.expect("An invite by    Mara")
        person.expect(str(MARA))
        person.expect(" ".join(fingerprint(MARA.digest)))
        person.expect("/ip4/127.0.0.1/tcp/9/p2p/")
        person.expect("It names 1 more")
        person.answer("Accept it", "n")
        assert person.end() == 1
    assert ann.json("follows").lines() == []
    with terminal(ann.home, "accept", "--wait", "0", LINK) as person:
        person.answer("Accept it", "y")
        person.answer("Also follow the person it names", "n")
        person.expect("You follow Mara. Their node was not reached yet; your node tries whenever it runs")
        person.expect(f"unhush unfollow {MARA}")
        assert person.end() == 0
    assert [each["petname"] for each in ann.json("follows").lines()] == ["Mara"]
    assert ann.json("unfollow", str(MARA)).code == 0


@pytest.mark.parametrize(("options", "count"), [([], 2), (["--starter"], 2), (["--no-starter"], 1)])
def test_people_to_begin_with_are_followed_unless_told_not_to(ann: Cli, options: list[str], count: int) -> None:
    said = ann.json("accept", "--yes", "--wait", "0", *options, LINK)
    assert said.code == 0
    assert len(said.lines()[0]["followed"]) == len(ann.json("follows").lines()) == count


def test_a_name_of_ones_own_is_kept(ann: Cli) -> None:
    assert ann.json("accept", "--yes", "--wait", "0", "--petname", "sis", LINK).lines()[0]["petname"] == "sis"


def test_the_text_may_come_in_pieces(ann: Cli) -> None:
    pieces = [LINK[at : at + 60] for at in range(0, len(LINK), 60)]
    assert ann.json("accept", "--yes", "--wait", "0", *pieces).code == 0


def test_what_was_mistyped_is_named_and_nothing_is_done(ann: Cli) -> None:
    for text, why in (
        (LINK[:90] + ("a" if LINK[90] != "a" else "b") + LINK[91:], "mistyped"),
        (LINK[:-9], "cut short"),
        ("hello", "begins with unhush:"),
    ):
        said = ann.json("accept", "--yes", text)
        assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
        assert why in said.err
    assert ann.json("follows").lines() == ann.json("accept", "--list").lines() == []


def test_a_script_that_does_not_say_yes_is_told_how(ann: Cli) -> None:
    said = ann.json("accept", LINK)
    assert (said.code, said.out) == (2, "")
    assert "--yes" in said.err
    assert ann.json("follows").lines() == []


def test_a_home_without_an_account_is_told_to_make_one(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    for arguments in (["accept", "--yes", LINK], ["invite"]):
        said = cli.json(*arguments)
        assert said.code == 3
        assert "unhush init" in said.err


def test_an_invite_needs_a_running_node_and_sensible_options(ann: Cli) -> None:
    said = ann.json("invite")
    assert (said.code, "unhush run" in said.err) == (5, True)
    for options in (
        ["--expires", "soon"],
        ["--expires", "40d"],
        ["--uses", "0"],
        ["--uses", "65"],
        ["--expires", "0m"],
    ):
        assert ann.json("invite", *options).code == 2
    assert ann.json("invite", "--cancel", "nothing").code == 3
    assert "No invite is open" in ann("invite", "--list-open").err
    assert "No invite was accepted here" in ann("accept", "--list").err


def test_people_get_one_line_to_send_and_a_code_to_show(running: tuple[Path, Serving]) -> None:
    ann, _ = running
    said = command("--home", ann, "invite", "--qr", "--expires", "12h", "--address", "/dns/ann.example/tcp/4470")
    lines = said.out.decode().splitlines()
    assert re.fullmatch(r"unhush:[a-z2-7]{200,400}", lines[-1])
    assert sum("█" in line for line in lines) > 20
    assert "Good for one person until" in said.err
    with Node.open(ann) as node, pytest.raises(Exception, match="your own account"):
        node.read_invite(lines[-1])
    loopback = command("--home", ann, "invite")
    assert "no address outside this machine" in loopback.err


def test_an_invite_with_addresses_that_end_with_the_node_says_so(tmp_path: Path) -> None:
    home = make(tmp_path / "ann")
    with socket.socket() as taken:
        with contextlib.suppress(OSError):  # somebody else has it, which is as good
            taken.bind(("0.0.0.0", DEFAULT_PORT))
            taken.listen()
        with start("--home", home, "--json", "run", "--web", "off", "--no-lan") as process:
            try:
                Serving(process)
                said = command("--home", home, "invite")
                assert "The usual port was taken" in said.err
                assert invite(home, "--address", "/dns4/node.example/tcp/4470")["makeshift"] is False
            finally:
                process.kill()


def test_an_address_that_is_none_is_refused_with_one_that_is(running: tuple[Path, Serving]) -> None:
    home, _ = running
    said = command("--home", home, "invite", "--address", "foo")
    assert said.code == 2
    assert "not an address: 'foo'; one looks like /ip4/192.0.2.7/tcp/4470" in said.err
    assert "The usual port" not in command("--home", home, "invite").err


def test_accept_shows_that_the_invite_may_come_from_the_input(tmp_path: Path) -> None:
    assert b"accept [OPTIONS] [INVITE]" in command("--home", tmp_path / "x", "accept", "--help").out


def test_an_invite_may_ask_to_be_kept_and_that_is_said_before_anything_is_done(ann: Cli) -> None:
    asking = encode_invite(Invite(MARA, PEER, (), bytes(16), 4_000_000_000, "Mara", asks_keeping=True))
    silent = ann("accept", "--yes", "--wait", "0", asking)
    assert "They also ask you to keep their account" in silent.err
    assert f"\nThey ask you to keep their account: unhush keep {MARA}\n" in silent.out, "a line that can be copied"
    assert ann.json("keep", "--list").lines() == []
    said = ann.json("accept", "--yes", "--wait", "0", "--keep", asking).lines()[0]
    assert (said["asks_keeping"], said["kept"]) == (True, True)
    assert [each["account"] for each in ann.json("keep", "--list").lines()] == [str(MARA)]
    told = ann("accept", "--yes", "--wait", "0", "--keep", asking).out.splitlines()
    assert told[0].endswith(f"To take it back: unhush unfollow {MARA}")
    assert told[1] == f"You keep their account. To take that back: unhush unkeep {MARA}"
    assert ann.json("accept", "--yes", "--wait", "0", LINK).lines()[0]["asks_keeping"] is False
