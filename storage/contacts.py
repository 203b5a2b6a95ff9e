"""Contacts: addresses of peers this node remembers, in the order of nothing but their text."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from unhush.identity.codec import Value, decode_map, encode
from unhush.storage.errors import MalformedContact, StoreUnreadable
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn

MAX_ADDRESS_BYTES = 400  # a multiaddr with a relay hop has about 250; LMDB keys end at 511


@dataclass(frozen=True, slots=True)
class Contact:
    """One address; ``is_configured`` if a person gave it, ``is_invited`` if an invite did, else it was learned.

    ``is_anchor``: its peer served this node best, and is to be dialled first. ``has_worked``: its peer answered there.
    """

    address: str
    is_configured: bool
    is_invited: bool = False
    is_anchor: bool = False
    has_worked: bool = False

    def __post_init__(self) -> None:
        if not 0 < len(self.address.encode()) <= MAX_ADDRESS_BYTES:
            raise MalformedContact(f"an address has 1 to {MAX_ADDRESS_BYTES} bytes: {self.address[:80]!r}")

    @property
    def is_chosen(self) -> bool:
        """Whether the person wants it, rather than somebody told us of it."""
        return self.is_configured or self.is_invited


def iter_contacts(txn: Txn) -> list[Contact]:
    return [_unpack(key.decode(), value) for key, value in txn.scan(Table.CONTACTS)]


def put_contact(txn: Txn, contact: Contact) -> None:
    """Remember an address; what a person configured, or an invite brought, stays so."""
    held = txn.get(Table.CONTACTS, contact.address.encode())
    if held is not None:
        known = _unpack(contact.address, held)
        contact = replace(
            contact,
            is_configured=contact.is_configured or known.is_configured,
            is_invited=contact.is_invited or known.is_invited,
        )
    _put(txn, contact)


def put_learned(txn: Txn, learned: Iterable[Contact]) -> None:
    """Let exactly these be the addresses that were learned; those a person chose stay."""
    held = {contact.address: contact for contact in iter_contacts(txn)}
    kept = {contact.address: contact for contact in learned if not contact.is_chosen}
    for address, contact in held.items():
        if not contact.is_chosen and address not in kept:
            drop_contact(txn, address)
    for address, contact in kept.items():
        known = held.get(address)
        if known is None or (not known.is_chosen and known != contact):
            _put(txn, contact)


def drop_contact(txn: Txn, address: str) -> bool:
    return txn.delete(Table.CONTACTS, address.encode())


def _put(txn: Txn, contact: Contact) -> None:
    # Older versions read "configured" alone, and pass over the rest.
    fields: dict[str, Value] = {"configured": contact.is_configured}
    if contact.is_invited:
        fields["invited"] = True
    if contact.is_anchor:
        fields["anchor"] = True
    if contact.has_worked:
        fields["worked"] = True
    txn.put(Table.CONTACTS, contact.address.encode(), encode(fields))


def _unpack(address: str, value: bytes) -> Contact:
    match decode_map(value):
        case {"configured": bool() as is_configured, **rest}:
            marks = (rest.get(mark) is True for mark in ("invited", "anchor", "worked"))
            return Contact(address, is_configured, *marks)
    raise StoreUnreadable(f"the stored contact {address!r} is damaged")
