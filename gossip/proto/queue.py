"""A queue in which everything stands once."""

from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class OnceQueue(Generic[T]):
    """First in, first out; pushing what already waits changes nothing."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: dict[T, None] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[T]:
        return iter(self._waiting)

    def __contains__(self, item: T) -> bool:
        return item in self._waiting

    def push(self, item: T) -> None:
        self._waiting[item] = None

    def pop(self) -> T:
        item = next(iter(self._waiting))
        del self._waiting[item]
        return item

    def discard(self, item: T) -> None:
        self._waiting.pop(item, None)

    def clear(self) -> None:
        self._waiting.clear()
