"""What can go wrong with the local page, as sentences a person can act on."""

import errno
from typing import Final

from unhush.identity.errors import UnhushError


class WebError(UnhushError):
    """The local page cannot do what was asked."""


class NotLoopback(WebError):
    """The page was asked to listen where other machines could reach it."""

    def __init__(self, host: str) -> None:
        super().__init__(f"the page opens on this computer only (127.0.0.1 or ::1), not on {host!r}")
        self.host = host


class AddressInUse(WebError):
    """Another program listens on the port already, or the address cannot be bound."""

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(f"the page cannot listen on {host} port {port}: {reason}")
        self.host = host
        self.port = port


_REASONS: Final = {
    errno.EADDRINUSE: "another program has that port; choose another port, or end that program",
    errno.EACCES: "this user may not listen on that port; ports from 1024 on are free to use",
    errno.EADDRNOTAVAIL: "this machine does not have that address",
}


def why_not_bound(failure: OSError) -> str:
    """What the system says of listening there, in words."""
    return _REASONS.get(failure.errno or 0, failure.strerror or str(failure))


class NotRunning(WebError):
    """An address of the page was asked for while the page was not being served."""

    def __init__(self) -> None:
        super().__init__("the page is not running")
