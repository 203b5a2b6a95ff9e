"""Which accounts this node carries for others: its own, those it promised to keep, and whom its account follows."""

from unhush.identity.cid import Cid
from unhush.storage import settings
from unhush.storage.accounts import find_account, find_own_number
from unhush.storage.folds import follows
from unhush.storage.keeping import promises
from unhush.storage.transaction import Txn


def carried(txn: Txn) -> frozenset[Cid]:
    own = settings.find_own_account(txn)
    kept = promises.iter_kept(txn)
    if own is None:
        return frozenset(kept)
    me = find_account(txn, own)
    followed = follows.iter_followed(txn, me.number) if me is not None else ()
    return frozenset((own, *followed, *kept))


def is_carried(txn: Txn, account: Cid) -> bool:
    """As ``account in carried(txn)``, in two or three look-ups."""
    if promises.is_kept(txn, account):
        return True
    own = settings.find_own_account(txn)
    if own is None or own == account:
        return own is not None
    me = find_own_number(txn, own)
    return me is not None and follows.does_follow(txn, me, account)
