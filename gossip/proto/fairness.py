"""A bounded queue that is fair between those who fill it.

Sources take turns at the way out. When it is full, whoever has most in it
loses their newest: a flood costs the one who makes it, and an honest source
with little waiting always finds room.
"""

from collections import OrderedDict, deque
from typing import Final, Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """First in, first out for each source; the sources in turn."""

    def __init__(self, most: int) -> None:
        self._most: Final = most
        self._by_source: OrderedDict[str, deque[T]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def push(self, source: str, item: T) -> T | None:
        """Queue an item; what had to go for it, if anything: perhaps the item itself."""
        waiting = self._by_source.setdefault(source, deque())
        waiting.append(item)
        self._count += 1
        if self._count <= self._most:
            return None
        fullest = max(self._by_source, key=lambda each: len(self._by_source[each]))
        # Between equals the newcomer loses, so that nothing that has a place is lost for nothing.
        if len(self._by_source[fullest]) == len(waiting):
            fullest = source
        dropped = self._by_source[fullest].pop()
        self._count -= 1
        if not self._by_source[fullest]:
            del self._by_source[fullest]
        return dropped

    def pop(self) -> tuple[str, T]:
        """The next item, and who gave it; raises ``KeyError`` when empty."""
        source, waiting = self._by_source.popitem(last=False)
        item = waiting.popleft()
        self._count -= 1
        if waiting:
            self._by_source[source] = waiting
        return source, item
