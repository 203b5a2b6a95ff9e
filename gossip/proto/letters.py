"""Letters: records of others that concern accounts carried here, remembered for peers that come later.

What a node comes to hold it offers to the peers it has (``asking``). Whoever
was away then, or fell before it was stored, and all who would have heard of it
from there, would never see it. So the newest are told to every session when it
begins, as those this device wrote are.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from unhush.gossip.proto import limits
from unhush.gossip.proto.events import Concerns
from unhush.identity.cid import Cid

# With the newest of our own as many as go to a peer at once.
MAX_LETTERS: Final = limits.OFFERS_SENT_AT_ONCE - limits.OWN_OFFERED


class Letters:
    """The newest of them; where they are too many, the oldest of whom and to whom most are remembered goes."""

    def __init__(self) -> None:
        self._letters: dict[Cid, Concerns] = {}

    def put(self, letter: Concerns) -> None:
        """A record came that concerns accounts carried here, and ``about`` are those."""
        self._letters.setdefault(letter.cid, letter)
        if len(self._letters) > MAX_LETTERS:
            self._forget_one()

    def _forget_one(self) -> None:
        # By both, or one voice that speaks to everybody would push out all others, as would many that speak to one.
        authors = Counter(each.account for each in self._letters.values())
        readers = Counter(each.about[0] for each in self._letters.values())
        counts = {cid: authors[each.account] + readers[each.about[0]] for cid, each in self._letters.items()}
        del self._letters[max(counts, key=counts.__getitem__)]  # of equals the first, which is the oldest

    def __iter__(self) -> Iterator[Concerns]:
        """Oldest first."""
        return iter(tuple(self._letters.values()))
