"""``device`` and ``rotate``: which machines may speak for the account.

Everything here is looked at before it is signed: first the newest state is
asked for from whoever runs, then the plan is shown, then a person says yes.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from unhush.cli.asking import can_ask, confirm
from unhush.cli.context import Context, OurGroup, WrongUse, account_option, pass_context
from unhush.cli.founding import new_passphrase
from unhush.cli.passing import pass_on, sync_first
from unhush.cli.restoring import join_command
from unhush.cli.secrets import SigningCommand, WordsSource, no_passphrase_option, words_option
from unhush.cli.shown import some, text_of
from unhush.cli.standing import device_text, display_device, json_of_cut, json_of_device, short_key

if TYPE_CHECKING:
    from unhush.identity.cid import Cid
    from unhush.node import Node
    from unhush.node.account.devices import CutPlan, Last, RotationPlan, RowPlan
    from unhush.node.views import DeviceInfo

unsynced_option = click.option("--unsynced", is_flag=True, help="Go on if no peer can be asked for the newest state.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


@click.group(cls=OurGroup, name="device")
def device_command() -> None:
    """The devices that may speak for your account: list, add, revoke, renew."""


device_command.add_command(join_command)


@device_command.command(name="list")
@account_option
@pass_context
def list_command(context: Context, account: str | None) -> None:
    """List the devices of an account, this one first."""
    with context.open() as node:
        whose = node.person(account).account if account is not None else node.account()
        identity = node.devices.identity(whose)
    value = {"account": str(whose), "devices": [json_of_device(device) for device in identity.devices]}
    context.emit(value, "\n".join(device_text(device) for device in identity.devices))


@device_command.command(name="request", cls=SigningCommand)
@click.option("--name", required=True, help="What this device is to be called.")
@no_passphrase_option
@pass_context
def request_command(context: Context, name: str, no_passphrase: bool) -> None:
    """On a new machine: make its key, and print the code by which it asks to be added to your account."""
    from unhush.node import Node
    from unhush.node.account.devices import check_device_name
    from unhush.node.config import Home
    from unhush.node.errors import AccountExists

    check_device_name(name.strip())
    config = context.config()
    if not Home(config.home).device_key.exists():
        sealing = new_passphrase(context, no_passphrase=no_passphrase, is_asked=not context.is_json and can_ask())
        config = context.config(passphrase=sealing)
    with Node(config) as node:
        status = node.status()
        devices = status.identity.devices if status.identity is not None else ()
        if any(device.is_this and device.state.value != "unlisted" for device in devices):
            raise AccountExists(f"{config.home} speaks for an account already: {status.account}")
        code, key = node.devices.request(name.strip()), node.device()
    context.emit({"code": code, "key": str(key), "name": name.strip()}, code)
    if not context.is_json:
        context.say(
            f"This is device {short_key(key)}. On a device of your account, with this code: unhush device add CODE\n"
            "Then here: unhush device join ACCOUNT"
        )


@device_command.command(name="add", cls=SigningCommand)
@click.argument("code")
@words_option
@pass_context
def add_command(context: Context, code: str, words: WordsSource) -> None:
    """Let the device that printed CODE speak for your account."""
    with context.open() as node:
        account = node.account()
        device = words.sign(lambda given: node.devices.add(code, given))
        pass_on(context, node)
    context.emit(
        json_of_device(device),
        f"{display_device(device.name)} ({short_key(device.key)}) may speak for your account now. "
        f"On that machine: unhush device join {account}",
    )


@device_command.command(name="revoke", cls=SigningCommand)
@click.argument("device")
@click.option(
    "--cut",
    "at",
    metavar="last-seen|nothing|ID",
    default="last-seen",
    show_default=True,
    help="What stays of it: all that is seen here, nothing, or all up to a record.",
)
@words_option
@yes_option
@unsynced_option
@pass_context
def revoke_command(context: Context, *, device: str, at: str, words: WordsSource, yes: bool, unsynced: bool) -> None:
    """End what DEVICE (a name, or the beginning of a key) may say for your account."""
    with context.open() as node:
        node.account()
        node.devices.find(device)
        sync_first(context, node, unsynced=unsynced)
        plan = node.devices.plan_cut(device, _parse_place(node, at))
        if not yes or not context.is_json:
            context.say(_plan_text(node, plan))
        if not yes:
            confirm("Revoke it there?", otherwise="Look at the above; to revoke it without being asked: --yes")
        revoked = words.sign(lambda given: node.devices.revoke(plan, given))
    value = {**json_of_device(revoked), "hidden": plan.goes}
    context.emit(value, f"{_called(revoked)} is revoked; {some(plan.goes, 'record is', 'records are')} hidden now.")


@device_command.command(name="renew", cls=SigningCommand)
@click.option("--name", help="What this device is to be called; its name stays if you give none.")
@words_option
@pass_context
def renew_command(context: Context, name: str | None, words: WordsSource) -> None:
    """Give this device a new key: if its home is an older copy, or its log has forked."""
    with context.open() as node:
        node.account()
        before = node.device()
        device, rewritten = words.sign(lambda given: node.devices.renew(given, name))
        pass_on(context, node)
    context.emit(
        {**json_of_device(device), "rewritten": rewritten, "before": str(before)},
        f"{_called(device)} has a new key; {some(rewritten, 'record')} that never left: signed again with it.",
    )
    if not context.is_json:
        context.say(f"The old key is still listed; to end it: unhush device revoke {before}")


@click.command(cls=SigningCommand, name="rotate")
@words_option
@click.option("--close", is_flag=True, help="Let no device be added until the next rotate.")
@click.option("--keep", multiple=True, metavar="DEVICE", help="This device stays open, or is opened again.")
@click.option("--drop", multiple=True, metavar="DEVICE", help="This device goes, with all it ever wrote.")
@click.option("--cut", multiple=True, metavar="DEVICE=last-seen|nothing|ID", help="This device's log ends there.")
@click.option("--drop-added", is_flag=True, help="Drop every other device that was added since the last rotate.")
@yes_option
@unsynced_option
@pass_context
def rotate_command(
    context: Context,
    *,
    words: WordsSource,
    close: bool,
    keep: tuple[str, ...],
    drop: tuple[str, ...],
    cut: tuple[str, ...],
    drop_added: bool,
    yes: bool,
    unsynced: bool,
) -> None:
    """Give the account new keys and a new list of devices.

    After it nothing that a thief of the root key signs counts any more. Only the 24 words can do it, on the device
    you trust: this one stays open.
    """
    with context.open() as node:
        node.account()
        sync_first(context, node, unsynced=unsynced)
        plan, decided = _changed(node, node.devices.plan_rotation(), keep=keep, drop=drop, cut=cut)
        plan = _decide_on_added(node, plan, decided, drop_all=drop_added)
        rows = node.devices.describe_rotation(plan)
        if not yes or not context.is_json:
            context.say(_table_text(plan, rows, close=close))
        if not yes:
            confirm("Rotate to this table?", otherwise="Look at the above; to rotate without being asked: --yes")
        identity = node.devices.rotate(plan, words.get(), close=close)
    value = {
        "account": str(identity.account),
        "generation": identity.generation,
        "table": str(identity.table),
        "closed": identity.is_closed,
        "alarms": list(identity.alarms),
        "devices": [_json_of_row(row) for row in rows],
    }
    context.emit(
        value, f"The account is in generation {identity.generation} now; keys of earlier ones sign nothing more."
    )


def _parse_place(node: "Node", text: str) -> "Last | Cid":
    from unhush.node.account.devices import Last

    return Last(text) if text in [place.value for place in Last] else node.show(text).id


def _called(device: "DeviceInfo") -> str:
    return f"{display_device(device.name)} ({short_key(device.key)})"


# -- a cut, as a person looks at it


def _plan_text(node: "Node", plan: "CutPlan") -> str:
    lines = [device_text(plan.device)]
    if plan.device.is_this:
        lines.append("This is the device you are on: nothing written here will count any more.")
    if plan.kept:
        lines.append("These are the last records that stay, newest first:\n")
        lines += [text_of(node.show(record.cid), indent="  ") for record in plan.kept]
    else:
        lines.append("Nothing that it wrote stays.")
    if plan.lost:
        lines.append(f"{some(plan.goes, 'record')} will be hidden; the first, oldest first:\n")
        lines += [text_of(node.show(record.cid), indent="  ") for record in plan.lost]
    else:
        lines.append("No record that is seen here goes; what it writes from now on is never shown.")
    return "\n".join(lines)


# -- the table of a rotation


def _changed(
    node: "Node", plan: "RotationPlan", *, keep: tuple[str, ...], drop: tuple[str, ...], cut: tuple[str, ...]
) -> "tuple[RotationPlan, set[str]]":
    """The plan as the options change it, and the keys of the devices they decide on."""
    decided: set[str] = set()

    def decide(name: str) -> "DeviceInfo":
        device = node.devices.find(name)
        if str(device.key) in decided:
            raise WrongUse(f"Two options decide on one device: {_called(device)}.")
        decided.add(str(device.key))
        return device

    for name in keep:
        plan = _kept(plan, decide(name))
    for name in drop:
        plan = _dropped(plan, decide(name))
    for each in cut:
        name, equals, place = each.rpartition("=")
        if not equals:
            raise WrongUse(f"--cut takes DEVICE=last-seen, DEVICE=nothing or DEVICE=ID, not '{each}'.")
        plan = _cut(node, plan, decide(name), _parse_place(node, place))
    return plan, decided


def _kept(plan: "RotationPlan", device: "DeviceInfo") -> "RotationPlan":
    from unhush.node.account.devices import open_row

    others = tuple(row for row in plan.rows if row.key != device.key)
    old = next((row for row in plan.rows if row.key == device.key), None)
    opened = open_row(device.key, old.name if old is not None else device.name)
    return replace(plan, rows=(opened, *others) if device.key == plan.this else (*others, opened))


def _dropped(plan: "RotationPlan", device: "DeviceInfo") -> "RotationPlan":
    _refuse_this(plan, device)
    return replace(plan, rows=tuple(row for row in plan.rows if row.key != device.key))


def _cut(node: "Node", plan: "RotationPlan", device: "DeviceInfo", at: "Last | Cid") -> "RotationPlan":
    _refuse_this(plan, device)
    kept = _kept(plan, device)
    return replace(
        kept, rows=tuple(node.devices.cut_row(row, at) if row.key == device.key else row for row in kept.rows)
    )


def _refuse_this(plan: "RotationPlan", device: "DeviceInfo") -> None:
    if device.key == plan.this:
        raise WrongUse("The device on which you rotate stays open: rotate on another one to end this one.")


def _decide_on_added(node: "Node", plan: "RotationPlan", decided: set[str], *, drop_all: bool) -> "RotationPlan":
    """Who stole the root key can have added a device, so each that was added needs a person's word."""
    from unhush.node.account.devices import Last

    for device in node.devices.identity(node.account()).devices:
        if device.key not in plan.to_decide or str(device.key) in decided:
            continue
        if drop_all:
            plan = _dropped(plan, device)
            continue
        if not can_ask():
            raise WrongUse(
                f"{_called(device)} was added since the last rotate; whoever has the root key can have done that. "
                f"Say what becomes of it: --keep {device.key}, --drop {device.key} or --cut {device.key}=last-seen"
            )
        click.echo(f"\nAdded since the last rotate:\n{device_text(device)}", err=True)
        answer = click.prompt(
            "Keep it open, cut it off after what is seen of it, or drop it with all it wrote",
            type=click.Choice(["keep", "cut", "drop"]),
            err=True,
        )
        if answer == "keep":
            plan = _kept(plan, device)
        elif answer == "cut":
            plan = _cut(node, plan, device, Last.SEEN)
        elif answer == "drop":
            plan = _dropped(plan, device)
    return plan


def _table_text(plan: "RotationPlan", rows: "Iterable[RowPlan]", *, close: bool) -> str:
    lines = [f"The table of generation {plan.generation}:"]
    lines += [f"  {_row_text(row)}" for row in rows]
    if close:
        lines.append("It is closed: no device can be added until the next rotate.")
    return "\n".join(lines)


def _row_text(row: "RowPlan") -> str:
    match row.state.value:
        case "open":
            state = (
                "stays open"
                if not row.returns
                else f"is opened again, and what was hidden of it returns: {some(row.returns, 'record')}"
            )
        case "cut" if row.cut is not None:
            state = f"is cut off after its record {row.cut[0]}"
        case "void":
            state = "is cut off, and nothing of it stays"
        case _:
            state = "is dropped, with all it wrote"
    marks = (" (this device)" if row.is_this else "") + (" (added since the last rotate)" if row.is_added else "")
    hidden = f", {some(row.goes, 'record')} hidden" if row.goes else ""
    counts = f"{some(row.stays, 'record')} of it in force{hidden}"
    return f"{display_device(row.name)} {short_key(row.key)}{marks} {state}; {counts}"


def _json_of_row(row: "RowPlan") -> dict[str, Any]:
    return {
        "key": str(row.key),
        "name": row.name,
        "state": row.state.value,
        "cut": json_of_cut(row.cut),
        "this": row.is_this,
        "added": row.is_added,
        "stays": row.stays,
        "goes": row.goes,
        "returns": row.returns,
    }
