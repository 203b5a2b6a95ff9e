"""Trust: whose word counts of those who say that they keep an account."""

from unhush.identity.cid import Cid
from unhush.storage import accounts, settings
from unhush.storage.folds import follows, keepers
from unhush.storage.transaction import Txn


def is_trusted(txn: Txn, of: Cid, keeper: Cid) -> bool:
    """Whether the owner of the account accepted this keeper, or the reader follows it."""
    number = accounts.find_number(txn, of)
    if number is not None and keepers.is_keeper(txn, number, keeper):
        return True
    own = settings.find_own_account(txn)
    me = accounts.find_own_number(txn, own) if own is not None else None
    return me is not None and follows.does_follow(txn, me, keeper)


def accepted_keepers(txn: Txn, account: Cid) -> frozenset[Cid]:
    """Whom an account asks to keep it, by its records in force."""
    number = accounts.find_number(txn, account)
    return frozenset(keepers.iter_keepers(txn, number)) if number is not None else frozenset()
