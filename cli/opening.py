"""``open``: into the page of a node that runs somewhere else, in the background or on another terminal."""

import click

from unhush.cli.context import Context, OurCommand, pass_context


@click.command(cls=OurCommand, name="open")
@pass_context
def open_command(context: Context) -> None:
    """Say an address that opens the page of the running node.

    It works once, for ten minutes, and lets in whoever has it: it is for your own browser. The exit code is 5 if no
    node runs on this home, or one without a page.
    """
    with context.open() as node:
        address = node.make_page_address()
    context.emit({"web": address}, address)
    if not context.is_json:
        context.say("It works once, for ten minutes; open it in a browser on this machine.")
