"""``withhold``: doing without the body of a record, and saying so."""

from typing import TYPE_CHECKING, Any

import click

from unhush.cli.context import Context, OurCommand, check_one, pass_context
from unhush.cli.shown import display_name, some, time_text
from unhush.node.names import clean_name

if TYPE_CHECKING:
    from unhush.node.views import WithheldInfo


@click.command(cls=OurCommand, name="withhold")
@click.argument("record", metavar="[ID]", required=False)
@click.option("--reason", metavar="TEXT", help="Why; whoever asks for the record is told.")
@click.option("--list", "is_listing", is_flag=True, help="List what is withheld here.")
@click.option("--undo", metavar="ID", help="Take the record in again, if anybody has it.")
@pass_context
def withhold_command(
    context: Context, record: str | None, reason: str | None, is_listing: bool, undo: str | None
) -> None:
    """Erase the body of the record ID here with the pictures it alone shows, and say so to whoever asks.

    The signed entry stays: it says that there was something, and nothing of what. Receipts of this node list it.
    """
    if record is None and reason is not None:
        raise click.UsageError("--reason goes with the ID of a record to withhold.")
    check_one("Withhold which record?", {"ID": record, "--list": is_listing, "--undo": undo})
    if record is not None and reason is None:
        raise click.UsageError("A record is withheld with --reason TEXT, which is told to whoever asks for it.")
    with context.open() as node:
        if is_listing:
            held = node.withheld()
            for each in held:
                context.emit(_json_of_withheld(each), _line_of_withheld(each))
            if not held and not context.is_json:
                context.say("Nothing is withheld here.")
        elif undo is not None:
            node.unwithhold(undo)
            context.emit(
                {"id": undo, "withheld": False},
                "It is taken in again: a running node asks who is connected now, and others as they are met.",
            )
        else:
            assert record is not None
            assert reason is not None
            done = node.withhold(record, reason)
            context.emit(_json_of_withheld(done), _say_withheld(done))


def _say_withheld(withheld: "WithheldInfo") -> str:
    if withheld.replaced:
        said = f"Withheld as before, with the new reason in place of: {clean_name(withheld.replaced)}."
    elif withheld.account is None:
        said = "Nothing of this record is here; when it comes, its body is not taken in."
    else:
        pictures = f", and {some(withheld.pictures, 'picture')} that nothing else shows" if withheld.pictures else ""
        said = f"Its body is gone from here{pictures}."
    return f"{said} Undo: unhush withhold --undo {withheld.id}"


def _line_of_withheld(withheld: "WithheldInfo") -> str:
    by = f" by {display_name(withheld.name, withheld.account)}" if withheld.account is not None else ""
    return f"{withheld.id}{by} · since {time_text(withheld.since_ms)} · {clean_name(withheld.reason)}"


def _json_of_withheld(withheld: "WithheldInfo") -> dict[str, Any]:
    return {
        "id": str(withheld.id),
        "account": str(withheld.account) if withheld.account is not None else None,
        "reason": withheld.reason,
        "since": withheld.since_ms,
        "withheld": True,
        "replaced": withheld.replaced or None,
        "pictures": withheld.pictures,
    }
