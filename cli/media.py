"""``media save``: a picture of a post as a file."""

import os
from pathlib import Path

import click

from unhush.cli.context import FILE, Context, OurGroup, WrongUse, expanded, pass_context
from unhush.cli.shown import some


@click.group(cls=OurGroup, name="media")
def media_command() -> None:
    """Save a picture of a post to a file."""


@media_command.command(name="save")
@click.argument("record", metavar="ID")
@click.argument("number", type=click.IntRange(1), default=1)
@click.option("-o", "--output", type=FILE, required=True, help="The file to write; it must not exist.")
@pass_context
def save_command(context: Context, record: str, number: int, output: Path) -> None:
    """Write picture NUMBER (the first, if you name none) of the post ID to a file."""
    from unhush.node.errors import NotFound

    with context.open() as node:
        media = node.show(record).media
        if number > len(media):
            raise NotFound(f"this record has {some(len(media), 'picture')}; there is no number {number}")
        item = media[number - 1]
        size, mime = node.media.size(item.cid), node.media.type(item.cid)
        path = expanded(output)
        # Exclusively: nothing of the person's is written over.
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except FileExistsError as exc:
            raise WrongUse(f"{path} exists, and nothing was written over it: choose another name.") from exc
        with os.fdopen(descriptor, "wb") as file:
            try:
                for part in node.media.iter_range(item.cid, 0, size):
                    file.write(part)
            except BaseException:
                path.unlink(missing_ok=True)
                raise
    value = {"file": str(path), "cid": str(item.cid), "mime": mime, "size": size}
    context.emit(value, f"{size:,} bytes ({mime}) are in {path}.")
