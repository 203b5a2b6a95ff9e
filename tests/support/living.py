"""A node in a process of its own, told what to do line by line: ``HOME PASSPHRASE``, an empty passphrase for none.

It opens its keys, starts the network and says ``ready ADDRESS``. Then, one answer a line:

* ``peer ADDRESS``: know an address
* ``post TEXT``: the id of the post, or ``refused WHY``
* ``device``, ``problem``, ``local``: what it writes with, why it may not, how many records nobody has yet
* ``end``
"""

import sys
from pathlib import Path

from tests.support.nodes import address_of, config_of

from unhush.node import Node
from unhush.node.errors import UnhushError


def say(text: object) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def do(node: Node, verb: str, rest: str) -> object:
    match verb:
        case "peer":
            node.add_peer(rest)
            return "known"
        case "post":
            return node.post(rest).id
        case "device":
            return node.devices.identity(node.account()).devices[0].key
        case "problem":
            return node.status().problem
        case "local":
            return node.status().local_only
    raise ValueError(verb)


def main() -> None:
    home, passphrase = Path(sys.argv[1]), sys.argv[2]
    with Node.open(config_of(home, passphrase=(lambda: passphrase) if passphrase else None)) as node:
        node.unlock()
        node.start_network()
        say(f"ready {address_of(node)}")
        for line in sys.stdin:
            verb, _, rest = line.strip().partition(" ")
            if verb == "end":
                return
            try:
                say(do(node, verb, rest))
            except UnhushError as exc:
                say(f"refused {exc}")


if __name__ == "__main__":
    main()
