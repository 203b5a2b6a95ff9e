"""``export car``, ``import car``, ``verify``: accounts as files, and the check of everything kept."""

import sys
from collections.abc import Callable
from pathlib import Path

import click

from unhush.cli.context import Context, OurCommand, OurGroup, is_terminal, pass_context

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


@click.command(cls=OurCommand, name="verify")
@pass_context
def verify_command(context: Context) -> int:
    """Check everything kept here against hashes, signatures and chains."""
    with context.open() as node:
        report = node.verify(_progress(context, "records checked"))
    value = {"entries": report.entries, "bad": report.bad, "missing": report.missing, "forks": report.forks}
    summary = f"{report.entries} records: {report.bad} bad, {report.missing} missing, {report.forks} forked logs."
    context.emit(value, f"{summary} All is well." if report.is_clean else summary)
    for problem in report.problems:
        context.say(f"  {problem}")
    return 0 if report.is_clean else 6


def _progress(context: Context, what: str) -> Callable[[int], None]:
    """A running count on a terminal; silence for programs."""
    if context.is_json or not is_terminal(sys.stderr):
        return lambda _count: None
    return lambda count: click.echo(f"\r{count:,} {what} …\x1b[K\r", err=True, nl=False)
