"""Remembered addresses: what a person chose stays, what was learned is as the last look left it."""

from pathlib import Path

from tests.support.people import Clock, open_home

from unhush.identity.codec import encode
from unhush.storage.contacts import Contact
from unhush.storage.schema import Table
from unhush.storage.store import Store

CHOSEN = Contact("/ip4/192.0.2.1/tcp/1", is_configured=True)
INVITED = Contact("/ip4/192.0.2.2/tcp/1", is_configured=False, is_invited=True)
LEARNED = Contact("/ip4/192.0.2.3/tcp/1", is_configured=False)
ANCHOR = Contact("/ip4/192.0.2.4/tcp/1", is_configured=False, is_anchor=True)


def contacts(store: Store) -> list[Contact]:
    with store.snapshot() as snapshot:
        return snapshot.contacts()


def test_who_an_address_comes_from_is_kept(tmp_path: Path) -> None:
    everybody = [CHOSEN, INVITED, LEARNED, ANCHOR]
    with open_home(tmp_path / "home", Clock()) as store:
        for contact in everybody:
            store.put_contact(contact)
    with open_home(tmp_path / "home", Clock()) as store:
        assert contacts(store) == everybody


def test_what_was_learned_is_replaced_and_what_was_chosen_stays(tmp_path: Path) -> None:
    with open_home(tmp_path / "home", Clock()) as store:
        for contact in (CHOSEN, INVITED, LEARNED):
            store.put_contact(contact)
        said_otherwise = [Contact(CHOSEN.address, False), Contact(INVITED.address, False, is_anchor=True)]
        store.put_learned_contacts([*said_otherwise, ANCHOR])
        assert contacts(store) == [CHOSEN, INVITED, ANCHOR]
        store.put_learned_contacts([])
        assert contacts(store) == [CHOSEN, INVITED]


def test_an_anchor_that_is_none_any_more_is_only_learned(tmp_path: Path) -> None:
    with open_home(tmp_path / "home", Clock()) as store:
        store.put_learned_contacts([ANCHOR])
        store.put_learned_contacts([Contact(ANCHOR.address, False)])
        assert contacts(store) == [Contact(ANCHOR.address, False)]


def test_that_an_address_worked_is_remembered(tmp_path: Path) -> None:
    worked = Contact(ANCHOR.address, False, has_worked=True)
    with open_home(tmp_path / "home", Clock()) as store:
        store.put_learned_contacts([worked])
    with open_home(tmp_path / "home", Clock()) as store:
        assert contacts(store) == [worked]


def test_an_invite_for_a_configured_address_takes_nothing_from_it(tmp_path: Path) -> None:
    with open_home(tmp_path / "home", Clock()) as store:
        store.put_contact(CHOSEN)
        store.put_contact(Contact(CHOSEN.address, is_configured=False, is_invited=True))
        assert contacts(store) == [Contact(CHOSEN.address, is_configured=True, is_invited=True)]


def test_a_contact_written_by_an_older_version_is_read(tmp_path: Path) -> None:
    with open_home(tmp_path / "home", Clock()) as store:
        with store._environment.write() as txn:
            txn.put(Table.CONTACTS, LEARNED.address.encode(), encode({"configured": False}))
        assert contacts(store) == [LEARNED]
