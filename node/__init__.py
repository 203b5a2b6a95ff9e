"""The node as one thing: what programs embed and the command line calls.

``Node`` is blocking and thread-safe. Nothing here installs signal handlers,
configures logging or reads the environment.
"""

from unhush.node.account.founding import Created, found_account
from unhush.node.config import Config
from unhush.node.node import Node
from unhush.node.records.headings import Heading
from unhush.node.views import Page, PeerInfo, Person, Shown, Status, Thread
from unhush.storage.kinds import Post

__all__ = [
    "Config",
    "Created",
    "Heading",
    "Node",
    "Page",
    "PeerInfo",
    "Person",
    "Post",
    "Shown",
    "Status",
    "Thread",
    "found_account",
]
