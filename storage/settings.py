"""Small facts about this home: whose it is, and under which name its device is known."""

from unhush.identity.cid import Cid
from unhush.storage.environment import Table, Txn

_OWN_ACCOUNT = b"own-account"


def find_own_account(txn: Txn) -> Cid | None:
    value = txn.get(Table.META, _OWN_ACCOUNT)
    return Cid(value) if value is not None else None


def put_own_account(txn: Txn, account: Cid) -> None:
    txn.put(Table.META, _OWN_ACCOUNT, account.bytes)
