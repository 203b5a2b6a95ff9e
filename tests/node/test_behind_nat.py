"""Two homes behind real NAT: they meet through a relay, and directly where their routers let them."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from tests.support.commands import Serving, await_until, environment
from tests.support.routers import OUTSIDE, Internet, internet

from unhush.node import Config, Node, found_account
from unhush.node.doctor import Grade, examine

PORT = 4470

# Three nodes in processes of their own; each step has a minute.
pytestmark = pytest.mark.timeout(240)


@contextmanager
def node(net: Internet, machine: str, home: Node, *arguments: str) -> Iterator[Serving]:
    """A running node on one machine of that Internet."""
    where = str(home.config.home)
    run = [sys.executable, "-m", "unhush.cli", "--home", where, "--json", "run", "--web", "off", "--no-lan"]
    started = [*net.within(machine), *run, *arguments]
    with subprocess.Popen(started, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as process:
        try:
            yield Serving(process)
        finally:
            process.kill()
            process.communicate()


def texts(home: Node) -> set[str]:
    return {str(post.text) for post in home.timeline().items}


def listens(home: Node) -> str:
    """The address of a home through a relay, once it has one."""
    return next((address for address in home.status().listen if "p2p-circuit" in address), "")


def peers(home: Node) -> set[str]:
    return {peer.address for peer in home.peers() if peer.connected}


def made(stack: ExitStack, tmp_path: Path, name: str) -> Node:
    """A home with an account."""
    config = Config(tmp_path / name)
    found_account(config, name)
    return stack.enter_context(Node.open(config))


@contextmanager
def meeting(tmp_path: Path, *, keeps_ports: bool) -> Iterator[tuple[Node, Node, str]]:
    """An author and a reader who has read what was written before; and the relay's peer id.

    They run in processes of their own; what we hold are their homes.
    """
    with ExitStack() as stack:
        net = stack.enter_context(internet(keeps_ports=keeps_ports))
        relay, author, reader = (made(stack, tmp_path, name) for name in ("relay", "author", "reader"))
        author.post("from behind a router")
        reader.follow(author.account())
        relay_id = str(stack.enter_context(node(net, net.outside, relay, "--relay")).ready["peer"])
        stack.enter_context(node(net, net.first, author, "--peer", f"/ip4/{OUTSIDE}/tcp/{PORT}/p2p/{relay_id}"))
        await_until(lambda: listens(author), "a place at the relay")
        stack.enter_context(node(net, net.second, reader, "--peer", listens(author)))
        await_until(lambda: "from behind a router" in texts(reader), "the post")
        yield author, reader, relay_id


def test_through_two_routers_that_keep_ports_they_speak_directly(tmp_path: Path) -> None:
    with meeting(tmp_path, keeps_ports=True) as (author, reader, _):
        await_until(lambda: any(each.startswith("/ip4/8.8.1.2/tcp/") for each in peers(reader)), "a direct way")
        author.post("and now directly")
        await_until(lambda: "and now directly" in texts(reader), "the later post")
        assert not any("p2p-circuit" in each for each in peers(reader))
        found = {finding.topic: finding for finding in examine(author)}
        assert "8.8.1.2: a router translates" in found["nat"].text, found
        assert "does not answer" in found["reach"].text
        assert f"forward TCP port {PORT} to 192.168.1.2" in found["reach"].advice
        assert found["relay"].grade is Grade.FINE


@pytest.mark.long
def test_a_router_that_sends_on_the_port_is_an_address_to_give_away(tmp_path: Path) -> None:
    with ExitStack() as stack:
        net = stack.enter_context(internet(keeps_ports=True, sends_on=PORT))
        helper, author, reader = (made(stack, tmp_path, name) for name in ("helper", "author", "reader"))
        helper_id = str(stack.enter_context(node(net, net.outside, helper)).ready["peer"])
        stack.enter_context(node(net, net.first, author, "--peer", f"/ip4/{OUTSIDE}/tcp/{PORT}/p2p/{helper_id}"))
        given = f"/ip4/8.8.1.2/tcp/{PORT}/p2p/"
        await_until(lambda: any(each.startswith(given) for each in author.status().listen), "an address outside")
        outer = next(each for each in author.status().listen if each.startswith(given))
        found = {finding.topic: finding for finding in examine(author)}
        assert found["reach"].grade is Grade.FINE
        assert outer in found["reach"].text
        reader.follow(author.account())
        author.post("the port is open")
        stack.enter_context(node(net, net.second, reader, "--peer", outer))
        await_until(lambda: "the port is open" in texts(reader), "the post")
        assert f"/ip4/8.8.1.2/tcp/{PORT}" in peers(reader)


@pytest.mark.long
def test_through_routers_that_change_ports_the_relay_stays(tmp_path: Path) -> None:
    with meeting(tmp_path, keeps_ports=False) as (author, reader, relay_id):
        for number in range(10):
            text = f"number {number} through the relay"
            author.post(text)
            await_until(lambda wanted=text: wanted in texts(reader), "a post through the relay")
        assert peers(reader) == {f"/ip4/{OUTSIDE}/tcp/{PORT}", f"/p2p/{relay_id}/p2p-circuit"}
