"""What one step of a session sends and wants done, and how much may still wait to be written.

Entries are bounded by the peer's credit; but a peer could grant credit and
never read. So nothing new is produced while too much waits for the stream,
and control frames that we start ourselves keep to half the pace a peer puts
up with (its answers to them take the other half).
"""

from unhush.gossip.proto import limits
from unhush.gossip.proto.actions import Action, Send
from unhush.gossip.proto.frame_encoding import encode_frame
from unhush.gossip.proto.frames import Frame
from unhush.gossip.proto.pacing import Allowance


class Outbox:
    """Collects the actions of one step; remembers across steps what is not written yet."""

    __slots__ = ("_actions", "_pace", "_unwritten", "_urgent")

    def __init__(self) -> None:
        self._actions: list[Action] = []
        self._unwritten = 0
        self._urgent = 0  # how much has to be written until all that somebody waits for is
        self._pace = Allowance(limits.CONTROL_ALLOWANCE // 2, limits.CONTROL_INTERVAL_S)

    def put(self, action: Action) -> None:
        self._actions.append(action)

    def send(self, frame: Frame) -> None:
        self.send_payload(encode_frame(frame))

    def send_payload(self, payload: bytes) -> None:
        self._unwritten += len(payload)
        self._actions.append(Send(payload))

    def send_paced(self, frame: Frame, now: float, items: int = 0) -> bool:
        """Send a control frame nobody asked for, if the pace allows.

        ``items``: how many data items it holds at most; needed only where they are small.
        """
        payload = encode_frame(frame)
        if not self._pace.spend(control_cost(len(payload), items), now):
            return False
        self.send_payload(payload)
        return True

    def written(self, size_bytes: int) -> None:
        # More than was sent is the adapter's slip (say, it counted the length too) and harms nothing.
        self._unwritten = max(0, self._unwritten - size_bytes)
        self._urgent = max(0, self._urgent - size_bytes)

    def hurry(self) -> None:
        """Somebody waits for what was sent last."""
        self._urgent = self._unwritten

    @property
    def is_hurried(self) -> bool:
        """Whether something that somebody waits for is not written yet."""
        return self._urgent > 0

    @property
    def has_room(self) -> bool:
        """Whether the stream keeps up, so that more may be produced."""
        return self._unwritten < limits.MAX_UNWRITTEN_BYTES

    def take(self) -> list[Action]:
        """The actions of this step."""
        actions, self._actions = self._actions, []
        return actions


def control_cost(size_bytes: int, items: int = 0) -> int:
    """What a control frame takes from an allowance; at least, as long as it is not known how many items it holds."""
    return limits.CONTROL_FRAME_COST + max(size_bytes, limits.CONTROL_ITEM_COST * items)
