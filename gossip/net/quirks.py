"""Every process-global switch we set in libp2p, each with its reason; nothing else may touch them.

They are measured against libp2p 0.8.1 (pinned). What can be cured by subclassing is cured there
(``muxer.py``, ``swarm.py``, ``negotiation.py``, ``gossipsub.py``); here stand only the things for which
libp2p offers no parameter.
"""

import functools
import logging
import os
import weakref
from collections.abc import Callable
from typing import Any

from libp2p.abc import IHost
from libp2p.identity.identify import identify
from libp2p.peer.peerstore import env_to_send_in_RPC
from libp2p.pubsub import gossipsub, pubsub, rpc_queue
from libp2p.stream_muxer.yamux import yamux

# The receive window a stream may grow to. Stock 16 MiB is also the largest frame body it will buffer in one
# piece. 512 KiB keeps an honest sender's unread data (window + half a window + one 256 KiB read, the most
# the stock bookkeeping can promise) inside the 1 MiB cap of ``muxer.py`` and still fills 100 MB/s on a LAN.
MAX_RECEIVE_WINDOW_BYTES = 512 * 1024

# Outbound gossip messages waiting for one peer. Stock 32 drops a burst of one full page of posts
# without a word; 256 messages of the usual 1 KiB are a quarter of a megabyte.
MAX_QUEUED_RPCS = 256

_records: "weakref.WeakKeyDictionary[IHost, tuple[tuple[str, ...], bytes]]" = weakref.WeakKeyDictionary()


def apply(agent: str) -> None:
    """Set all switches. Safe to call again; called once per host."""
    # What identify says of us is a constant of the module, so of two hosts in a process the later names both.
    identify.AGENT_VERSION = agent

    yamux.MAX_WINDOW_SIZE = MAX_RECEIVE_WINDOW_BYTES

    # With the default of 1 every small read is answered by its own window update: twice the frames, twice
    # the encryption, for gossip messages that never come near the window.
    os.environ["PY_YAMUX_RELEASE_ON_READ"] = "0"

    # ``rpc_queue.OutBoundQueueSize`` is bound as a default argument when the class is made, so changing the
    # constant does nothing; the name ``RpcQueue`` that ``Pubsub`` looks up is what can be changed.
    # ``Any``: a partial stands in for the class, which libp2p only ever calls.
    module: Any = pubsub
    module.RpcQueue = functools.partial(rpc_queue.RpcQueue, max_size=MAX_QUEUED_RPCS)

    # Our own signed record is compared address by address and marshalled for every single message.
    for user in (pubsub, gossipsub):
        record_user: Any = user
        record_user.env_to_send_in_RPC = _signed_record

    # libp2p cuts its logger off from the root; warnings about strangers then fall to Python's last-resort
    # handler, that is to the operator's terminal. Whoever wants them adds a handler to "libp2p".
    logger = logging.getLogger("libp2p")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())


def _signed_record(host: IHost, make: Callable[[IHost], tuple[bytes, bool]] = env_to_send_in_RPC) -> tuple[bytes, bool]:
    addresses = tuple(sorted(str(address) for address in host.get_addrs()))
    kept = _records.get(host)
    if kept is not None and kept[0] == addresses:
        return kept[1], False
    record, is_new = make(host)
    _records[host] = (addresses, record)
    return record, is_new
