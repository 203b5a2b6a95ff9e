"""What ends a sync session: the misdeeds of a peer, by name, with the code its error frame carries.

``is_fault`` tells a misdeed, which costs the peer standing, from a mere
mismatch (another network, silence), which only ends the session.
"""

from typing import ClassVar

from unhush.gossip.errors import RemoteProtocolError


class SyncFault(RemoteProtocolError):
    """A peer broke the sync protocol."""

    code: ClassVar[str] = "protocol"
    is_fault: ClassVar[bool] = True


class MalformedFrame(SyncFault):
    """A frame of a known type whose bytes or fields break its rules."""

    code = "malformed"


class FrameTooLarge(SyncFault):
    """A frame longer than the bound."""

    code = "frame-too-large"


class HelloExpected(SyncFault):
    """Something else before the hello."""

    code = "hello-expected"


class HelloRepeated(SyncFault):
    """A second hello."""

    code = "hello-repeated"


class OtherVersion(SyncFault):
    """The peer speaks a version we do not."""

    code = "version"
    is_fault = False


class OtherNetwork(SyncFault):
    """The peer belongs to another network."""

    code = "network"
    is_fault = False


class HelloLate(SyncFault):
    """No hello within the deadline."""

    code = "hello-late"
    is_fault = False


class CreditExceeded(SyncFault):
    """Entries beyond the bytes we granted."""

    code = "credit-exceeded"


class CreditOverflow(SyncFault):
    """Grants that sum to more than any sender could use."""

    code = "credit-overflow"


class UnwantedAccount(SyncFault):
    """Entries of an account we did not ask for."""

    code = "unwanted-account"


class UnaskedAnswer(SyncFault):
    """Records that answer no question of ours, or more than it asked for."""

    code = "unasked"


class TooManyQuestions(SyncFault):
    """More questions at once than a node answers, or questions whose numbers do not grow."""

    code = "too-many-questions"


class TooManyOffers(SyncFault):
    """Offers far faster than people write."""

    code = "too-many-offers"


class TooMuchState(SyncFault):
    """More accounts carried or wanted than we offered to remember."""

    code = "too-much-state"


class TooManyFrames(SyncFault):
    """Control frames faster than any use of them."""

    code = "too-many-frames"


class CaughtUpTooFar(SyncFault):
    """Claims to have answered what was not asked, or an answer already claimed."""

    code = "caught-up"


class RangesUnasked(SyncFault):
    """Ranges that compare what was not to be compared, or a second time."""

    code = "ranges"


class RecordsRejected(SyncFault):
    """What the peer sent turned out to be its own fault when it was verified."""

    code = "rejected"
