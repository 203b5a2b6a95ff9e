"""Small facts about this home: whose it is, and under which name its device is known."""

import os
from pathlib import Path

from unhush.identity.cid import Cid
from unhush.identity.keys import PublicKey
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn

_OWN_ACCOUNT = b"own-account"
_OWN_DEVICE = b"own-device"
_WORDS_AT = b"words-at"
_REQUESTED = b"device-requested"
_CARD_URLS = b"card-urls"


def find_own_account(txn: Txn) -> Cid | None:
    if _OWN_ACCOUNT not in txn.memo:  # asked for with every record that comes
        value = txn.get(Table.META, _OWN_ACCOUNT)
        txn.memo[_OWN_ACCOUNT] = Cid(value) if value is not None else None
    own: Cid | None = txn.memo[_OWN_ACCOUNT]
    return own


def put_own_account(txn: Txn, account: Cid) -> None:
    txn.put(Table.META, _OWN_ACCOUNT, account.bytes)
    txn.memo.pop(_OWN_ACCOUNT, None)


def find_own_device(txn: Txn) -> PublicKey | None:
    """The key this home writes with."""
    value = txn.get(Table.META, _OWN_DEVICE)
    return PublicKey(value) if value is not None else None


def put_own_device(txn: Txn, device: PublicKey) -> None:
    txn.put(Table.META, _OWN_DEVICE, device.bytes)


def drop_own_device(txn: Txn) -> None:
    txn.delete(Table.META, _OWN_DEVICE)


def is_requested(txn: Txn) -> bool:
    """Whether this home has asked to become a device of some account."""
    return txn.get(Table.META, _REQUESTED) is not None


def put_requested(txn: Txn) -> None:
    txn.put(Table.META, _REQUESTED, b"")


def find_words_at(txn: Txn) -> Path | None:
    """The file in which the recovery words still wait."""
    value = txn.get(Table.META, _WORDS_AT)
    return Path(os.fsdecode(value)) if value is not None else None


def list_card_urls(txn: Txn) -> tuple[str, ...]:
    """Web addresses that the person wants on the card of this device."""
    value = txn.get(Table.META, _CARD_URLS)
    return tuple(value.decode("ascii").split("\n")) if value else ()


def put_card_urls(txn: Txn, urls: tuple[str, ...]) -> None:
    """None of them has a line break, nor anything else that may not stand on a card."""
    txn.put(Table.META, _CARD_URLS, "\n".join(urls).encode("ascii"))


def put_words_at(txn: Txn, path: Path | None) -> None:
    if path is None:
        txn.delete(Table.META, _WORDS_AT)
    else:
        txn.put(Table.META, _WORDS_AT, os.fsencode(path.resolve()))
