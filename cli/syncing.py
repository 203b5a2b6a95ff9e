"""``sync``: look now for what is new, and wait until it is here."""

from typing import TYPE_CHECKING

import click

from unhush.cli.codes import NOT_ALL
from unhush.cli.context import Context, OurCommand, pass_context
from unhush.cli.shown import some

if TYPE_CHECKING:
    from unhush.node.service.peering import Synced
    from unhush.node.views import SyncInfo


@click.command(cls=OurCommand, name="sync")
@click.option("--wait", is_flag=True, help="Wait until all that connected machines have is here.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0.1, 86_400),
    default=60.0,
    metavar="SECONDS",
    help="Wait no longer than this (default 60).",
)
@pass_context
def sync_command(context: Context, wait: bool, timeout_s: float) -> int:
    """Look now for what the people you follow or keep wrote.

    Tells the running node to look; without one, connects by itself, and waits. The exit code is 5 if nobody
    answered, 8 if not everything came in time.
    """
    from unhush.node.errors import NotRunning

    with context.open() as node:
        node.account()
        if not node.knows_anybody() and not context.is_json:
            context.say(
                "No machine is known yet, so only the local network can be asked. To add one: unhush peers add "
                "MULTIADDR; or take an invite of somebody: unhush accept INVITE"
            )
        if not wait:
            try:
                node.sync(wait=False)
            except NotRunning:
                pass  # then this is the node, as long as it takes
            else:
                context.emit({"looking": True}, "The running node looks now. To wait for what it finds: --wait")
                return 0
        synced = node.sync(timeout_s, lambda state: _say_progress(context, state))
    value = {
        "complete": synced.is_done,
        "peers": synced.peers,
        "people": synced.wanted,
        "covered": synced.covered,
        "records": synced.records,
        "seconds": round(synced.took_s, 2),
        "not_waited_for": list(synced.not_waited_for),
    }
    said = "All they have is here" if synced.is_done else f"Not all is here after {timeout_s:g} s"
    context.emit(
        value,
        f"{said}: {some(synced.records, 'record')} came in {synced.took_s:.1f} s from {some(synced.peers, 'machine')}; "
        f"{synced.covered:,} of {synced.wanted:,} people you follow or keep are carried by them.{_silent(synced)}",
    )
    return 0 if synced.is_done else NOT_ALL


def _say_progress(context: Context, state: "SyncInfo") -> None:
    if context.is_json:
        return
    if not state.sessions:
        context.say(f"dialling {some(state.dialling, 'machine')}" if state.dialling else "nobody is connected yet")
        return
    waiting = f"; {state.waiting:,} of them have more" if state.waiting else ""
    machines = some(state.sessions, "machine")
    context.say(f"{machines} connected, {state.covered:,} of {state.wanted:,} people covered{waiting}")


def _silent(synced: "Synced") -> str:
    silent = synced.not_waited_for
    return f" Not waited for, because silent: {', '.join(silent)}." if silent else ""
