"""``media save``: a picture of a post as a file."""

from pathlib import Path

import click

from unhush.cli.context import FILE, Context, OurGroup, expanded, force_option, pass_context
from unhush.cli.shown import some


@click.group(cls=OurGroup, name="media")
def media_command() -> None:
    """Save a picture of a post to a file."""


@media_command.command(name="save")
@click.argument("record", metavar="ID")
@click.argument("number", type=click.IntRange(1), default=1)
@click.option("-o", "--output", type=FILE, required=True, help="The file to write.")
@force_option
@pass_context
def save_command(context: Context, record: str, number: int, output: Path, force: bool) -> None:
    """Write picture NUMBER (the first, if you name none) of the post ID to a file."""
    from unhush.node.errors import NotFound
    from unhush.node.wholefiles import whole_file

    with context.open() as node:
        media = node.show(record).media
        if number > len(media):
            raise NotFound(f"this record has {some(len(media), 'picture')}; there is no number {number}")
        item = media[number - 1]
        size, mime = node.media.size(item.cid), node.media.type(item.cid)
        path = expanded(output)
        with whole_file(path, force=force) as file:
            for part in node.media.iter_range(item.cid, 0, size):
                file.write(part)
    value = {"file": str(path), "cid": str(item.cid), "mime": mime, "size": size}
    context.emit(value, f"{size:,} bytes ({mime}) are in {path}.")
