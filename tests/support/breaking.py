"""Things that break a write in the middle: an exception, or the end of the process, at a place a test chooses."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from unhush.storage.transaction import Txn


class Broken(Exception):
    """What a broken write raises; no code of ours catches it."""


@contextmanager
def before_each(owner: Any, name: str, act: Callable[[], None]) -> Iterator[None]:
    """Do something before every call of ``owner.name``, which must be there."""
    original = getattr(owner, name)

    def instead(*args: Any, **more: Any) -> Any:
        act()
        return original(*args, **more)

    setattr(owner, name, instead)
    try:
        yield
    finally:
        setattr(owner, name, original)


@contextmanager
def after_each(owner: Any, name: str, act: Callable[[], None]) -> Iterator[None]:
    """Do something after every call of ``owner.name``."""
    original = getattr(owner, name)

    def instead(*args: Any, **more: Any) -> Any:
        result = original(*args, **more)
        act()
        return result

    setattr(owner, name, instead)
    try:
        yield
    finally:
        setattr(owner, name, original)


@contextmanager
def breaking(after: int, then: Callable[[], None]) -> Iterator[None]:
    """Raise ``Broken`` when a transaction is changed for the ``after``-th time; ``then`` is done first."""
    left = after

    def count() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            then()
            raise Broken

    with before_each(Txn, "put", count), before_each(Txn, "delete", count), before_each(Txn, "_flush", count):
        yield


def die() -> None:
    """End this process as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)
