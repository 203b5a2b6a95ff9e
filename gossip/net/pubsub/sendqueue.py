"""What waits to be sent to one peer over gossip: bounded in number and in bytes.

The stock queue counts frames only, and a frame may have a megabyte: a peer
that asks for much and reads nothing would be worth a quarter of a gigabyte.
"""

from typing import Final

from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.rpc_queue import RpcQueue

# Stock 32 drops a burst of one full page of posts without a word; 256 messages of the usual 1 KiB are a quarter of
# a megabyte.
MAX_QUEUED_RPCS: Final = 256
# One answer to an IWANT at most, or sixteen full messages; 96 peers that read nothing hold 96 MiB.
MAX_QUEUED_BYTES: Final = 1024 * 1024


class SendQueue(RpcQueue):
    """Refuses what does not fit; whoever offers it is told."""

    def __init__(self) -> None:
        super().__init__(max_size=MAX_QUEUED_RPCS)
        self._waiting_bytes = 0

    @property
    def is_crowded(self) -> bool:
        """Half full: who can wait should."""
        return len(self) >= MAX_QUEUED_RPCS // 2 or self._waiting_bytes >= MAX_QUEUED_BYTES // 2

    def push(self, rpc: rpc_pb2.RPC, priority: bool = False) -> bool:
        size = rpc.ByteSize()
        # A frame of the largest size goes into an empty queue.
        if self._waiting_bytes and self._waiting_bytes + size > MAX_QUEUED_BYTES:
            return False
        if not super().push(rpc, priority):
            return False
        self._waiting_bytes += size
        return True

    async def pop(self) -> rpc_pb2.RPC | None:
        rpc = await super().pop()
        if rpc is not None:
            self._waiting_bytes -= rpc.ByteSize()
        return rpc
