"""Who may see the page: one-time codes, the sessions they open, and a brake on guessing.

All in memory: when the node stops, every session ends. Codes, cookies and
tokens are 192 random bits each, and only the hashes of codes and cookies are
kept. Thread-safe: codes are made by whoever starts a browser.
"""

import hmac
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from threading import Lock
from typing import Final

SECRET_BYTES: Final = 24
CODE_LIFE_MS: Final = 10 * 60_000
# Codes nobody has used yet: one per start, and one whenever the person asks; the oldest gives way.
MAX_CODES: Final = 16
# Browsers of one person on one machine; the oldest gives way.
MAX_SESSIONS: Final = 32
SESSION_LIFE_MS: Final = 30 * 24 * 3_600_000
MAX_BAD: Final = 10
BAD_WINDOW_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that was let in."""

    token: str
    began_at_ms: int


class Sessions:
    """Codes and sessions of one server."""

    def __init__(self, random_text: Callable[[int], str], clock_ms: Callable[[], int]) -> None:
        self._random_text = random_text
        self._clock_ms = clock_ms
        self._lock = Lock()
        self._codes: OrderedDict[bytes, int] = OrderedDict()
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()
        self._bad: deque[int] = deque(maxlen=MAX_BAD)

    def make_code(self) -> str:
        """A code that opens one session within ten minutes."""
        code = self._random_text(SECRET_BYTES)
        with self._lock:
            self._codes[_hash(code)] = self._clock_ms() + CODE_LIFE_MS
            while len(self._codes) > MAX_CODES:
                self._codes.popitem(last=False)
        return code

    def enter(self, code: str) -> tuple[str, Session] | None:
        """Spend a code: the cookie and session it opens, or ``None``."""
        now = self._clock_ms()
        with self._lock:
            until = self._codes.pop(_hash(code), None)
            if until is None or now >= until:
                return None
            cookie = self._random_text(SECRET_BYTES)
            session = Session(self._random_text(SECRET_BYTES), now)
            self._sessions[_hash(cookie)] = session
            while len(self._sessions) > MAX_SESSIONS:
                self._sessions.popitem(last=False)
            return cookie, session

    def find(self, cookie: str) -> Session | None:
        with self._lock:
            session = self._sessions.get(_hash(cookie))
        if session is None or self._clock_ms() >= session.began_at_ms + SESSION_LIFE_MS:
            return None
        return session

    def is_live(self, session: Session) -> bool:
        with self._lock:
            return any(one is session for one in self._sessions.values())

    def leave(self, session: Session) -> None:
        with self._lock:
            for key in [key for key, one in self._sessions.items() if one is session]:
                del self._sessions[key]

    def is_token(self, session: Session, token: str) -> bool:
        return hmac.compare_digest(session.token.encode(), token.encode())

    def note_bad(self) -> bool:
        """Count a bad token or code; whether it is one too many for this minute."""
        now = self._clock_ms()
        with self._lock:
            is_too_many = self._is_braked(now)
            if not is_too_many:
                self._bad.append(now)
            return is_too_many

    def is_braked(self) -> bool:
        """Whether this minute has seen its ten bad ones; then no code is even looked at."""
        with self._lock:
            return self._is_braked(self._clock_ms())

    def _is_braked(self, now: int) -> bool:
        return len(self._bad) == MAX_BAD and now - self._bad[0] < BAD_WINDOW_MS


def _hash(secret: str) -> bytes:
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()
