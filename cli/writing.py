"""``post``, ``reply``, ``follow``, ``unfollow``: everything that signs a record. A node need not run."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from unhush.cli.context import FILE, Context, WrongUse, expanded, is_terminal, pass_context
from unhush.cli.secrets import SigningCommand
from unhush.cli.shown import display_name
from unhush.cli.wire import NOBODY_KNOWN

if TYPE_CHECKING:
    from unhush.node import Heading, Shown

# A line longer than this is no post; reading it whole would only cost memory.
_MAX_INPUT_BYTES = 1_048_576
WARNING = click.option("--warning", metavar="TEXT", help="What to warn of; lists show it in place of the post.")
LANG = click.option("--lang", metavar="TAG", help="The language of the text (BCP 47), as en, pt-BR or zh-Hant.")


@click.command(cls=SigningCommand, name="post")
@click.argument("text", required=False)
@click.option("--lines", is_flag=True, help="One post for each line of the input that is not empty.")
@click.option("--image", "images", type=FILE, multiple=True, help="A picture to show with it; up to 8 times.")
@click.option("--alt", "alts", multiple=True, help="What a picture shows, in the order of the pictures.")
@click.option("--title", metavar="TEXT", help="A title; it makes the post an article.")
@WARNING
@LANG
@pass_context
def post_command(
    context: Context,
    *,
    text: str | None,
    lines: bool,
    images: tuple[Path, ...],
    alts: tuple[str, ...],
    title: str | None,
    warning: str | None,
    lang: str | None,
) -> None:
    """Publish a post.

    TEXT is CommonMark. Without it, or with '-', the post is read from the input (on a terminal: from your editor).
    Pictures are written anew: place, camera and whatever else was noted in them is left out.
    """
    _check_images(images, alts, lines=lines)
    if title is not None and lines:
        raise WrongUse("--title does not go with --lines.")
    heading = new_heading(title=title, warning=warning, lang=lang)
    with context.open() as node:
        node.account()
        # Before anybody writes a long text to a picture that cannot be taken.
        media = [node.attach(expanded(path), alt) for path, alt in zip(images, _padded(alts, images), strict=True)]
        for each in _lines(text) if lines else [read_text(text, may_be_empty=bool(media))]:
            say_written(context, node.post(each, media, heading=heading))


def _padded(alts: tuple[str, ...], images: tuple[Path, ...]) -> tuple[str, ...]:
    return alts + ("",) * (len(images) - len(alts))


def _check_images(images: tuple[Path, ...], alts: tuple[str, ...], *, lines: bool) -> None:
    from unhush.storage.kinds.posts import MAX_MEDIA

    if len(images) > MAX_MEDIA:
        raise WrongUse(f"A post shows at most {MAX_MEDIA} pictures.")
    if len(alts) > len(images):
        raise WrongUse("There are more --alt than --image.")
    if images and lines:
        raise WrongUse("--image does not go with --lines.")


@click.command(cls=SigningCommand, name="reply")
@click.argument("record", metavar="ID")
@click.argument("text", required=False)
@WARNING
@LANG
@pass_context
def reply_command(context: Context, record: str, text: str | None, warning: str | None, lang: str | None) -> None:
    """Answer the record ID.

    Without TEXT, or with '-', the answer is read from the input (on a terminal: from your editor).
    """
    heading = new_heading(warning=warning, lang=lang)
    with context.open() as node:
        node.account()
        node.show(record)  # before anybody writes a long answer to nothing
        say_written(context, node.reply(record, read_text(text), heading=heading))


@click.command(cls=SigningCommand, name="follow")
@click.argument("account")
@click.option("--petname", help="What you call them; it stays on this machine.")
@pass_context
def follow_command(context: Context, account: str, petname: str | None) -> None:
    """Follow ACCOUNT: their posts come to your timeline, and your node carries them for others."""
    with context.open() as node:
        person = node.follow(node.account_of(account), petname)
        is_somebody_known = node.knows_anybody() or bool(node.peers() or node.card(person.account).peers)
    value = {"account": str(person.account), "name": person.name, "petname": person.petname, "followed": True}
    context.emit(value, f"You follow {display_name(person.petname or person.name, person.account)}.")
    if not is_somebody_known and not context.is_json:
        context.say(NOBODY_KNOWN)


@click.command(cls=SigningCommand, name="unfollow")
@click.argument("account")
@pass_context
def unfollow_command(context: Context, account: str) -> None:
    """End following ACCOUNT, an id or what you call them; what was received stays on this machine."""
    with context.open() as node:
        who = node.account_of(account)
        node.unfollow(who)
    context.emit({"account": str(who), "followed": False}, "You no longer follow this account.")


def new_heading(*, title: str | None = None, warning: str | None = None, lang: str | None = None) -> "Heading":
    """What is to stand above a new text, found fit before anybody writes that."""
    from unhush.node import Heading

    for option, said in (("--title", title), ("--warning", warning), ("--lang", lang)):
        if said == "":
            raise WrongUse(f"{option} is empty; leave it out if there is none.")
    return Heading(title, warning, lang)


def say_written(context: Context, shown: "Shown") -> None:
    """The id of what was written, and nothing else, so that it can be passed on."""
    value = {"id": str(shown.id), "account": str(shown.account), "aid": shown.aid, "time": shown.time_ms}
    context.emit(value, str(shown.id))


def read_text(text: str | None, *, now: str = "", may_be_empty: bool = False) -> str:
    """What was given, or comes from the input; on a terminal, what the person makes of ``now`` in their editor."""
    if text is None and is_terminal(sys.stdin):
        text = click.edit(now) or ""
    elif text in (None, "-"):
        text = _decode(_input().read(_MAX_INPUT_BYTES))
    text = text.strip("\n")
    if not text.strip() and not may_be_empty:
        raise click.UsageError("There is nothing to post.")
    return text


def _lines(text: str | None) -> Iterator[str]:
    if text not in (None, "-"):
        raise click.UsageError("With --lines the posts come from the input: give '-' or nothing.")
    source = _input()
    while line := source.readline(_MAX_INPUT_BYTES):
        if stripped := _decode(line).strip():
            yield stripped


def _input() -> BinaryIO:
    if sys.stdin is None:  # it can be, whatever its type says: closed by whoever started us
        raise click.UsageError("There is no input to read from.")
    return sys.stdin.buffer


def _decode(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        raise click.UsageError("The input is not UTF-8 text.") from exc
