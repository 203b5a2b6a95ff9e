"""The next want frame: accounts as we hold them, as many as one frame takes."""

from typing import Final

from unhush.gossip.proto import limits
from unhush.gossip.proto.config import SessionConfig
from unhush.gossip.proto.events import SummaryRead
from unhush.gossip.proto.frames import WantedAccount
from unhush.identity.cid import Cid


class Batch:
    """So that wants of many accounts travel together."""

    def __init__(self) -> None:
        self.accounts: Final[dict[Cid, WantedAccount]] = {}
        self.items = 0  # data items they take in a frame, at most
        self._size_bytes = 0

    def __len__(self) -> int:
        return len(self.accounts)

    def put(self, wanted: WantedAccount) -> bool:
        """Take one more; false if it does not fit beside the others."""
        size_bytes, items = _measure(wanted)
        is_over = self._size_bytes + size_bytes > limits.WANT_BYTES or self.items + items > limits.WANT_ITEMS
        if self._size_bytes and is_over:
            return False
        self.accounts[wanted.account] = wanted
        self._size_bytes += size_bytes
        self.items += items
        return True

    def discard(self, account: Cid) -> None:
        """It goes not; what it took is free again when the others went."""
        self.accounts.pop(account, None)

    @property
    def is_full(self) -> bool:
        return (
            len(self.accounts) >= limits.ACCOUNTS_PER_WANT
            or self._size_bytes >= limits.WANT_BYTES
            or self.items >= limits.WANT_ITEMS
        )

    def clear(self) -> None:
        self.accounts.clear()
        self._size_bytes = self.items = 0


def describe(summary: SummaryRead, config: SessionConfig) -> WantedAccount:
    """What we hold, in as few words as a want allows: never more than we do hold."""
    held = [(key, ranges) for key, ranges in summary.logs.items() if ranges]
    if len(held) > limits.MAX_LOGS:
        held = sorted(held, key=lambda row: (row[1].count(), row[0]), reverse=True)[: limits.MAX_LOGS]
    each = min(limits.MAX_RANGES, limits.MAX_RANGES_PER_ACCOUNT // max(1, len(held)))
    logs = {key: ranges.shrink_to(each) for key, ranges in held}
    newest = {key: summary.tips.get(key, (-1, b"")) for key in logs}
    return WantedAccount(
        summary.account,
        summary.ops[: limits.MAX_OPERATIONS],
        logs,
        config.depth,
        config.is_live,
        # Only of the newest number that is named: the newest entry may lack its body, or its range have been cut.
        tips={key: tip for key, (seq, tip) in newest.items() if seq == logs[key].pairs[-1][1]},
        forks=dict(sorted(summary.forks.items())[: limits.MAX_FORKS]),
    )


def _measure(wanted: WantedAccount) -> tuple[int, int]:
    """No less than the bytes and the items the account takes in a frame."""
    logs, forks = len(wanted.logs), len(wanted.forks)
    pieces = sum(len(ranges) for ranges in wanted.logs.values())
    size_bytes = 112 + 41 * len(wanted.ops) + (40 + 17) * logs + 19 * pieces + 45 * forks
    return size_bytes, 20 + len(wanted.ops) + (3 + 1) * logs + 3 * pieces + 3 * forks
