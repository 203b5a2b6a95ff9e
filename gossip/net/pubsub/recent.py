"""The messages of the last heartbeats, kept for peers that ask for them again: bounded in bytes.

The stock cache keeps five seconds of whatever comes; from sixty peers at
their full rate that is a gigabyte.
"""

from typing import Final

from libp2p.pubsub.mcache import MessageCache
from libp2p.pubsub.pb import rpc_pb2

# Heartbeats for which messages are announced, and for which they are kept.
WINDOW: Final = 3
HISTORY: Final = 5

# Sixteen thousand usual messages. Of more, the oldest are forgotten, and cannot be asked for again.
MAX_RECENT_BYTES: Final = 16 * 1024 * 1024


class RecentMessages(MessageCache):
    """The same verbs as libp2p's cache, which it replaces."""

    def __init__(self) -> None:
        super().__init__(WINDOW, HISTORY)
        self._bytes = 0

    @property
    def size_bytes(self) -> int:
        return self._bytes

    def put(self, msg: rpc_pb2.Message) -> None:
        before = len(self.msgs)
        super().put(msg)
        if len(self.msgs) == before:
            return
        self._bytes += msg.ByteSize()
        while self._bytes > MAX_RECENT_BYTES:
            oldest = next(iter(self.msgs))
            self._bytes -= self.msgs.pop(oldest).ByteSize()

    def window(self, topic: str) -> list[bytes]:
        return [message_id for message_id in super().window(topic) if message_id in self.msgs]

    def shift(self) -> None:
        super().shift()
        self._bytes = sum(message.ByteSize() for message in self.msgs.values())
