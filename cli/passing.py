"""The network around an act that is signed: hear the newest state before, pass on what was signed after."""

from typing import TYPE_CHECKING, Final

import click

from unhush.cli.asking import can_ask
from unhush.cli.context import Context

if TYPE_CHECKING:
    from unhush.node import Node

# Longer than a round trip over a slow line, shorter than anybody's patience.
SYNC_S: Final = 10.0


def sync_first(context: Context, node: "Node", *, unsynced: bool) -> None:
    """Ask the network for the newest state; without an answer, only a person's word or option goes on."""
    from unhush.node.errors import NotSynced

    why = _try_to_sync(node)
    if why is None:
        return
    context.say(f"No peer could be asked what it holds of your account{why}; something newer may exist elsewhere.")
    if unsynced:
        return
    if not can_ask():
        raise NotSynced("this would be decided on what this machine alone has seen; to do so: --unsynced")
    click.confirm("Go on with what this machine has seen?", abort=True, err=True)


def pass_on(context: Context, node: "Node") -> None:
    """Let what was just signed leave at once, if anybody can be reached; a running node does that by itself."""
    if _try_to_sync(node) is not None and not context.is_json:
        context.say("Nobody could be reached: it leaves when this node runs and meets a peer (unhush run).")


def _try_to_sync(node: "Node") -> str | None:
    """None once a peer has answered; else why none did, as far as there is something to say."""
    from unhush.node.errors import NetworkFailed

    try:
        return None if node.sync_own(SYNC_S) else ""
    except NetworkFailed as exc:
        return f" ({exc})"
