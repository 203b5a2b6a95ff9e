"""The local web page: one person's window on their own node, at 127.0.0.1 and nowhere else.

:class:`WebServer` is the door. It talks to a node only through the blocking
verbs of :class:`unhush.node.web.seam.Verbs`, one hop to a thread per request.
"""

from unhush.node.web.errors import AddressInUse, NotLoopback, WebError
from unhush.node.web.server import WebServer

__all__ = ["AddressInUse", "NotLoopback", "WebError", "WebServer"]
