"""``restore`` and ``device join``: an account comes to a new machine."""

from typing import TYPE_CHECKING, Any

import click

from unhush.cli.asking import can_ask
from unhush.cli.codes import NOT_ALL
from unhush.cli.context import Context, WrongUse, pass_context
from unhush.cli.founding import new_passphrase
from unhush.cli.progress import doing
from unhush.cli.secrets import SigningCommand, WordsSource, no_passphrase_option, words_option
from unhush.cli.shown import display_name, some
from unhush.cli.standing import device_text, display_device, json_of_device, short_key

if TYPE_CHECKING:
    from unhush.node import Node

peer_option = click.option(
    "--peer", "peers", multiple=True, metavar="MULTIADDR", help="A machine that has the account: any follower's."
)
listen_option = click.option("--listen", multiple=True, metavar="MULTIADDR", help="Where to listen meanwhile.")


@click.command(cls=SigningCommand, name="restore")
@words_option
@peer_option
@listen_option
@click.option("--account", help="Which account, should the words have founded several.")
@click.option("--name", help="What this device is to be called; restored (or restored 2, 3 …) if you do not say.")
@no_passphrase_option
@click.option("--keep-root-key", is_flag=True, help="Keep the root key here, sealed by the passphrase.")
@pass_context
def restore_command(
    context: Context,
    *,
    words: WordsSource,
    peers: tuple[str, ...],
    listen: tuple[str, ...],
    account: str | None,
    name: str | None,
    no_passphrase: bool,
    keep_root_key: bool,
) -> int:
    """Bring your account to this machine with nothing but its 24 words and the address of somebody who has it.

    This device gets a key of its own and is added; your history comes back, and the people who follow you notice
    nothing but your next post. If it is interrupted, the same command goes on.
    """
    from unhush.node.account.devices import check_device_name
    from unhush.node.config import Home

    if name is not None:
        name = name.strip()
        check_device_name(name)
    if not peers and not Home(context.config().home).store.exists():
        raise WrongUse("There is nobody to ask: give the address of a machine that has the account: --peer MULTIADDR")
    given = words.get()
    with open_new(context, peers=peers, listen=listen, no_passphrase=no_passphrase) as node:
        if keep_root_key and node.config.passphrase is None:
            raise WrongUse("The root key is kept sealed or not at all: give a passphrase with --keep-root-key.")
        restored = node.restore(given, account=account, name=name, on_progress=doing(context))
        if keep_root_key:
            node.devices.keep_root(given)
        called = node.person(restored.account).name
        devices = node.devices.identity(restored.account).devices
    others = [device for device in devices if not device.is_this and device.state.value == "open"]
    records = some(restored.records, "record")
    value = {
        "account": str(restored.account),
        "name": called,
        "device": json_of_device(restored.device),
        "records": restored.records,
        "complete": restored.is_complete,
        "others": [str(other) for other in restored.others],
    }
    context.emit(
        value,
        f"{display_name(called, restored.account)} is back: account {restored.account}, {records}.\n"
        f"This device is {short_key(restored.device.key)}. To go on: unhush run",
    )
    if not context.is_json:
        _say_what_else(context, restored.is_complete, list(restored.others), [device_text(each) for each in others])
    return 0 if restored.is_complete else NOT_ALL


def _say_what_else(context: Context, is_complete: bool, others: "list[Any]", devices: list[str]) -> None:
    if not is_complete:
        context.say("Not everything that is known to exist came; the rest comes when somebody has it: unhush run")
    for other in others:
        context.say(f"The same words founded another account too: {other} (choose with --account, in another home)")
    if devices:
        context.say("If one of these is lost or in other hands: unhush device revoke DEVICE")
    for line in devices:
        context.say(line)


def open_new(context: Context, *, peers: tuple[str, ...], listen: tuple[str, ...], no_passphrase: bool) -> "Node":
    """The node of a home that may have no key yet; the passphrase of a new one is asked for."""
    from unhush.node import Node
    from unhush.node.config import Home

    settings: dict[str, Any] = {"peers": peers} | ({"listen": listen} if listen else {})
    config = context.config(**settings)
    if not Home(config.home).device_key.exists():
        sealing = new_passphrase(context, no_passphrase=no_passphrase, is_asked=not context.is_json and can_ask())
        config = context.config(passphrase=sealing, **settings)
    return Node(config)


@click.command(cls=SigningCommand, name="join")
@click.argument("account")
@peer_option
@listen_option
@no_passphrase_option
@pass_context
def join_command(
    context: Context, account: str, peers: tuple[str, ...], listen: tuple[str, ...], no_passphrase: bool
) -> None:
    """Make ACCOUNT this machine's own, after another device added this one; its history comes."""
    with open_new(context, peers=peers, listen=listen, no_passphrase=no_passphrase) as node:
        device = node.join(account, doing(context))
        records = node.status().records
    context.emit(
        {"account": account, "device": json_of_device(device), "records": records},
        f"This device, {display_device(device.name)} ({short_key(device.key)}), speaks for {account} now; "
        f"{some(records, 'record is', 'records are')} here. To go on: unhush run",
    )
