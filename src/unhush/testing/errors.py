"""What a virtual network finds wrong."""

from unhush.identity.errors import UnhushError


class TestingError(UnhushError):
    """Root of the family."""

    __test__ = False  # no class of tests, whatever its name begins with


class LimitExceeded(TestingError):
    """A bound of THREATS was passed by a node that keeps to the rules."""


class NotConverged(TestingError):
    """Something that had to arrive did not."""
