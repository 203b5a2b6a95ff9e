"""What goes on, for a person who waits: one line of a terminal, written over and over; nothing for programs."""

import sys
import time
from collections.abc import Callable
from typing import Final

import click

from unhush.cli.context import Context, is_terminal

# On a pipe, where no line is written over, records that come are told of no more often than this.
_LINE_EVERY_S: Final = 5.0

Tell = Callable[[str, int], None]


def counting(context: Context) -> Tell:
    """Of what there are so many by now."""
    return _on_one_line(context, lambda what, count: f"{count:,} {what} …")


def counting_of(context: Context, what: str) -> Callable[[int], None]:
    """As ``counting``, of one thing alone."""
    tell = counting(context)
    return lambda count: tell(what, count)


def doing(context: Context) -> Tell:
    """What is being done, and how many records are here by now."""
    return _on_one_line(context, _doing_text)


def doing_line_by_line(context: Context) -> Tell:
    """As ``doing``, also where there is no terminal: then a line for each thing that begins, and now and then."""
    if context.is_json or is_terminal(sys.stderr):
        return doing(context)
    last, at = "", float("-inf")

    def tell(what: str, count: int) -> None:
        nonlocal last, at
        now = time.monotonic()
        if what != last or now - at >= _LINE_EVERY_S:
            last, at = what, now
            context.say(_doing_text(what, count))

    return tell


def _doing_text(what: str, count: int) -> str:
    return f"{what} … {count:,} records" if count else f"{what} …"


def _on_one_line(context: Context, text: Callable[[str, int], str]) -> Tell:
    if context.is_json or not is_terminal(sys.stderr):
        return lambda _what, _count: None
    return lambda what, count: click.echo(f"\r{text(what, count)}\x1b[K\r", err=True, nl=False)
