"""``list``: people to read by themselves."""

import click

from unhush.cli.circle import print_people
from unhush.cli.context import Context, OurGroup, pass_context
from unhush.cli.shown import some
from unhush.node.names import clean_name

_NAME = click.argument("name")
_WHO = click.argument("who", nargs=-1, required=True, metavar="WHO...")


@click.group(cls=OurGroup, name="list")
def list_command() -> None:
    """Lists of people to read by themselves (unhush timeline --list NAME); they stay on this machine."""


@list_command.command(name="create")
@_NAME
@pass_context
def create_command(context: Context, name: str) -> None:
    """Make a list; nothing happens if there is one of that NAME."""
    with context.open() as node:
        node.lists.create(name)
    context.emit({"list": name}, f"Put somebody on it: unhush list add {clean_name(name)!r} WHO")


@list_command.command(name="add")
@_NAME
@_WHO
@pass_context
def add_command(context: Context, name: str, who: tuple[str, ...]) -> None:
    """Put WHO... on the list NAME: account ids, or what you call them; followed or not."""
    with context.open() as node:
        accounts = [node.account_of(each) for each in who]
        for account in accounts:
            node.lists.add(name, account)
        people = node.lists.members(name)
    print_people(context, people, "")


@list_command.command(name="remove")
@_NAME
@_WHO
@pass_context
def remove_command(context: Context, name: str, who: tuple[str, ...]) -> None:
    """Take WHO... off the list NAME."""
    with context.open() as node:
        accounts = [node.account_of(each) for each in who]
        for account in accounts:
            node.lists.remove(name, account)
        people = node.lists.members(name)
    print_people(context, people, "Nobody is on it any more.")


@list_command.command(name="show")
@click.argument("name", required=False)
@pass_context
def show_command(context: Context, name: str | None) -> None:
    """Show who is on the list NAME, or which lists there are."""
    with context.open() as node:
        if name is not None:
            print_people(context, node.lists.members(name), "Nobody is on it yet.")
            return
        found = node.lists.all()
    for each in found:
        people = some(each.members, "person", "people")
        context.emit({"list": each.name, "members": each.members}, f"{clean_name(each.name)} ({people})")
    if not found and not context.is_json:
        context.say("No lists yet. Make one: unhush list create NAME")


@list_command.command(name="drop")
@_NAME
@pass_context
def drop_command(context: Context, name: str) -> None:
    """Forget the list NAME; who was on it is not touched."""
    with context.open() as node:
        node.lists.drop(name)
    context.emit({"list": name, "dropped": True}, "The list is forgotten.")
