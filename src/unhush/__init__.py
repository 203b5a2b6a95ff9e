"""unhush: a voice that no single host can take offline.

The public door is :class:`Node`; it is loaded on first use, so that
``import unhush`` costs nothing and pulls in no network code.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unhush.node import Node

__all__ = ["Node", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:  # the module protocol (PEP 562) fixes this signature
    if name == "Node":
        from unhush.node import Node

        return Node
    raise AttributeError(f"module 'unhush' has no attribute {name!r}")
