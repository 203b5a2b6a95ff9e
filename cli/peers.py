"""``peers list``, ``add``, ``remove`` and ``ping``: the machines this node knows."""

from typing import TYPE_CHECKING

import click

from unhush.cli.context import Context, OurGroup, pass_context
from unhush.cli.shown import some

if TYPE_CHECKING:
    from unhush.node.views import PeerInfo


@click.group(cls=OurGroup, name="peers", invoke_without_command=True)
@click.pass_context
def peers_command(ctx: click.Context) -> None:
    """List the machines you know; add, remove or ping one."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_command)


@peers_command.command(name="list")
@pass_context
def list_command(context: Context) -> None:
    """List connections and remembered addresses.

    Of a machine that is connected: how many people you follow or keep it carries, and how many records it brought.
    """
    with context.open() as node:
        peers = node.peers()
        is_running = node.status().network_running
    for peer in peers:
        value = {
            "address": peer.address,
            "peer": peer.peer,
            "connected": peer.connected,
            "inbound": peer.inbound,
            "covers": peer.covers,
            "gave": peer.gave,
        }
        state = "connected" if peer.connected else "remembered"
        context.emit(value, f"{state:<11}{'in  ' if peer.inbound else 'out '}{_named(peer)}{_worth(peer)}")
    if not context.is_json:
        if not peers:
            context.say("No machine is known yet; add one: unhush peers add MULTIADDR")
        if not is_running:
            context.say("The node is not running, so nobody is connected.")


def _named(peer: "PeerInfo") -> str:
    """Where it is and its id. Who called us cannot be called there, so that is not written as an address to dial."""
    if peer.address.endswith(f"/p2p/{peer.peer}"):
        return peer.address
    return f"{peer.address}  {peer.peer}" if peer.inbound else f"{peer.address}/p2p/{peer.peer}"


def _worth(peer: "PeerInfo") -> str:
    if not peer.connected:
        return ""
    people = some(peer.covers, "person", "people")
    return f"  carries {people} you follow or keep, brought {some(peer.gave, 'record')}"


@peers_command.command(name="add")
@click.argument("address", metavar="MULTIADDR")
@pass_context
def add_command(context: Context, address: str) -> None:
    """Remember the machine at MULTIADDR, and keep a connection with it whenever the node runs."""
    with context.open() as node:
        node.add_peer(address)
        is_running = node.status().network_running
    context.emit(
        {"address": address, "remembered": True},
        "Remembered; the running node dials it now." if is_running else "Remembered; it is dialled when the node runs.",
    )


@peers_command.command(name="remove")
@click.argument("peer", metavar="MULTIADDR|PEER")
@pass_context
def remove_command(context: Context, peer: str) -> None:
    """Forget an address, or all addresses of a machine, and end the connection with it.

    It may be met again, if others tell of it. The exit code is 3 if it is not known.
    """
    with context.open() as node:
        forgotten = node.forget_peer(peer)
    lines = [f"forgotten  {address}" for address in forgotten]
    context.emit({"peer": peer, "forgotten": list(forgotten)}, "\n".join(lines) or "Not connected with it any more.")


@peers_command.command(name="ping")
@click.argument("peer", metavar="MULTIADDR|PEER")
@pass_context
def ping_command(context: Context, peer: str) -> None:
    """Say how long a machine takes to answer, with or without a running node.

    At MULTIADDR it is called anew, also if it is connected; by its id it answers over the connection there is. The exit
    code is 5 if it does not answer.
    """
    with context.open() as node:
        ping = node.ping_peer(peer)
    value = {"peer": ping.peer, "address": ping.address, "ms": round(ping.ms, 2), "connected": ping.was_connected}
    how = f"over the connection with {ping.address}" if ping.was_connected else f"called at {ping.address}"
    context.emit(value, f"{ping.peer} answered in {ping.ms:.1f} ms, {how}")
