"""Every process-global switch we set in libp2p, each with its reason; nothing else may touch them.

They are measured against libp2p 0.8.1 (pinned). What can be cured by subclassing is cured there
(``muxer.py``, ``swarm.py``, ``negotiation.py``, ``gossipsub.py``); here stand only the things for which
libp2p offers no parameter.
"""

import functools
import logging
import weakref
from collections.abc import Callable
from typing import Any

from libp2p.abc import IHost
from libp2p.exceptions import ParseError
from libp2p.host import basic_host
from libp2p.identity.identify import identify
from libp2p.identity.identify_push import identify_push
from libp2p.io.abc import Reader
from libp2p.io.exceptions import MessageTooLarge
from libp2p.network.connection import swarm_connection
from libp2p.peer.peerstore import env_to_send_in_RPC
from libp2p.protocol_muxer import multiselect_communicator
from libp2p.pubsub import gossipsub, pubsub
from libp2p.stream_muxer.yamux import yamux
from libp2p.utils.varint import read_length_prefixed_protobuf, read_varint_prefixed_bytes_limited

from unhush.gossip.net.pubsub.sendqueue import SendQueue
from unhush.gossip.net.wire.light import FairReads, LightNetStream, LightYamuxStream

# The receive window a stream may grow to. Stock 16 MiB is also the largest frame body it will buffer in one
# piece. 512 KiB keeps an honest sender's unread data (window + half a window + one 256 KiB read, the most
# the stock bookkeeping can promise) inside the 1 MiB cap of ``muxer.py`` and still fills 100 MB/s on a LAN.
MAX_RECEIVE_WINDOW_BYTES = 512 * 1024

# A line of negotiation names one protocol, or lists them all. Stock reads whatever length a stranger claims, before
# the handshake too.
MAX_LINE_BYTES = 1024

# What identify says: a key, a few addresses and protocols. go-libp2p sends at most 8 KiB.
MAX_IDENTIFY_BYTES = 16 * 1024

_records: "weakref.WeakKeyDictionary[IHost, tuple[tuple[str, ...], bytes]]" = weakref.WeakKeyDictionary()


def apply(agent: str) -> None:
    """Set all switches. Safe to call again; called once per host."""
    # What identify says of us is a constant of the module, so of two hosts in a process the later names both.
    identify.AGENT_VERSION = agent

    yamux.MAX_WINDOW_SIZE = MAX_RECEIVE_WINDOW_BYTES

    # All are found where they are needed, by these names.
    # ``Any``: names of a module that libp2p only ever calls.
    connection: Any = swarm_connection
    connection.NetStream = LightNetStream
    muxer: Any = yamux
    muxer.YamuxStream = LightYamuxStream
    muxer.read_exactly = FairReads()

    # ``rpc_queue.OutBoundQueueSize`` is bound as a default argument when the class is made, so changing the
    # constant does nothing; the name ``RpcQueue`` that ``Pubsub`` looks up is what can be changed.
    module: Any = pubsub
    module.RpcQueue = SendQueue

    # Read by whoever negotiates: before and after the handshake, and on each stream.
    communicator: Any = multiselect_communicator
    communicator.read_delim = _read_line

    # Stock takes a megabyte from each, and keeps the addresses in it.
    for reader in (basic_host, identify_push):
        identified: Any = reader
        identified.read_length_prefixed_protobuf = functools.partial(
            read_length_prefixed_protobuf, max_length=MAX_IDENTIFY_BYTES
        )

    # Our own signed record is compared address by address and marshalled for every single message.
    for user in (pubsub, gossipsub):
        record_user: Any = user
        record_user.env_to_send_in_RPC = _signed_record

    # libp2p cuts its logger off from the root; warnings about strangers then fall to Python's last-resort
    # handler, that is to the operator's terminal. Whoever wants them adds a handler to "libp2p".
    logger = logging.getLogger("libp2p")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())


async def _read_line(reader: Reader) -> bytes:
    """libp2p's ``read_delim``, with a bound that is looked at before a byte is read."""
    try:
        line = await read_varint_prefixed_bytes_limited(reader, MAX_LINE_BYTES)
    except MessageTooLarge as exc:
        raise ParseError("a line of negotiation is too long") from exc
    if not line.endswith(b"\n"):
        raise ParseError("a line of negotiation does not end")
    return line[:-1]


def _signed_record(host: IHost, make: Callable[[IHost], tuple[bytes, bool]] = env_to_send_in_RPC) -> tuple[bytes, bool]:
    addresses = tuple(sorted(str(address) for address in host.get_addrs()))
    kept = _records.get(host)
    if kept is not None and kept[0] == addresses:
        return kept[1], False
    record, is_new = make(host)
    _records[host] = (addresses, record)
    return record, is_new
