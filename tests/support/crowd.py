"""Several nodes in one process, told what to do line by line: ``crowd.py SETTINGS``, a JSON list.

Each element is a home and its settings: ``{"home": …, "peers": […], "bootstrap": […]}``; homes have accounts already,
but for one that is to be restored. It says ``{"addresses": […]}`` once all of them run. Then one JSON object a line is
asked, ``{"do": VERB, …}``, and one answered:

* ``posts``: how many posts of ``account`` each shows
* ``pictures``: how many of the ``blobs`` each has whole
* ``newest``: the text of the newest post of ``account`` at each
* ``connected``: with how many machines each is
* ``keep``: node ``at`` promises to carry ``account``, pictures too
* ``keepers``: how many keepers of ``account`` each knows that say they have all of it
* ``look``: node ``at`` follows ``account`` as a stranger would, and waits for ``posts`` and ``blobs``
* ``restore``: into the home ``at`` by ``words``, then ``post`` a text
* ``end``
"""

import json
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.support.commands import await_until
from tests.support.nodes import address_of, config_of

from unhush.identity.cid import Cid, parse_cid
from unhush.identity.words import parse_words
from unhush.node import Node


class Crowd:
    """The nodes of this process."""

    def __init__(self, nodes: list[Node]) -> None:
        self._nodes = nodes

    def do(self, verb: str, asked: dict[str, Any]) -> Any:
        account = parse_cid(asked["account"]) if "account" in asked else None
        blobs = [parse_cid(blob) for blob in asked.get("blobs", ())]
        match verb:
            case "posts":
                assert account is not None
                return [node.person(account).posts for node in self._nodes]
            case "pictures":
                return [sum(map(node.media.has, blobs)) for node in self._nodes]
            case "newest":
                assert account is not None
                return [newest(node, account) for node in self._nodes]
            case "connected":
                return [node.status().peers_connected for node in self._nodes]
            case "keep":
                assert account is not None
                self._nodes[asked["at"]].keep(account, media="all")
                return True
            case "keepers":
                assert account is not None
                return [count_receipts(node, account) for node in self._nodes]
            case "look":
                assert account is not None
                return look(self._nodes[asked["at"]], account, asked["posts"], blobs)
            case "restore":
                return restore(self._nodes[asked["at"]], asked["words"], asked["post"])
        raise ValueError(verb)


def count_receipts(node: Node, account: Cid) -> int:
    """Keepers that say that they hold every record that is here."""
    return sum(keeper.receipt_ms is not None and keeper.covers == keeper.records for keeper in node.keepers(account))


def newest(node: Node, account: Cid) -> str:
    items = node.person_posts(account, 1).items
    return items[0].text if items else ""


def look(node: Node, account: Cid, posts: int, blobs: list[Cid]) -> dict[str, Any]:
    """Read the account; what came when, in seconds since it was asked for, and what a full check of it says."""
    began, cpu_began = time.monotonic(), time.process_time()
    node.follow(account)
    node.start_network()
    await_until(lambda: newest(node, account), "a first post")
    first_s = time.monotonic() - began
    await_until(lambda: node.person(account).posts >= posts, "every post")
    complete_s = time.monotonic() - began
    await_until(lambda: all(map(node.media.has, blobs)), "every picture")
    pictures_s = time.monotonic() - began
    report = node.verify(deep=True)
    with node._store.snapshot() as snapshot:
        state = snapshot.account(account)
        assert state is not None
        is_whole = snapshot.is_whole(state)
    verified_s, cpu_s = time.monotonic() - began, time.process_time() - cpu_began
    audit = node.audit(account, timeout_s=10.0)
    return {
        "first_s": first_s,
        "complete_s": complete_s,
        "pictures_s": pictures_s,
        "verified_s": verified_s,
        "cpu_s": cpu_s,
        "verdict": audit.verdict.word.value,
        "verdict_s": time.monotonic() - began,
        "posts": node.person(account).posts,
        "is_clean": report.is_clean and report.forks == 0,
        "is_whole": is_whole,
    }


def restore(node: Node, words: str, text: str) -> dict[str, Any]:
    """Restore, start, post; the seconds until the post was written."""
    began = time.monotonic()
    restored = node.restore(parse_words(words), name="new machine")
    node.start_network()
    node.post(text)
    return {"restored_s": time.monotonic() - began, "is_complete": restored.is_complete, "records": restored.records}


def say(what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main() -> None:
    with ExitStack() as running:
        nodes = []
        for each in json.loads(sys.argv[1]):
            config = config_of(
                Path(each["home"]), exchange=True, peers=tuple(each["peers"]), bootstrap=tuple(each["bootstrap"])
            )
            node = running.enter_context(Node.open(config))
            if each.get("runs", True):
                node.start_network()
            nodes.append(node)
        crowd = Crowd(nodes)
        say({"addresses": [address_of(node) if node.status().network_running else "" for node in nodes]})
        for line in sys.stdin:
            asked = json.loads(line)
            if asked["do"] == "end":
                return
            say({"said": crowd.do(asked["do"], asked)})


if __name__ == "__main__":
    main()
