"""Seeking: a running node asks its peers for what somebody looked at and does not have."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from unhush.gossip.proto import limits
from unhush.gossip.proto.frames import Need, Question, ThreadFrame
from unhush.identity.cid import Cid
from unhush.node.records.missing import Missing, parse_missing
from unhush.storage.store import Store

# Looks that somebody may still ask about.
MAX_LOOKS: Final = 256
# What is held of a conversation is read this often at most; the network asks more seldom still.
READ_AGAIN_S: Final = 5.0


class Ask(Protocol):
    """As ``Network.ask``."""

    def __call__(
        self, question: Question, about: tuple[Cid, ...], done: Callable[[], None], *, is_urgent: bool = False
    ) -> None: ...


class Seeker:
    """Asks peers for what is missing, on a running node; callable from any thread."""

    def __init__(self, store: Store, ask: Ask) -> None:
        self._store = store
        self._ask = ask
        self._lock = threading.Lock()
        self._left: OrderedDict[int, int] = OrderedDict()  # questions under way, by look
        self._last_look = 0
        self._read_at: OrderedDict[Cid, float] = OrderedDict()

    def seek(self, missing: Missing, *, is_urgent: bool = False) -> int:
        """Ask, without waiting; a number for ``is_done``.

        What was asked within a minute is asked again only if it ``is_urgent``.
        """
        questions = self._questions(missing, is_urgent=is_urgent)
        with self._lock:
            self._last_look += 1
            look = self._last_look
            self._left[look] = len(questions)
            while len(self._left) > MAX_LOOKS:
                self._left.popitem(last=False)
        for question, about in questions:
            self._ask(question, about, lambda: self._answered(look), is_urgent=is_urgent)
        return look

    def is_done(self, look: int) -> bool:
        """Whether nobody is waited for any more, and what came is stored."""
        with self._lock:
            return not self._left.get(look)

    def _answered(self, look: int) -> None:
        with self._lock:
            if look in self._left:
                self._left[look] -= 1

    def _is_due(self, root: Cid) -> bool:
        """Whether it is worth while to read what is held of a conversation: who turns its pages asks once."""
        now = time.monotonic()
        with self._lock:
            if root in self._read_at and now - self._read_at[root] < READ_AGAIN_S:
                return False
            self._read_at[root] = now
            self._read_at.move_to_end(root)
            while len(self._read_at) > MAX_LOOKS:
                self._read_at.popitem(last=False)
            return True

    def _questions(self, missing: Missing, *, is_urgent: bool) -> list[tuple[Need | ThreadFrame, tuple[Cid, ...]]]:
        by_account: dict[Cid, list[Cid]] = {}
        for cid, account in missing.records.items():
            by_account.setdefault(account, []).append(cid)
        questions: list[tuple[Need | ThreadFrame, tuple[Cid, ...]]] = [
            (Need(0, account, tuple(cids[: limits.MAX_NEED_IDS])), (account, *missing.about))
            for account, cids in by_account.items()
        ]
        if missing.root is not None and missing.root_account is not None and (is_urgent or self._is_due(missing.root)):
            with self._store.snapshot() as snapshot:
                answers = snapshot.answers_held(missing.root, limits.MAX_HELD)
            held = tuple(cid.digest[: limits.TIP_BYTES] for cid in answers)
            questions.append((ThreadFrame(0, missing.root, missing.root_account, held), missing.about))
        return questions

    # -- for other processes, over the control port

    def answer_seek(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Raises ``ValueError`` for what cannot be looked for."""
        return {"look": self.seek(parse_missing(given), is_urgent=given.get("urgent") is True)}

    def answer_is_done(self, given: Mapping[str, Any]) -> dict[str, Any]:
        look = given.get("look")
        return {"done": not isinstance(look, int) or self.is_done(look)}
