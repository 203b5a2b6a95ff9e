"""``open``: into the page of a node in the background; and what is said where a node cannot listen."""

import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from tests.support.commands import command, serving

from unhush.node import Config, Node
from unhush.node.errors import NetworkFailed


def enter(address: str) -> int:
    """The status with which the page trades the code of a one-time address."""
    origin, _, code = address.partition("/#")
    port = origin.rpartition(":")[2]
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/enter",
        data=f"code={code}".encode(),
        headers={"Host": origin.removeprefix("http://"), "Origin": origin, "Sec-Fetch-Site": "same-origin"},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return int(refused.code)


def test_a_node_in_the_background_gives_addresses_that_each_open_the_page_once(home: Path) -> None:
    with serving(home, "--no-lan", "--web", "127.0.0.1:0") as node:
        said = command("--home", home, "open")
        assert (said.code, "once" in said.err) == (0, True)
        first = said.out.decode().strip()
        (line,) = command("--home", home, "--json", "open").lines()
        origin = str(node.ready["web"]).partition("/#")[0]
        for address in (first, line["web"]):
            assert address.startswith(f"{origin}/#")
        assert len({first, line["web"], node.ready["web"]}) == 3
        assert [enter(address) < 400 for address in (first, line["web"], first)] == [True, True, False]


def test_without_a_node_or_without_a_page_open_says_so(home: Path) -> None:
    said = command("--home", home, "open")
    assert (said.code, said.out) == (5, b"")
    assert "no node is running" in said.err
    with serving(home, "--no-lan"):
        said = command("--home", home, "open")
        assert (said.code, said.out) == (5, b"")
        assert "--web off" in said.err


def test_a_network_that_cannot_listen_says_why(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        at = f"/ip4/127.0.0.1/tcp/{taken.getsockname()[1]}"
        reasons = {at: "another program has that port", "/ip4/192.0.2.7/tcp/4470": "this machine does not have that"}
        for listen, reason in reasons.items():
            with (
                Node(Config(home, listen=(listen,), lan=False)) as node,
                pytest.raises(NetworkFailed, match=f"cannot listen on {listen}: {reason}"),
            ):
                node.start_network()
