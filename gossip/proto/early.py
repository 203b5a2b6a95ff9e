"""Records that came too early: of clocks that run ahead of ours.

They are not stored while they lie more than ten minutes ahead, and the peer
believes we hold them. So their accounts are asked for again when some of
that time has passed, at growing intervals: most clocks are a few minutes
wrong, and some are wrong on purpose.
"""

from typing import Final

from unhush.identity.cid import Cid

FIRST_WAIT_S: Final = 300.0
LONGEST_WAIT_S: Final = 3_600.0
# Accounts remembered in a session; of more, the oldest come again with the next session.
MAX_ACCOUNTS: Final = 256


class Early:
    """When to ask again, by account."""

    def __init__(self) -> None:
        self._due: dict[Cid, float] = {}
        self._wait_s: dict[Cid, float] = {}

    def came(self, account: Cid, now: float) -> bool:
        """A record of this account came too early. False if another account is not asked for again because of it."""
        if account in self._due:
            return True
        wait_s = self._wait_s.get(account, FIRST_WAIT_S)
        self._wait_s[account] = min(2 * wait_s, LONGEST_WAIT_S)
        self._due[account] = now + wait_s
        if len(self._wait_s) > MAX_ACCOUNTS:
            oldest = next(iter(self._wait_s))
            del self._wait_s[oldest]
            return self._due.pop(oldest, None) is None
        return True

    def take_due(self, now: float) -> list[Cid]:
        """The accounts to ask for now."""
        due = [account for account, at in self._due.items() if at <= now]
        for account in due:
            del self._due[account]
        return due
