"""``quote``, ``edit``, ``delete``, ``repost``, ``react`` and what undoes them: acting on posts."""

from typing import TYPE_CHECKING, Final

import click

from unhush.cli.context import Context, pass_context
from unhush.cli.secrets import SigningCommand
from unhush.cli.shown import display_name
from unhush.cli.writing import LANG, WARNING, new_heading, read_text, say_written
from unhush.node.names import clean_name

if TYPE_CHECKING:
    from unhush.node import Shown

# What is undone by deleting a record of a kind.
_UNDONE: Final = {
    "post": "The post is withdrawn, with all its versions, wherever this is heard of.",
    "edit": "The version before it is shown again.",
    "repost": "The repost is taken back.",
    "react": "The reaction is taken back.",
    "follow": "The follow is ended, unless another record says it too.",
    "keeper": "They are no longer asked to keep your account, unless another record asks them.",
    "block": "It is no longer told to others; a block of this machine stays.",
    "profile": "The profile before it counts again.",
    "label": "The label is taken back.",
    "rebuttal": "The rebuttal is taken back.",
}


@click.command(cls=SigningCommand, name="quote")
@click.argument("record", metavar="ID")
@click.argument("text", required=False)
@WARNING
@LANG
@pass_context
def quote_command(context: Context, record: str, text: str | None, warning: str | None, lang: str | None) -> None:
    """Publish a post that shows the post ID beneath itself.

    Without TEXT, or with '-', it is read from the input (on a terminal: from your editor).
    """
    heading = new_heading(warning=warning, lang=lang)
    with context.open() as node:
        node.account()
        node.show(record)  # before anybody writes a long text about nothing
        say_written(context, node.quote(record, read_text(text), heading=heading))


@click.command(cls=SigningCommand, name="edit")
@click.argument("record", metavar="ID")
@click.argument("text", required=False)
@click.option("--title", metavar="TEXT", help="Another title; '' takes it away.")
@click.option("--warning", metavar="TEXT", help="Another warning; '' takes it away.")
@click.option("--lang", metavar="TAG", help="Another language (BCP 47); '' takes it away.")
@pass_context
def edit_command(
    context: Context, *, record: str, text: str | None, title: str | None, warning: str | None, lang: str | None
) -> None:
    """Give your post ID other words; all its versions stay readable.

    Without TEXT, or with '-', the new text is read from the input (on a terminal: from your editor, which begins with
    the old one). What is not named stays: pictures, what the post answers, title, warning and language; and, if you
    give one of these but no TEXT, the text.
    """
    from unhush.node import Heading

    heading = Heading(title, warning, lang)
    with context.open() as node:
        node.account()
        before = node.show(record)
        is_text_kept = text is None and heading != Heading()
        words = before.text if is_text_kept else read_text(text, now=before.text)
        shown = node.edit(record, words, heading=heading)
    say_written(context, shown)
    if context.is_json:
        return
    if shown.version is None or shown.version == before.version:
        context.say("Nothing changed, so nothing was published.")
    else:
        context.say(f"All versions: unhush history {shown.id}; undo: unhush delete {shown.version}")


@click.command(cls=SigningCommand, name="delete")
@click.argument("records", metavar="ID...", nargs=-1, required=True)
@pass_context
def delete_command(context: Context, records: tuple[str, ...]) -> None:
    """Take back the records ID..., all of them or none: posts, edits, follows, reposts, reactions, profiles.

    Whoever hears of it stops showing and serving them. A delete itself cannot be taken back: write it again.
    """
    with context.open() as node:
        undone = node.delete(*records)
    for shown in undone:
        value = {"id": str(shown.id), "kind": shown.kind, "deleted": True}
        context.emit(value, _UNDONE.get(shown.kind, f"The record ({clean_name(shown.kind)}) is taken back."))


@click.command(cls=SigningCommand, name="repost")
@click.argument("record", metavar="ID")
@pass_context
def repost_command(context: Context, record: str) -> None:
    """Show the post ID to those who follow you."""
    with context.open() as node:
        shown = node.repost(record)
    _emit_act(context, shown, f"You reposted {_whose(shown.reposted)}.")


@click.command(cls=SigningCommand, name="unrepost")
@click.argument("record", metavar="ID")
@pass_context
def unrepost_command(context: Context, record: str) -> None:
    """Take back your repost of the post ID."""
    with context.open() as node:
        node.unrepost(record)
    context.emit({"target": record, "reposted": False}, "The repost is taken back.")


@click.command(cls=SigningCommand, name="react")
@click.argument("record", metavar="ID")
@click.argument("emoji")
@pass_context
def react_command(context: Context, record: str, emoji: str) -> None:
    """React to the post ID with an EMOJI, or any short word (32 bytes) that stands for one."""
    with context.open() as node:
        shown = node.react(record, emoji)
    _emit_act(context, shown, f"You reacted {clean_name(shown.emoji or '')}.")


@click.command(cls=SigningCommand, name="unreact")
@click.argument("record", metavar="ID")
@click.argument("emoji", required=False)
@pass_context
def unreact_command(context: Context, record: str, emoji: str | None) -> None:
    """Take back your reaction to the post ID: with one EMOJI, or all of them."""
    with context.open() as node:
        node.unreact(record, emoji)
    context.emit({"target": record, "emoji": emoji, "reacted": False}, "The reaction is taken back.")


def _emit_act(context: Context, shown: "Shown", sentence: str) -> None:
    value = {
        "id": str(shown.id),
        "account": str(shown.account),
        "aid": shown.aid,
        "time": shown.time_ms,
        "target": str(shown.target),
    }
    context.emit(value, f"{sentence} Undo: unhush delete {shown.id}")


def _whose(shown: "Shown | None") -> str:
    if shown is None:
        return "it"
    return "your own post" if shown.is_own else f"what {display_name(shown.petname or shown.name, shown.account)} wrote"
