"""What a process that holds secret keys does for itself: it leaves no core file."""

import contextlib
import ctypes
import resource
from typing import Final

_PR_SET_DUMPABLE: Final = 4  # linux/prctl.h


def forbid_core_dumps() -> None:
    """Keep the memory of this process out of core files, as far as the system lets us; never raises.

    The limit alone would not do: Linux ignores it when cores are piped to a program, and then only the flag counts.
    The flag also keeps other processes of the same user from attaching or reading ``/proc``'s view of our memory. A
    started program inherits the limit and not the flag. Swap is not covered.
    """
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, AttributeError):  # no prctl outside Linux
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, *(ctypes.c_ulong(0) for _ in range(4)))
