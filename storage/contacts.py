"""Contacts: addresses of peers this node remembers, in the order of nothing but their text."""

from dataclasses import dataclass, replace

from unhush.identity.codec import decode_map, encode
from unhush.storage.errors import MalformedContact, StoreUnreadable
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn

MAX_ADDRESS_BYTES = 400  # a multiaddr with a relay hop has about 250; LMDB keys end at 511


@dataclass(frozen=True, slots=True)
class Contact:
    """One address; ``is_configured`` if a person gave it, else it was learned."""

    address: str
    is_configured: bool

    def __post_init__(self) -> None:
        if not 0 < len(self.address.encode()) <= MAX_ADDRESS_BYTES:
            raise MalformedContact(f"an address has 1 to {MAX_ADDRESS_BYTES} bytes: {self.address[:80]!r}")


def iter_contacts(txn: Txn) -> list[Contact]:
    return [_unpack(key.decode(), value) for key, value in txn.scan(Table.CONTACTS)]


def put_contact(txn: Txn, contact: Contact) -> None:
    """Remember an address; what a person configured stays configured."""
    held = txn.get(Table.CONTACTS, contact.address.encode())
    if held is not None:
        known = _unpack(contact.address, held)
        contact = replace(contact, is_configured=contact.is_configured or known.is_configured)
    packed = encode({"configured": contact.is_configured})
    txn.put(Table.CONTACTS, contact.address.encode(), packed)


def drop_contact(txn: Txn, address: str) -> bool:
    return txn.delete(Table.CONTACTS, address.encode())


def _unpack(address: str, value: bytes) -> Contact:
    match decode_map(value):
        case {"configured": bool() as is_configured}:
            return Contact(address, is_configured)
    raise StoreUnreadable(f"the stored contact {address!r} is damaged")
