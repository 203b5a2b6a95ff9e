"""Which arrivals are authentic: one signature per unbroken run (PROTOCOL §2).

Newest first, so that every authentic entry can vouch for the one it names.
Everything here is asked of a snapshot, before the write lock is taken.
"""

from collections.abc import Callable, Iterator
from typing import TypeAlias

from unhush.identity.cid import Cid
from unhush.identity.entry import Entry, UnverifiedEntry, does_vouch, verify_signature, vouch
from unhush.identity.errors import IdentityError, SignatureMismatch
from unhush.storage import admission, journal, logs
from unhush.storage.admission import NotOurs, commitment_of
from unhush.storage.arrivals import Outcome, Status
from unhush.storage.arriving import Item, rejected
from unhush.storage.transaction import Txn
from unhush.storage.verifying import Verification

# What came of one log, oldest first. The same entry may stand there twice.
Group: TypeAlias = list[Item]


def group_by_log(items: list[Item]) -> list[Group]:
    """The entries of each log in the order of their numbers; identity operations are in no log."""
    groups: dict[bytes, Group] = {}
    for item in items:
        entry = item.entry
        name = entry.account.bytes + entry.header.key.bytes
        group = groups.get(name)
        if group is None:
            groups[name] = [item]
        else:
            group.append(item)
    for group in groups.values():
        group.sort(key=_seq)
    return list(groups.values())


def _seq(item: Item) -> int:
    return item.entry.header.seq


def find_heads(groups: list[Group]) -> Iterator[UnverifiedEntry]:
    """Entries that no other of their group names: they need their own signature, or one that is held."""
    for group in groups:
        named = {item.entry.header.prev for item in group}
        yield from (item.entry for item in group if item.entry.cid not in named)


def authenticate_group(
    txn: Txn, group: Group, verification: Verification, *, network: str, blame: Callable[[Item], Outcome]
) -> tuple[Group, list[tuple[int, Outcome]]]:
    """What is authentic, oldest first, and the outcome of the rest; ``blame`` judges a bad signature."""
    vouching: dict[bytes, Entry] = {}
    authentic: Group = []
    outcomes: list[tuple[int, Outcome]] = []
    for item in reversed(group):
        entry = item.entry
        by = vouching.get(entry.cid.bytes)
        try:
            if by is not None:
                item.signed, item.by = vouch(entry, by=by), by.cid
            else:
                item.signed = _verify_alone(txn, entry, verification, network)
        except SignatureMismatch:
            outcomes.append((item.at, blame(item)))
            continue
        if entry.header.prev is not None:
            vouching[entry.header.prev.bytes] = item.signed
        authentic.append(item)
    authentic.reverse()
    return authentic, outcomes


def _verify_alone(txn: Txn, entry: UnverifiedEntry, verification: Verification, network: str) -> Entry:
    log = logs.find_log(txn, entry.account, entry.header.key)
    for aid in logs.find_aids(txn, log, entry.header.seq + 1) if log is not None else ():
        held = journal.find_record(txn, aid)
        if held is not None and does_vouch(held.entry.header, held.account, entry):
            return vouch(entry, by=held.entry)
    return verify_signature(entry, network, verification.is_signed(entry))


def admit_operations(txn: Txn, items: list[Item], network: str) -> tuple[list[Item], list[tuple[int, Outcome]]]:
    """Identity operations that are well-formed, signed and may count, and the outcome of the others."""
    commitments: dict[Cid, bytes] = {
        item.entry.account: after for item in items if (after := commitment_of(item.entry, item.fields)) is not None
    }
    admitted: list[Item] = []
    outcomes: list[tuple[int, Outcome]] = []
    for item in items:
        cid = item.entry.cid
        try:
            item.operation = admission.admit(
                txn, item.entry, item.body, item.fields, network=network, commitments=commitments
            )
        except NotOurs as exc:
            outcomes.append((item.at, Outcome(Status.IGNORED, cid, error=str(exc))))
        except IdentityError as exc:
            outcomes.append((item.at, rejected(cid, exc)))
        else:
            item.signed = item.operation.entry
            admitted.append(item)
    return admitted, outcomes
