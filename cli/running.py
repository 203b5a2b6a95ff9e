"""``run``: the node in the foreground, until it is told to end."""

import contextlib
import os
import signal
import sys
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import click

from unhush.cli.context import Context, is_terminal, pass_context
from unhush.cli.secrets import SigningCommand
from unhush.cli.shown import display_name

if TYPE_CHECKING:
    from unhush.node import Node
    from unhush.node.web.server import WebServer


@click.command(cls=SigningCommand, name="run")
@click.option(
    "--listen",
    multiple=True,
    metavar="MULTIADDR",
    help="Where to listen; may be given more than once (default /ip4/0.0.0.0/tcp/4470).",
)
@click.option(
    "--peer", "peers", multiple=True, metavar="MULTIADDR", help="A machine to keep a connection with, now and later."
)
@click.option(
    "--bootstrap", multiple=True, metavar="MULTIADDR", help="A machine to call while nobody else is connected."
)
@click.option("--no-lan", is_flag=True, help="Do not announce this node on the local network, nor look for others.")
@click.option(
    "--relay", is_flag=True, help="Also bring others to nodes that cannot be reached, within bounds (for an open port)."
)
@click.option(
    "--dht",
    is_flag=True,
    help="Also look for people in the DHT; it tells strangers which account is here, and which are kept.",
)
@click.option("--web", metavar="HOST:PORT|off", help="Where to serve the local page (default 127.0.0.1:4480).")
@click.option(
    "--metrics", is_flag=True, help="Show figures for Prometheus at /metrics of the local page, without a session."
)
@click.option(
    "--ingest-process",
    is_flag=True,
    help="Take in what comes in bulk in a process of its own; faster on a machine with idle cores, for 50 MB more.",
)
@click.option(
    "--verify-workers",
    "workers",
    type=click.IntRange(0, 64),
    default=0,
    metavar="N",
    help="Check signatures in N processes of their own; helps who takes in very many single records (default 0).",
)
@pass_context
def run_command(
    context: Context,
    *,
    listen: tuple[str, ...],
    web: str | None,
    peers: tuple[str, ...],
    workers: int,
    ingest_process: bool,
    relay: bool,
    dht: bool,
    metrics: bool,
    no_lan: bool,
    bootstrap: tuple[str, ...],
) -> None:
    """Run the node: connect, sync, and serve the local page.

    It ends cleanly on Ctrl-C or SIGTERM.
    """
    from unhush.node.service import interpreter

    web_at = _parse_web(web)
    # Not an Event: a handler runs inside the wait it interrupts, and would wait for the lock that wait holds.
    ended: SimpleQueue[int] = SimpleQueue()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda got, _: ended.put(got))
    signal.signal(signal.SIGTTIN, signal.SIG_IGN)
    interpreter.hand_over_quickly()
    settings: dict[str, Any] = {"listen": listen} if listen else {}
    settings |= {"lan": not no_lan, **({"bootstrap": bootstrap} if bootstrap else {}), "ingest_process": ingest_process}
    with context.open(peers=peers, verify_workers=workers, relay=relay, dht=dht, metrics=metrics, **settings) as node:
        node.account()
        if node.has_key():
            node.unlock()  # a passphrase is asked for now, not when somebody posts on the page
        page = _make_page(node, web_at) if web_at else None  # refused, if it is, before anything serves
        node.start_network()
        interpreter.spare_the_collector()
        if page is not None and web_at is not None:
            page = _start_page(node, page, web_at, may_move=web is None)
            node.offer_page(page.one_time_address)
        try:
            _say_ready(context, node, page)
            if page is not None and _has_keyboard() and not context.is_json:
                threading.Thread(target=_offer_addresses, args=(page,), daemon=True).start()
            ended.get()
        finally:
            if page is not None:
                page.stop()
    if not context.is_json:
        context.say("\nStopped.")


def _say_ready(context: Context, node: "Node", page: "WebServer | None") -> None:
    from unhush.node.config import DEFAULT_LISTEN, DEFAULT_PORT

    status = node.status()
    address = page.one_time_address() if page is not None else None
    lines = [f"{display_name(status.name, node.account())} is on the network."]
    lines += [f"  listening on  {listen}" for listen in status.listen]
    if node.config.listen == DEFAULT_LISTEN and f"/tcp/{DEFAULT_PORT}/" not in "".join(status.listen):
        lines.append(f"  port {DEFAULT_PORT} is taken: these addresses are good until this node ends, no longer")
    if not node.has_key():
        lines.append(
            "  this home has no key: it reads and carries; to write again: unhush restore, or unhush device join"
        )
    elif status.problem:
        lines.append(f"  nothing is published from here: {status.problem}")
    if status.words_waiting:
        lines.append(f"  recovery words wait in {status.words_waiting}: once they are on paper: unhush id check")
    if address is not None:
        lines.append(f"  open your page (works once, for ten minutes): {address}")
    lines.append("  Ctrl-C ends it." + (" Enter gives a new address." if address and _has_keyboard() else ""))
    value = {"ready": True, "peer": status.peer, "listen": list(status.listen), "web": address}
    context.emit(value, "\n".join(lines))
    sys.stdout.flush()


def _make_page(node: "Node", at: tuple[str, int]) -> "WebServer":
    from unhush.node.web.server import WebServer

    return WebServer(node, *at, metrics=node.metrics if node.config.metrics else None)


def _start_page(node: "Node", page: "WebServer", at: tuple[str, int], *, may_move: bool) -> "WebServer":
    """Serve the page; on the usual port another node may sit, then any free one will do."""
    from unhush.node.web.errors import AddressInUse

    try:
        page.start()
    except AddressInUse:
        if not may_move:
            raise
        page = _make_page(node, (at[0], 0))
        page.start()
    return page


def _has_keyboard() -> bool:
    """Whether a person at a terminal can type to us: not from the background of a shell, which would stop us."""
    return is_terminal(sys.stdin) and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()


def _offer_addresses(page: "WebServer") -> None:
    # Should the person send us to the background later, reading must fail rather than stop the node.
    with contextlib.suppress(OSError):
        for _ in sys.stdin:
            click.echo(f"  open your page (works once, for ten minutes): {page.one_time_address()}")


def _parse_web(text: str | None) -> tuple[str, int] | None:
    from unhush.node.config import DEFAULT_WEB

    if text is None:
        return DEFAULT_WEB
    if text == "off":
        return None
    host, colon, port = text.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise click.UsageError(f"--web takes HOST:PORT or off, not '{text}'.")
    return host.strip("[]"), int(port)
