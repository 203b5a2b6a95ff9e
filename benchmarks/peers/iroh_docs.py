"""iroh docs doing what our nodes do: one process gives many entries to another, then live ones.

Run by ``rivals_of_mesh.py`` with the iroh package on the path, as ``giver FOLDER COUNT POSTS`` and
``taker FOLDER TICKET COUNT POSTS``. Each says what happens in lines of JSON, with times of the monotonic clock. An
entry counts as arrived when its content is there too.
"""

import asyncio
import json
import os
import sys
import time
from typing import Any

import iroh
from iroh import iroh_ffi

SIZE_BYTES = 500  # as our records: entry and body
PAUSE_S = 0.02


def say(**what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def open_node(folder: str) -> Any:
    iroh_ffi.uniffi_set_event_loop(asyncio.get_running_loop())
    options = iroh.NodeOptions(enable_docs=True, node_discovery=iroh.NodeDiscoveryConfig.NONE)
    return await iroh.Iroh.persistent_with_options(folder, options)


async def give(folder: str, count: int, posts: int) -> None:
    node = await open_node(folder)
    author = await node.authors().create()
    doc = await node.docs().create()
    for number in range(count):
        await doc.set_bytes(author, b"%016d" % number, os.urandom(SIZE_BYTES))
    ticket = await doc.share(iroh.ShareMode.READ, iroh.AddrInfoOptions.ADDRESSES)
    say(ticket=str(ticket))
    await asyncio.to_thread(sys.stdin.readline)  # the other has everything
    for number in range(posts):
        await asyncio.sleep(PAUSE_S)
        key = b"live%012d" % number
        await doc.set_bytes(author, key, os.urandom(SIZE_BYTES))
        say(posted=key.decode(), at=time.monotonic())
    say(posting="done")
    await asyncio.to_thread(sys.stdin.readline)


class Seen:
    """Entries are announced first; their contents are told of by hash."""

    def __init__(self) -> None:
        self.keys: dict[str, list[str]] = {}
        self.ready: dict[str, float] = {}
        self.count = 0
        self.changed = asyncio.Event()

    async def event(self, event: Any) -> None:
        kind = event.type()
        if kind == iroh.LiveEventType.INSERT_REMOTE:
            entry = event.as_insert_remote().entry
            self.keys.setdefault(str(entry.content_hash()), []).append(entry.key().decode())
        elif kind == iroh.LiveEventType.CONTENT_READY:
            for key in self.keys.pop(str(event.as_content_ready()), []):
                self.ready[key] = time.monotonic()
                self.count += 1
            self.changed.set()


async def take(folder: str, ticket: str, count: int, posts: int) -> None:
    node = await open_node(folder)
    seen = Seen()
    began = time.monotonic()
    doc = await node.docs().join_and_subscribe(iroh.DocTicket(ticket), seen)
    for wanted, name in ((count, "bulk"), (count + posts, "live")):
        while seen.count < wanted:
            seen.changed.clear()
            await seen.changed.wait()
        times = {key: at for key, at in seen.ready.items() if key.startswith("live")}
        say(got=name, seconds=time.monotonic() - began, seen=times)
    del doc


def main() -> None:
    match sys.argv[1:]:
        case ["giver", folder, count, posts]:
            asyncio.run(give(folder, int(count), int(posts)))
        case ["taker", folder, ticket, count, posts]:
            asyncio.run(take(folder, ticket, int(count), int(posts)))
    os._exit(0)  # its threads do not end by themselves


if __name__ == "__main__":
    main()
