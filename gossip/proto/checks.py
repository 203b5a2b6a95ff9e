"""When records of this device may be announced to the mesh, where everybody hears them at once.

A session sends of our own log only after its own peer has shown what it holds
of it. The mesh has no such order, so an announcement waits until the peers at
hand have: one at least, none with a sign of another home that writes under our
key, and nobody still about to answer. Who stays silent is not waited for, nor who
came when all else permitted it already: else strangers who come and say nothing,
one after another, could hold it back for ever. That a peer which does not
carry our account has nothing of it says nothing: where there are only such,
followers get some time to be dialled.
"""

from unhush.gossip.proto import limits


class OwnChecks:
    """What the sessions of one run of the network say of our own log; ``is_unclean`` is final."""

    def __init__(self) -> None:
        self._asked_at: dict[object, float] = {}
        self._open: set[object] = set()
        self._shown: set[object] = set()
        self._first_opened_at: float | None = None
        self._due_at: float | None = None  # since when nothing but answers is waited for
        self._has_clean = False
        self._has_stranger = False
        self.is_unclean = False

    def opened(self, session: object, now: float) -> None:
        self._open.add(session)
        self._asked_at[session] = now
        if self._first_opened_at is None:
            self._first_opened_at = now

    def closed(self, session: object) -> None:
        self._open.discard(session)
        self._shown.discard(session)
        self._asked_at.pop(session, None)

    def checked(self, session: object, *, is_clean: bool) -> None:
        """What a session brought to light; one that is over said it of what is past."""
        if session not in self._open:
            return
        self._asked_at.pop(session, None)
        self._shown.add(session)
        if is_clean:
            self._has_clean = True
        else:
            self.found_unclean()

    def has_nothing(self, session: object) -> None:
        """A session's peer does not carry our account, so it says nothing of it."""
        if session in self._open:
            self._asked_at.pop(session, None)
            self._has_stranger = True

    def count_answered(self) -> int:
        """How many open sessions have shown what their peer holds of it; who does not carry it is not counted."""
        return len(self._shown)

    def found_unclean(self) -> None:
        """Another home writes under our key: nothing of it is announced any more."""
        self.is_unclean = True

    def may_announce(self, now: float) -> bool:
        """Whether what waits may go now; asked again and again while something waits."""
        if self.is_unclean or not self._open or not (self._has_clean or self._is_among_strangers(now)):
            self._due_at = None
            return False
        if self._due_at is None:
            self._due_at = now
        patient_since = now - limits.OWN_CHECK_PATIENCE_S
        if any(patient_since < asked_at <= self._due_at for asked_at in self._asked_at.values()):
            return False
        self._due_at = None
        return True

    def _is_among_strangers(self, now: float) -> bool:
        """Whether nobody who carries our account has come for as long as we wait for one."""
        begun = self._first_opened_at
        return self._has_stranger and begun is not None and now - begun >= limits.OWN_CHECK_STRANGERS_S
