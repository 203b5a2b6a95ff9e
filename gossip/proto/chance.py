"""Chance from a seed: whoever has the seed can foretell every draw, and nobody else any of them."""

import hashlib
from typing import Final

# Times are scattered by so much to either side, so that nobody can be there just in time.
SCATTER: Final = 0.33


class Chance:
    """Draws one number after the other."""

    def __init__(self, seed: bytes) -> None:
        self._seed: Final = seed
        self._drawn = 0

    def draw(self, below: int) -> int:
        """A number, at least 0."""
        self._drawn += 1
        drawn = hashlib.sha256(self._seed + self._drawn.to_bytes(8, "big")).digest()
        return int.from_bytes(drawn[:8], "big") % below

    def scattered(self, seconds: float) -> float:
        return seconds * (1 - SCATTER + 2 * SCATTER * self.draw(1_000) / 1_000)
