"""The log this device writes: whether it may go to the peer of a session.

It is held back until we know that no other home writes it too (``OwnChecked``):
what the peer holds of it has come here by then. It stays on the list meanwhile,
and only ``caught_up`` waits for it, and not for long: a peer that is another
device of the same account holds its own log back from us until it hears that.
"""

from typing import Final

from unhush.gossip.proto import limits
from unhush.gossip.proto.config import Own
from unhush.identity.cid import Cid
from unhush.identity.keys import PublicKey


class OwnLog:
    """Of a home without an account nothing is held back."""

    def __init__(self, own: Own | None) -> None:
        self._own: Final = own
        self._is_clean: bool | None = None  # None: not known yet; False is for good
        self._due: float | None = None  # when nothing waits any more for what is held back
        self._is_late = False

    def is_it(self, account: Cid, key: PublicKey) -> bool:
        own = self._own
        return own is not None and own.key == key and own.account == account

    def holds_back(self, account: Cid, key: PublicKey) -> bool:
        """Whether nothing of a log may go yet."""
        return self.is_it(account, key) and self._is_clean is not True

    def is_waited_for(self, account: Cid, key: PublicKey) -> bool:
        """Whether the peer is not caught up before this log went."""
        if not self.is_it(account, key) or self._is_clean:
            return True
        return self._is_clean is None and not self._is_late

    def checked(self, *, is_clean: bool) -> Cid | None:
        """Let it go, or hold it back for good: the account of which that may change something."""
        if self._is_clean is False:
            return None
        self._is_clean = is_clean
        return self._own.account if self._own is not None else None

    def unchecked(self) -> None:
        """Hold it back again while the peer is asked for what it could not show before."""
        if self._is_clean:
            self._is_clean = None

    def pass_time(self, now: float) -> Cid | None:
        """It is ``now``, a monotonic clock in seconds: the account for whose log nothing waits from now on."""
        if self._own is None or self._is_late:
            return None
        if self._due is None:
            self._due = now + limits.OWN_CHECK_GRACE_S
        self._is_late = now >= self._due
        return self._own.account if self._is_late else None
