"""``export car`` and ``lifeboat``, ``import car``, ``lifeboat``, ``backup``: accounts and homes as files."""

from pathlib import Path
from typing import Final, Literal

import click

from unhush.cli.codes import UNSOUND
from unhush.cli.context import (
    FILE,
    Context,
    OurGroup,
    WrongUse,
    account_option,
    check_target,
    expanded,
    force_option,
    pass_context,
)
from unhush.cli.progress import counting, counting_of
from unhush.cli.shown import some

# Why a record is without its words.
_ABSENT: Final = {
    "withheld": "withheld",
    "unknown": "not on this device",
    "deleted": "deleted by their author",
    "malformed": "that nobody can read",
}


@click.group(cls=OurGroup, name="export")
def export_command() -> None:
    """Write an account to a file."""


@export_command.command(name="car")
@click.argument("file", type=FILE)
@account_option
@force_option
@pass_context
def export_car_command(context: Context, file: Path, account: str | None, *, force: bool) -> None:
    """Write the records of a whole account to FILE, in a format any IPLD program reads (CAR version 1).

    Pictures are not in it: export lifeboat takes them along.
    """
    path = expanded(file)
    check_target(path, force=force)
    with context.open() as node:
        contents = node.export_car(path, account, force=force)
    context.emit(
        {
            "file": str(path),
            "roots": [str(root) for root in contents.roots],
            "blocks": contents.blocks,
            "cards": contents.cards,
        },
        f"Account {contents.roots[0]} is in {file} ({some(contents.blocks, 'block')}); "
        "pictures are not in it: unhush export lifeboat takes them along.",
    )


@export_command.command(name="lifeboat")
@click.argument("file", type=FILE)
@account_option
@click.option(
    "--media",
    type=click.Choice(("none", "90d", "all")),
    default="90d",
    show_default=True,
    help="Which pictures: none, those of the last 90 days, or all.",
)
@force_option
@pass_context
def export_lifeboat_command(
    context: Context, file: Path, account: str | None, media: Literal["none", "90d", "all"], *, force: bool
) -> None:
    """Write a whole account to one HTML FILE that opens in any browser, without network, and checks itself."""
    path = expanded(file)
    check_target(path, force=force)
    with context.open() as node:
        made = node.export_lifeboat(path, account, media=media, on_progress=counting(context), force=force)
    contents = made.contents
    lacking_bodies = made.absent.get("withheld", 0) + made.absent.get("unknown", 0)
    context.emit(
        {
            "file": str(made.file),
            "bytes": made.bytes,
            "account": str(contents.account),
            "records": contents.records,
            "bodies": contents.bodies,
            "blobs": len(contents.blobs),
            "lacking": made.lacking + lacking_bodies,
            "lacking_bodies": lacking_bodies,
            "lacking_blobs": made.lacking,
            "absent": made.absent,
        },
        f"{some(contents.records, 'record')} and {some(len(contents.blobs), 'picture')} of account {contents.account} "
        f"are in {file} ({made.bytes:,} bytes). Open it in a browser, or check it: unhush verify {file}",
    )
    if made.absent:
        why = ", ".join(f"{count:,} {_ABSENT[reason]}" for reason, count in sorted(made.absent.items()))
        records = contents.records - len(contents.operations)
        context.say(f"unhush: {contents.bodies:,} of {records:,} are in it with their words; {why}.")
    if made.lacking:
        are = some(made.lacking, "picture is", "pictures are")
        context.say(f"unhush: {are} not on this device and so not in the file.")


@click.group(cls=OurGroup, name="import")
def import_command() -> None:
    """Take an account in from a file."""


@import_command.command(name="car")
@click.argument("file", type=FILE)
@pass_context
def import_car_command(context: Context, file: Path) -> int:
    """Take in the account in FILE; every hash and signature is checked. Works in a home without account."""
    with context.open(may_make=True) as node:
        imported = node.import_car(expanded(file), counting_of(context, "records taken in"))
    value = {
        "accounts": [str(account) for account in imported.accounts],
        "stored": imported.stored,
        "known": imported.known,
        "refused": imported.refused,
        "cards": imported.cards,
        "refused_cards": imported.refused_cards,
    }
    context.emit(value, f"{_new_text('record', imported.stored, imported.known)}.")
    if imported.refused:
        were = some(imported.refused, "record was", "records were")
        context.say(f"unhush: {were} refused; the first: {imported.first_problem}")
    if imported.refused_cards:
        were = some(imported.refused_cards, "card was", "cards were")
        context.say(f"unhush: {were} refused; what is wrong says: unhush verify {file}")
    return UNSOUND if imported.refused or imported.refused_cards else 0


@import_command.command(name="lifeboat")
@click.argument("file", type=FILE)
@pass_context
def import_lifeboat_command(context: Context, file: Path) -> int:
    """Take in the account in FILE; every hash and signature is checked. Works in a home without account."""
    with context.open(may_make=True) as node:
        taken = node.import_lifeboat(expanded(file), counting_of(context, "records taken in"))
    value = {
        "account": str(taken.account) if taken.account is not None else None,
        "stored": taken.stored,
        "known": taken.known,
        "refused": taken.refused,
        "lacking": taken.lacking,
        "blobs": taken.blobs,
        "known_blobs": taken.known_blobs,
        "lost_blobs": taken.lost_blobs,
        "unshown_blobs": taken.unshown_blobs,
        "lost_extras": taken.lost_extras,
    }
    pictures = _new_text("picture", taken.blobs, taken.known_blobs)
    context.emit(value, f"{_new_text('record', taken.stored, taken.known)}; {pictures}.")
    if taken.account is not None and (taken.stored or taken.known) and not context.is_json:
        context.say(f"To carry it for everybody who asks: unhush keep {taken.account}")
    if taken.unshown_blobs:
        were = some(taken.unshown_blobs, "picture was", "pictures were")
        context.say(f"unhush: {were} left aside: no record that is shown here has them.")
    if taken.refused or taken.lacking or taken.lost_blobs or taken.lost_extras or taken.first_problem:
        lost = [(taken.lost_blobs, "picture"), (taken.lost_extras, "card or other signed thing")]
        also = "".join(f", lost: {some(count, what)}" for count, what in lost if count)
        context.say(
            f"unhush: {some(taken.refused, 'record')} refused and {taken.lacking:,} missing{also}; "
            f"the first problem: {taken.first_problem or 'something is missing'}. All of them: unhush verify {file}"
        )
        return UNSOUND
    return 0


@import_command.command(name="backup")
@click.argument("file", type=FILE)
@pass_context
def import_backup_command(context: Context, file: Path) -> None:
    """Make a new home of a backup FILE. It has no key, so it reads and carries until: unhush restore."""
    from unhush.node.home.maintenance import restore_backup

    path = expanded(file)
    if not path.is_file():
        raise WrongUse(f"There is no file {file}.")
    made = restore_backup(context.config(), path, on_progress=counting(context))
    context.emit(
        {"file": str(path), "blobs": made.blobs},
        "The home is made. It has no key: it reads and carries. To write again: unhush restore, or unhush device join.",
    )


def _new_text(what: str, new: int, known: int) -> str:
    are = some(new, f"{what} is", f"{what}s are")
    return f"{are} new here, {known:,} {'was' if known == 1 else 'were'} known"
