"""Questions to a person at a terminal. Nobody else is ever asked: a script says what it wants by options."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from unhush.cli.context import WrongUse, is_terminal

# Another screen, as editors use it: leaving it brings back what was there, and it has no history to scroll to.
_ENTER_SCREEN = "\x1b[?1049h\x1b[2J\x1b[H"
_LEAVE_SCREEN = "\x1b[2J\x1b[H\x1b[?1049l"


def can_ask() -> bool:
    """Whether a person reads what we say and can answer."""
    return is_terminal(sys.stdin) and is_terminal(sys.stderr)


def can_ask_hidden() -> bool:
    """Whether a person can type a secret, also while the input is a pipe: then the terminal itself is asked."""
    if not is_terminal(sys.stderr):
        return False
    if is_terminal(sys.stdin):
        return True
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def ask_hidden(prompt: str) -> str:
    """A line that is not shown while it is typed; it may be empty. Raises ``click.Abort``."""
    answer: str = click.prompt(prompt, default="", show_default=False, hide_input=True, err=True)
    return answer


def confirm(question: str, *, otherwise: str) -> None:
    """Go on only if the person says yes; without one, ``otherwise`` says which option to give."""
    if not can_ask():
        raise WrongUse(otherwise)
    click.confirm(question, abort=True, err=True)


@contextmanager
def passing_screen() -> Iterator[None]:
    """What is printed inside is gone from the terminal afterwards, as far as the terminal can."""
    can_clear = os.environ.get("TERM", "dumb") != "dumb"
    if can_clear:
        click.echo(_ENTER_SCREEN, nl=False, color=True)
    try:
        yield
    finally:
        if can_clear:
            click.echo(_LEAVE_SCREEN, nl=False, color=True)
