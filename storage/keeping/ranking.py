"""Ranking: whose statement stays before whose, where there is no room for all."""

from collections import Counter
from collections.abc import Iterable
from enum import IntEnum
from typing import Final

from unhush.identity.cid import cid_of_digest
from unhush.storage import settings
from unhush.storage.carried import is_carried
from unhush.storage.keeping.rows import ABOUT, DEVICE, SORT_BY_ONE, SPEAKER, TYPE_AT, Row, Type
from unhush.storage.keeping.trust import is_trusted
from unhush.storage.transaction import Txn

# Receipts of one trusted keeper before the next one's have their turn: a keeper has few boxes, and may add 64 devices.
MAX_OF_ONE: Final = 4

# Types in which an account speaks of itself.
_OWN_WORDS: Final = frozenset((Type.HEADS.value, Type.CARD.value))


class Rank(IntEnum):
    """Whose word is kept longest."""

    HERE = 0  # this device's own
    OURS = 1  # of another device of our account
    TRUSTED = 2  # of a keeper that counts, or of a carried account about itself
    TOLD = 3  # anybody's about our account
    CARRIED = 4  # anybody's about an account that is carried
    FAR = 5


class Ranking:
    """Ranks statements by their keys; what it looked up it remembers for one round."""

    def __init__(self, txn: Txn) -> None:
        self._txn = txn
        self._own = settings.find_own_account(txn)
        self._device = settings.find_own_device(txn)
        self._known: dict[bytes, Rank] = {}

    def rank(self, key: bytes) -> Rank:
        if self._own is not None and key[SPEAKER] == self._own.digest:
            is_here = self._device is not None and key[DEVICE] == self._device.bytes
            return Rank.HERE if is_here else Rank.OURS
        pair = key[SORT_BY_ONE]
        if pair not in self._known:
            self._known[pair] = self._judge(pair)
        return self._known[pair]

    def _judge(self, pair: bytes) -> Rank:
        about, speaker = cid_of_digest(pair[ABOUT]), cid_of_digest(pair[SPEAKER])
        is_near = is_carried(self._txn, about)
        if about == speaker:
            is_trusted_word = is_near and pair[TYPE_AT] in _OWN_WORDS
        else:
            is_trusted_word = is_trusted(self._txn, about, speaker)
        if is_trusted_word:
            return Rank.TRUSTED
        if about == self._own:
            return Rank.TOLD
        return Rank.CARRIED if is_near else Rank.FAR


def rank_rows(txn: Txn, rows: Iterable[Row], now_ms: int) -> list[tuple[Rank, Row]]:
    """Those that matter most first: our own, then of those who are trusted, a few of each in turn, then the newest."""
    ranking = Ranking(txn)
    newest = sorted(rows, key=lambda row: (row.expires > now_ms, row.time, row.digest), reverse=True)
    turns: Counter[bytes] = Counter()
    found = []
    for at, row in enumerate(newest):
        speaker = row.key[SPEAKER]
        found.append((ranking.rank(row.key), turns[speaker] // MAX_OF_ONE, at, row))
        turns[speaker] += 1
    return [(rank, row) for rank, _, _, row in sorted(found)]
