"""Which pictures are fetched unasked: lately of those we follow, and of those we keep as it was promised."""

from dataclasses import dataclass
from typing import Final

from unhush.identity.cid import Cid
from unhush.identity.statement import MediaPolicy
from unhush.storage.keeping.receipts import RECENT_MS
from unhush.storage.snapshot import Snapshot

DAY_MS: Final = 24 * 60 * 60 * 1000
# Older pictures of somebody we follow wait until somebody looks at them.
LATELY_MS: Final = 30 * DAY_MS
# A receipt says that the last 90 days are here by the clock of the moment it is made.
_MARGIN_MS: Final = DAY_MS


@dataclass(frozen=True, slots=True)
class Wish:
    """What posts show that are older than ``since_ms`` (Unix milliseconds) is not fetched; portraits always are."""

    since_ms: int
    is_promised: bool  # some of it; then how large a file is does not matter


def find_wish(snapshot: Snapshot, account: Cid, now_ms: int) -> Wish | None:
    """What is wanted of an account; None: nothing."""
    promise = snapshot.promise(account)
    media = promise.media if promise is not None else MediaPolicy.NONE
    if media is MediaPolicy.ALL:
        return Wish(0, is_promised=True)
    if media is MediaPolicy.RECENT:
        return Wish(now_ms - RECENT_MS - _MARGIN_MS, is_promised=True)
    own = snapshot.own_account()
    me = snapshot.account(own) if own is not None else None
    if account == own or (me is not None and snapshot.does_follow(me, account)):
        return Wish(now_ms - LATELY_MS, is_promised=False)
    return None
