"""Guests: records of accounts that are not carried here, and why they are taken in all the same (PROTOCOL §5, §6).

A stranger's record comes in if it was asked for, if it answers in a conversation
that was, or if it concerns an account carried here; with it the operations that
say who may speak for the stranger, and the profile that gives a name. What its sender claims of that is held
against the record itself: a claim that its body belies is the sender's fault.
How much there is room for is asked later, at the door of ``room/``.
"""

from collections.abc import Sequence

from unhush.identity.cid import Cid
from unhush.storage import accounts, journal
from unhush.storage.arrivals import Arrival, Outcome, Status, Welcome
from unhush.storage.arriving import Item
from unhush.storage.carried import is_carried
from unhush.storage.concerns import find_concerned, find_target
from unhush.storage.indexes import find_body
from unhush.storage.kinds import Delete, Edit, Post, Profile
from unhush.storage.transaction import Txn


class _Liar(Exception):
    """The record is not what its sender said it is."""


def let_in(txn: Txn, guests: list[Item], arrivals: Sequence[Arrival], outcomes: dict[int, Outcome]) -> list[Item]:
    """Those of ``guests`` there is reason to take; the others get their outcome. ``arrivals``: of the whole batch."""
    coming = {item.entry.cid: item for item in guests}
    welcome: list[Item] = []
    hosts: set[Cid] = set()
    beside: list[Item] = []
    for item in guests:
        if item.entry.header.is_identity or arrivals[item.at].welcome is Welcome.INTRODUCING:
            beside.append(item)
            continue
        try:
            why_not = _why_not(txn, item, arrivals[item.at], coming, arrivals)
        except _Liar as lie:
            outcomes[item.at] = Outcome(Status.REJECTED, item.entry.cid, error=str(lie))
            continue
        if why_not:
            outcomes[item.at] = Outcome(Status.IGNORED, item.entry.cid, error=why_not)
        else:
            welcome.append(item)
            hosts.add(item.entry.account)
    for item in beside:
        account = item.entry.account
        is_known = arrivals[item.at].welcome is not Welcome.CARRIED and accounts.find_number(txn, account) is not None
        if not (item.entry.header.is_identity or isinstance(item.value, Profile)):
            why = f"record {item.entry.cid} was said to be a profile"
            outcomes[item.at] = Outcome(Status.REJECTED, item.entry.cid, error=why)
        elif account in hosts or is_known:
            welcome.append(item)
        else:
            outcomes[item.at] = Outcome(Status.IGNORED, item.entry.cid, error=_NOT_CARRIED)
    return welcome


_NOT_CARRIED = "the account is not carried here"


def _is_change(item: Item) -> bool:
    return isinstance(item.value, Delete | Edit)


def _why_not(txn: Txn, item: Item, arrival: Arrival, coming: dict[Cid, Item], arrivals: Sequence[Arrival]) -> str:
    """Why a record is not taken; empty if it is. Raises ``_Liar``."""
    if arrival.welcome is Welcome.CARRIED:
        return _NOT_CARRIED
    if item.body is None:
        return "of a stranger nothing is kept without its body"
    if arrival.welcome is Welcome.ASKED or arrival.about is None:
        return "" if arrival.welcome is Welcome.ASKED else _NOT_CARRIED
    if isinstance(item.value, Delete | Edit):
        # Whom it concerns is for what it changes to say, and that may be here or not.
        named = find_concerned(item.entry.account, item.value)
        target = find_target(txn, item.entry.account, item.value)
        if target is not None:
            return ""
        beside = coming.get(item.value.of)
        if beside is not None and beside.entry.account == item.entry.account and not _is_change(beside):
            return _why_not(txn, beside, arrivals[beside.at], coming, arrivals)
        if not (arrival.welcome is Welcome.CONCERNING and arrival.about in named):
            return "what it changes is not here"
    if arrival.welcome is Welcome.ANSWERING:
        return _why_no_answer(txn, item, arrival.about, coming)
    if arrival.about not in find_concerned(item.entry.account, item.value):
        raise _Liar(f"record {item.entry.cid} was said to concern {arrival.about}; it does not")
    return "" if is_carried(txn, arrival.about) else "it concerns nobody who is carried here"


def _why_no_answer(txn: Txn, item: Item, root: Cid, coming: dict[Cid, Item]) -> str:
    reply = item.value.reply if isinstance(item.value, Post) else None
    if reply is None:
        raise _Liar(f"record {item.entry.cid} was said to answer in the conversation {root}; it answers nothing")
    if root in (reply.root, reply.parent) or reply.parent in coming:
        return ""
    # It may stand there by what it answers (PROTOCOL §4).
    parent = journal.find_record_by_cid(txn, reply.parent)
    body = find_body(parent) if parent is not None else None
    is_there = isinstance(body, Post) and body.reply is not None and body.reply.root == root
    return "" if is_there else "it answers in another conversation"
