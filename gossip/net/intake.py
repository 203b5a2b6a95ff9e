"""What the network needs of ingest: a queue that takes batches and reports what became of them."""

from collections.abc import Callable
from typing import Protocol

from unhush.storage.arrivals import Batch, Outcome


class Submit(Protocol):
    """Queue a batch; False, and ``done`` is never called, if there is no room. ``done`` comes from another thread."""

    def __call__(self, batch: Batch, *, is_live: bool, done: Callable[[tuple[Outcome, ...]], None]) -> bool: ...
