"""``export car``, ``import car``, ``import backup``: accounts and homes as files."""

import sys
from collections.abc import Callable
from pathlib import Path

import click

from unhush.cli.context import Context, OurGroup, is_terminal, pass_context

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(cls=OurGroup, name="export")
def export_command() -> None:
    """Write an account to a file."""


@export_command.command(name="car")
@click.argument("file", type=_FILE)
@click.option("--account", help="Whose; your own if you name none.")
@pass_context
def export_car_command(context: Context, file: Path, account: str | None) -> None:
    """Write a whole account to FILE, in a format any IPLD program reads (CAR version 1)."""
    with context.open() as node:
        contents = node.export_car(file, account)
    context.emit(
        {"file": str(file), "roots": [str(root) for root in contents.roots], "blocks": contents.blocks},
        f"{contents.blocks} blocks of account {contents.roots[0]} are in {file}.",
    )


@click.group(cls=OurGroup, name="import")
def import_command() -> None:
    """Take an account in from a file."""


@import_command.command(name="car")
@click.argument("file", type=_FILE)
@pass_context
def import_car_command(context: Context, file: Path) -> int:
    """Take in the account in FILE; every hash and signature is checked. Works in a home without account."""
    with context.open(may_make=True) as node:
        imported = node.import_car(file, _progress(context, "records taken in"))
    value = {
        "accounts": [str(account) for account in imported.accounts],
        "stored": imported.stored,
        "known": imported.known,
        "refused": imported.refused,
    }
    context.emit(value, f"{imported.stored} records are new here, {imported.known} were known.")
    if imported.refused:
        context.say(f"unhush: {imported.refused} records were refused; the first: {imported.first_problem}")
        return 6
    return 0


@import_command.command(name="backup")
@click.argument("file", type=_FILE)
@pass_context
def import_backup_command(context: Context, file: Path) -> None:
    """Make a new home of a backup FILE. It has no key, so it reads and carries until: unhush restore."""
    from unhush.cli.maintenance import import_backup

    import_backup(context, file)


def _progress(context: Context, what: str) -> Callable[[int], None]:
    """A running count on a terminal; silence for programs."""
    if context.is_json or not is_terminal(sys.stderr):
        return lambda _count: None
    return lambda count: click.echo(f"\r{count:,} {what} …\x1b[K\r", err=True, nl=False)
