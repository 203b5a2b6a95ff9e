"""A process that restores an account, to be killed on its way: ``HOME PEER WORDS``.

It says each step as ``step COUNT WHAT``, then ``restored DEVICE RECORDS``, and posts ``back again``. It ends when
that has left.
"""

import sys
import time
from pathlib import Path

from tests.support.commands import await_until
from tests.support.nodes import config_of

from unhush.identity.words import parse_words
from unhush.node import Node


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def step(what: str, count: int) -> None:
    say(f"step {count} {what}")
    if what not in _SEEN:
        _SEEN.add(what)
        time.sleep(_PAUSE_S)


# Whoever is to kill it at a step has this long to do so before the next begins.
_PAUSE_S = 0.5
_SEEN: set[str] = set()


def main() -> None:
    home, peer, words = sys.argv[1:4]
    with Node.open(config_of(Path(home), peers=(peer,))) as node:
        restored = node.restore(parse_words(words), on_progress=step)
        say(f"restored {restored.device.key} {restored.records}")
        node.post("back again")
        await_until(lambda: node.status().local_only == 0, "the post leaves")


if __name__ == "__main__":
    main()
