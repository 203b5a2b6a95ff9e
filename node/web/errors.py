"""What can go wrong with the local page, as sentences a person can act on."""

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


class NotRunning(WebError):
    """An address of the page was asked for while the page was not being served."""

    def __init__(self) -> None:
        super().__init__("the page is not running")
