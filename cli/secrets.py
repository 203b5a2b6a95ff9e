"""Where commands get secrets: the passphrase and the 24 words. From files, the input, the keyring or a terminal.

Never from arguments or the environment, which other programs can read: those
only name files. What is read lives as long as the call that asked for it.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from unhush.cli import keyrings
from unhush.cli.asking import ask_hidden, can_ask, can_ask_hidden
from unhush.cli.context import FILE, Context, OurCommand, WrongUse, expanded

if TYPE_CHECKING:
    from unhush.identity.words import Words

T = TypeVar("T")

# 24 words of at most 8 letters; the rest is for white space.
_MAX_INPUT_BYTES: Final = 4_096
_MAX_TRIES: Final = 3

no_passphrase_option = click.option("--no-passphrase", is_flag=True, help="Keep the key of this device unsealed.")


class SigningCommand(OurCommand):
    """A command that may have to open a sealed key, so it takes ``--passphrase-file`` after its name too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(
            click.Option(
                ["--passphrase-file"],
                type=FILE,
                expose_value=False,
                callback=_set_passphrase_file,
                help="A file, yours alone to read, whose first line is the passphrase.",
            )
        )


def _set_passphrase_file(ctx: click.Context, _param: click.Parameter, value: Path | None) -> None:
    if value is not None:
        ctx.find_object(Context).passphrase_file = expanded(value)  # type: ignore[union-attr]  # the top group made it


class PassphraseSource:
    """The passphrase of a home, each time it is called: the file that was named, else the keyring, else a person."""

    def __init__(self, home: Path, file: Path | None) -> None:
        self._home = home
        self._file = file
        self._asked = 0
        self.last: str | None = None  # what was given last: the right one, once it opened something

    def __call__(self) -> str:
        from unhush.node.account.secrets import read_passphrase
        from unhush.node.errors import KeySealed

        if self._file is not None:
            self.last = read_passphrase(self._file)
            return self.last
        self._asked += 1
        if self._asked == 1 and (kept := keyrings.find_passphrase(self._home)) is not None:
            self.last = kept
            return kept
        if not can_ask_hidden():
            raise KeySealed(self._home)
        answer = self._ask("That does not open it. Passphrase" if self.last is not None else "Passphrase")
        while answer and answer == self.last:
            answer = self._ask("That was the same again. Passphrase")
        self.last = answer
        return answer

    def _ask(self, prompt: str) -> str:
        from unhush.node.account.secrets import check_passphrase

        return check_passphrase(ask_hidden(prompt))


def ask_new_passphrase(prompt: str) -> str | None:
    """A passphrase typed twice; None if the person leaves it empty."""
    from unhush.node.account.secrets import check_passphrase

    for _ in range(_MAX_TRIES):
        passphrase = ask_hidden(prompt)
        if not passphrase:
            return None
        check_passphrase(passphrase)
        if ask_hidden("The same again") == passphrase:
            return passphrase
        click.echo("The two are not the same.", err=True)
    raise WrongUse("The passphrase was never the same twice; nothing was changed.")


def words_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--words-from``, as an argument ``words`` of the command."""
    return click.option(
        "--words-from",
        "words",
        metavar="FILE|-",
        callback=lambda _ctx, _param, given: WordsSource(given),
        help="Where the 24 words are: a file that only you can read, or - for the input. Otherwise they are asked for.",
    )(command)


@dataclass(frozen=True, slots=True)
class WordsSource:
    """Where the 24 words are to be had."""

    given: str | None  # a file, ``-`` for the input, None for a person

    def get(self) -> "Words":
        """Read them now; raises ``WordsNeeded`` if there is nowhere to read them from, ``BadWords``."""
        from unhush.node.account.secrets import read_words
        from unhush.node.errors import WordsNeeded

        if self.given not in (None, "-"):
            return read_words(expanded(Path(self.given)))
        if self.given == "-" and not can_ask():
            return _read_input()
        if not can_ask_hidden():
            raise WordsNeeded("this needs your 24 words, and there is nobody to ask")
        return _ask_words()

    def sign(self, act: "Callable[[Words | None], T]") -> T:
        """Do what the words sign, or the root key kept here, if it is; they are asked for only if they are needed."""
        from unhush.node.errors import WordsNeeded

        if self.given is not None:
            return act(self.get())
        try:
            return act(None)
        except WordsNeeded:
            if not can_ask_hidden():
                raise
            return act(self.get())


def _read_input() -> "Words":
    from unhush.node.account.secrets import parse_words

    if sys.stdin is None:  # it can be, whatever its type says: closed by whoever started us
        raise WrongUse("There is no input to read the words from.")
    return parse_words(sys.stdin.buffer.read(_MAX_INPUT_BYTES).decode("ascii", "replace"))


def _ask_words() -> "Words":
    from unhush.node.account.secrets import parse_words
    from unhush.node.errors import BadWords

    for tries in range(1, _MAX_TRIES + 1):
        try:
            return parse_words(ask_hidden("Your 24 words, in order, on one line (they stay hidden)"))
        except BadWords as exc:
            if tries == _MAX_TRIES:
                raise
            click.echo(f"Not yet: {exc}.", err=True)
    raise AssertionError("the last try returns or raises")
