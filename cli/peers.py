"""``peers list`` and ``peers add``: the machines this node knows."""

import click

from unhush.cli.context import Context, OurGroup, pass_context


@click.group(cls=OurGroup, name="peers", invoke_without_command=True)
@click.pass_context
def peers_command(ctx: click.Context) -> None:
    """List the machines you know, or add one."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_command)


@peers_command.command(name="list")
@pass_context
def list_command(context: Context) -> None:
    """List connections and remembered addresses."""
    with context.open() as node:
        peers = node.peers()
        is_running = node.status().network_running
    for peer in peers:
        value = {
            "address": peer.address,
            "peer": peer.peer,
            "connected": peer.connected,
            "inbound": peer.inbound,
        }
        state = "connected" if peer.connected else "remembered"
        context.emit(value, f"{state:<11}{'in  ' if peer.inbound else 'out '}{peer.address}")
    if not context.is_json:
        if not peers:
            context.say("No machine is known yet; add one: unhush peers add MULTIADDR")
        if not is_running:
            context.say("The node is not running, so nobody is connected.")


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
