"""The fold from journal to indexes: what each stored record changes in what people see.

``index`` and ``unindex`` are each other's inverse for one record. Everything
they write follows from the journal and the own account alone, so the indexes
can be thrown away and rebuilt.
"""

from collections.abc import Mapping

from unhush.identity.cid import Cid
from unhush.identity.codec import Value, decode_stored
from unhush.identity.errors import MalformedBytes
from unhush.storage import deletes, follows, journal, profiles, settings, standing, threads, timeline
from unhush.storage.accounts import Account, find_account
from unhush.storage.errors import MalformedRecord
from unhush.storage.kinds import DELETE, Body, Delete, Follow, Post, Profile, parse_body
from unhush.storage.records import Record
from unhush.storage.transaction import Txn


def find_body(record: Record) -> Body | None:
    """The parsed body; None if absent, of an unknown kind or against its kind's rules."""
    if record.body is None:
        return None
    try:
        fields = decode_stored(record.body)  # it was judged strictly before it was stored
    except MalformedBytes:
        return None
    return parse_known(record.kind, fields) if isinstance(fields, dict) else None


def parse_known(kind: str, fields: Mapping[str, Value]) -> Body | None:
    """As ``parse_body``, with None for a body that breaks its kind's rules."""
    try:
        return parse_body(kind, fields)
    except MalformedRecord:
        return None


def index(txn: Txn, account: Account, record: Record, body: Body | None) -> None:
    """Make a record visible: it is in force, on the shown branch, and has its body."""
    if deletes.is_deleted(txn, record):
        return
    match body:
        case Post():
            timeline.put_post(txn, account.number, record, is_home=_is_home(txn, account))
            if body.reply is not None:
                threads.put_reply(txn, body.reply.root, record)
        case Profile():
            profiles.put_profile(txn, account.number, record)
        case Follow():
            _begin_follow(txn, account, body.who, record)
        case Delete():
            _delete(txn, account, body.of, record)
        case None:
            pass


def unindex(txn: Txn, account: Account, record: Record) -> None:
    """Take a record out of every index; it stays in the journal."""
    body = find_body(record)
    match body:
        case Post():
            timeline.drop_post(txn, account.number, record)
            if body.reply is not None:
                threads.drop_reply(txn, body.reply.root, record)
        case Profile():
            profiles.drop_profile(txn, account.number, record)
        case Follow():
            _end_follow(txn, account, body.who, record)
        case Delete():
            _undo_delete(txn, account, body.of, record)
        case None:
            pass


def _is_home(txn: Txn, account: Account) -> bool:
    own = settings.find_own_account(txn)
    if own is None:
        return False
    if own == account.id:
        return True
    me = find_account(txn, own)
    return me is not None and follows.does_follow(txn, me.number, account.id)


def _begin_follow(txn: Txn, account: Account, who: Cid, record: Record) -> None:
    is_first = not follows.does_follow(txn, account.number, who)
    follows.put_follow(txn, account.number, who, record.aid)
    followed = find_account(txn, who)
    if is_first and followed is not None and settings.find_own_account(txn) == account.id:
        timeline.fill_home(txn, followed.number)


def _end_follow(txn: Txn, account: Account, who: Cid, record: Record) -> None:
    follows.drop_follow(txn, account.number, who, record.aid)
    followed = find_account(txn, who)
    is_own = settings.find_own_account(txn) == account.id
    if is_own and who != account.id and followed is not None and not follows.does_follow(txn, account.number, who):
        timeline.empty_home(txn, followed.number)


def _delete(txn: Txn, account: Account, of: Cid, record: Record) -> None:
    target = _find_target(txn, account, of)
    is_first = target is not None and not deletes.is_deleted(txn, target)
    deletes.put_delete(txn, account.id, of, record.aid)
    if target is not None and is_first:
        unindex(txn, account, target)


def _undo_delete(txn: Txn, account: Account, of: Cid, record: Record) -> None:
    """A delete that fell out of force gives back what it took, if that is in force and no other delete names it."""
    deletes.drop_delete(txn, account.id, of, record.aid)
    target = _find_target(txn, account, of)
    if target is not None and not deletes.is_deleted(txn, target) and standing.is_shown(txn, account, target):
        index(txn, account, target, find_body(target))


def _find_target(txn: Txn, account: Account, of: Cid) -> Record | None:
    """What a delete acts on: a record of its own account, and no delete."""
    target = journal.find_record_by_cid(txn, of)
    return target if target is not None and target.account == account.id and target.kind != DELETE else None
