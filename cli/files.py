"""``export car`` and ``lifeboat``, ``import car``, ``lifeboat``, ``backup``: accounts and homes as files."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import click

from unhush.cli.context import Context, OurGroup, expanded, is_terminal, pass_context

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


@export_command.command(name="lifeboat")
@click.argument("file", type=_FILE)
@click.option("--account", help="Whose; your own if you name none.")
@click.option(
    "--media",
    type=click.Choice(("none", "90d", "all")),
    default="90d",
    show_default=True,
    help="Which pictures: none, those of the last 90 days, or all.",
)
@pass_context
def export_lifeboat_command(
    context: Context, file: Path, account: str | None, media: Literal["none", "90d", "all"]
) -> None:
    """Write a whole account to one HTML FILE that opens in any browser, without network, and checks itself."""
    path = expanded(file)
    with context.open() as node:
        made = node.export_lifeboat(
            path, account, media=media, on_progress=lambda what, count: _progress(context, what)(count)
        )
    contents = made.contents
    context.emit(
        {
            "file": str(made.file),
            "bytes": made.bytes,
            "account": str(contents.account),
            "records": contents.records,
            "bodies": contents.bodies,
            "blobs": len(contents.blobs),
            "lacking": made.lacking,
        },
        f"{contents.records:,} records and {len(contents.blobs):,} pictures of account {contents.account} are in "
        f"{file} ({made.bytes:,} bytes). Open it in a browser, or check it: unhush verify {file}",
    )
    if made.lacking:
        context.say(f"unhush: {made.lacking:,} pictures are not on this device and so not in the file.")


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


@import_command.command(name="lifeboat")
@click.argument("file", type=_FILE)
@pass_context
def import_lifeboat_command(context: Context, file: Path) -> int:
    """Take in the account in FILE; every hash and signature is checked. Works in a home without account."""
    with context.open(may_make=True) as node:
        taken = node.import_lifeboat(expanded(file), _progress(context, "records taken in"))
    value = {
        "account": str(taken.account) if taken.account is not None else None,
        "stored": taken.stored,
        "known": taken.known,
        "refused": taken.refused,
        "lacking": taken.lacking,
        "blobs": taken.blobs,
    }
    context.emit(value, f"{taken.stored:,} records are new here, {taken.known:,} were known; {taken.blobs:,} pictures.")
    if taken.account is not None and not context.is_json:
        context.say(f"To carry it for everybody who asks: unhush keep {taken.account}")
    if taken.refused or taken.lacking or taken.first_problem:
        context.say(
            f"unhush: {taken.refused:,} records were refused and {taken.lacking:,} are missing; "
            f"the first problem: {taken.first_problem or 'a record is missing'}. All of them: unhush verify {file}"
        )
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
