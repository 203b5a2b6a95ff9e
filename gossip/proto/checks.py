"""When records of this device may be announced to the mesh, where everybody hears them at once.

A session sends of our own log only after its own peer has shown what it holds
of it. The mesh has no such order, so an announcement waits until the peers at
hand have: one at least, none with a sign of another home that writes under our
key, and nobody still about to answer. Who stays silent is not waited for.
"""

from unhush.gossip.proto import limits


class OwnChecks:
    """What the sessions of one run of the network say of our own log; ``is_unclean`` is final."""

    def __init__(self) -> None:
        self._asked_at: dict[object, float] = {}
        self._open: set[object] = set()
        self._has_clean = False
        self.is_unclean = False

    def opened(self, session: object, now: float) -> None:
        self._open.add(session)
        self._asked_at[session] = now

    def closed(self, session: object) -> None:
        self._open.discard(session)
        self._asked_at.pop(session, None)

    def checked(self, session: object, *, is_clean: bool) -> None:
        """What a session brought to light; one that is over said it of what is past."""
        if session not in self._open:
            return
        self._asked_at.pop(session, None)
        if is_clean:
            self._has_clean = True
        else:
            self.found_unclean()

    def count_answered(self) -> int:
        """How many open sessions have shown what their peer holds of it."""
        return len(self._open) - len(self._asked_at)

    def found_unclean(self) -> None:
        """Another home writes under our key: nothing of it is announced any more."""
        self.is_unclean = True

    def may_announce(self, now: float) -> bool:
        if self.is_unclean or not self._has_clean or not self._open:
            return False
        return all(now - asked_at >= limits.OWN_CHECK_PATIENCE_S for asked_at in self._asked_at.values())
