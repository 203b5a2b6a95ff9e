"""A network in memory for tests: the real protocol machines, a virtual clock, and one seed that decides everything.

    from unhush.testing import VirtualNetwork

    network = VirtualNetwork(seed=7)
    a, b = network.node("a"), network.node("b")
    b.follow(a)
    network.connect(a, b)
    post = a.post("hi")
    network.run(seconds=5)
    assert b.has(post)

No sockets, no threads, no sleeping: a minute of fifty nodes takes half a second.
``docs/testing.md`` says what is real here and what is not.
"""

from unhush.testing.errors import LimitExceeded, NotConverged, TestingError
from unhush.testing.links import CALM, Weather
from unhush.testing.network import VirtualNetwork
from unhush.testing.node import SimNode

__all__ = ["CALM", "LimitExceeded", "NotConverged", "SimNode", "TestingError", "VirtualNetwork", "Weather"]
