"""The fold from journal to indexes: what each stored record changes in what people see.

``index`` and ``unindex`` are each other's inverse for one record that is in
force, on the shown branch, with its body. A record its account took back
stays indexed as deleted: nothing of it is shown, and a delete that goes shows
it again. Everything written follows from the journal and the own account
alone, never from an order, so the indexes can be thrown away and rebuilt;
``folds/`` has them.

Showing what is shown already, and hiding what is hidden, changes nothing: a
batch may touch a record by itself and by what names it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final, TypeAlias, assert_never

from unhush.identity.cid import Cid
from unhush.identity.codec import Value, decode_stored
from unhush.identity.errors import MalformedBytes
from unhush.storage import journal, settings, standing
from unhush.storage.accounts import Account, find_account, find_own_number
from unhush.storage.errors import MalformedRecord
from unhush.storage.folds import (
    about,
    activity,
    blobrefs,
    deletes,
    edits,
    follows,
    keepers,
    labels,
    profiles,
    quotes,
    reactions,
    reposts,
    tags,
    threads,
    timeline,
)
from unhush.storage.folds.about import Relation, tail_of
from unhush.storage.folds.activity import Reason
from unhush.storage.folds.timeline import Shelf
from unhush.storage.journal import pack_aid
from unhush.storage.kinds import (
    DELETE,
    POST,
    Block,
    Body,
    Delete,
    Edit,
    Follow,
    Keeper,
    Label,
    Post,
    Profile,
    React,
    Rebuttal,
    Repost,
    parse_body,
)
from unhush.storage.kinds.plain import find_plain_text
from unhush.storage.records import Record
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn

# What may be shown a second time by itself, though nothing names it any more.
_AGAIN_MEMO: Final = "records shown again"
_HOME_MEMO: Final = "accounts in the home timeline"  # number → whether, until the own account follows somebody else

# Bodies that do something to another record or to an account, and have no words of their own to show.
Act: TypeAlias = Repost | React | Follow | Keeper | Block | Label | Rebuttal


def find_body(record: Record) -> Body | None:
    """The parsed body; None if absent, of an unknown kind or against its kind's rules."""
    if record.body is None:
        return None
    if record.kind == POST and (text := find_plain_text(record.body)) is not None:
        return Post.of_checked_text(text)
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
    if body is None:
        return
    blobrefs.put_refs(txn, body, record.aid)
    # Nothing names most records that come, and nobody has to look further.
    named = about.find_about(txn, tail_of(record.cid))
    if named is None or not named[Relation.DELETES] or not deletes.is_deleted(txn, record):
        _show(txn, account, record, body, named)


def unindex(txn: Txn, account: Account, record: Record) -> None:
    """Take a record out of every index; it stays in the journal."""
    body = find_body(record)
    if body is None:
        return
    blobrefs.drop_refs(txn, body, record.aid)
    _hide(txn, account, record, body)


def forget_body(txn: Txn, record: Record) -> None:
    """Call before the body of a deleted record is erased: from then on it keeps no blob."""
    blobrefs.drop_refs(txn, find_body(record), record.aid)


def find_version(txn: Txn, record: Record) -> Post | None:
    """What a post says, by its newest edit; whether it is shown is asked elsewhere."""
    original = find_body(record)
    return _version(txn, record, original) if isinstance(original, Post) else None


def _version(txn: Txn, record: Record, original: Post) -> Post:
    newest = edits.find_newest(txn, record)
    edit = find_body(newest) if newest is not None else None
    return edit.version_of(original) if isinstance(edit, Edit) else original


# -- showing and hiding


def _show(txn: Txn, account: Account, record: Record, body: Body, named: tuple[int, ...] | None) -> None:
    """``named``: what is held about the record."""
    own = settings.find_own_account(txn)
    is_own = own == account.id
    match body:
        case Post():
            _show_post(txn, account, record, body, named)
        case Edit():
            _show_edit(txn, account, record, body)
        case Delete():
            _show_delete(txn, account, record, body)
        case Profile():
            profiles.put_profile(txn, account.number, record)
        case _:
            _show_act(txn, account, record, body, None if is_own else own)
    if is_own:
        activity.put_mine(txn, record)


def _show_act(txn: Txn, account: Account, record: Record, act: Act, concerned: Cid | None) -> None:
    """``concerned``: the own account, if the act is not its own."""
    at = timeline.pack_position(record)
    reason: Reason | None = None
    match act:
        case Repost():
            reposts.put_repost(txn, act.of, account.number, record.aid)
            timeline.put_on_shelf(txn, account.number, Shelf.REPOSTS, at, is_home=_is_home(txn, account))
            reason = Reason.REPOST if activity.is_mine(txn, act.of) else None
        case React():
            reactions.put_reaction(txn, act, account.number, record.aid)
            reason = Reason.REACTION if activity.is_mine(txn, act.to) else None
        case Follow():
            _begin_follow(txn, account, act.who, record)
            reason = Reason.FOLLOW if act.who == concerned else None
        case Keeper():
            keepers.put_keeper(txn, account.number, act.who, record.aid)
            reason = Reason.KEEPER if act.who == concerned else None
        case Block():
            follows.put_block(txn, account.number, act.who, record.aid)
        case Label():
            labels.put_label(txn, act.on, account.number, record.aid)
        case Rebuttal():
            labels.put_rebuttal(txn, act.label, account.number, record.aid)
        case _:
            assert_never(act)
    if concerned is not None and reason is not None:
        activity.put_act(txn, at, reason)


def _hide(txn: Txn, account: Account, record: Record, body: Body) -> None:
    own = settings.find_own_account(txn)
    if own == account.id:
        activity.drop_mine(txn, record)
    elif own is not None:
        activity.drop_acts(txn, timeline.pack_position(record))
    match body:
        case Post():
            _hide_post(txn, account, record, _version(txn, record, body))
            _put_text_due(txn, record)
        case Edit():
            _hide_edit(txn, account, record, body)
        case Delete():
            _hide_delete(txn, account, record, body)
        case Profile():
            profiles.drop_profile(txn, account.number, record)
        case _:
            _hide_act(txn, account, record, body)


def _hide_act(txn: Txn, account: Account, record: Record, act: Act) -> None:
    match act:
        case Repost():
            reposts.drop_repost(txn, act.of, account.number, record.aid)
            timeline.drop_from_shelf(txn, account.number, Shelf.REPOSTS, timeline.pack_position(record))
        case React():
            reactions.drop_reaction(txn, act, account.number, record.aid)
        case Follow():
            _end_follow(txn, account, act.who, record)
        case Keeper():
            keepers.drop_keeper(txn, account.number, act.who, record.aid)
        case Block():
            follows.drop_block(txn, account.number, act.who, record.aid)
        case Label():
            labels.drop_label(txn, act.on, account.number, record.aid)
        case Rebuttal():
            labels.drop_rebuttal(txn, act.label, account.number, record.aid)
        case _:
            assert_never(act)


def _show_again(txn: Txn, account: Account, record: Record) -> None:
    """Show what was hidden by something that is gone now, if it is in force."""
    if standing.is_shown(txn, account, record) and not deletes.is_deleted(txn, record):
        body = find_body(record)
        if body is not None:
            txn.memo.setdefault(_AGAIN_MEMO, set()).add(record.aid)
            _show(txn, account, record, body, about.find_about(txn, tail_of(record.cid)))


# -- posts and their edits


def _show_post(txn: Txn, account: Account, record: Record, original: Post, named: tuple[int, ...] | None) -> None:
    post = _version(txn, record, original) if named is not None and named[Relation.EDITS] else original
    is_new = named is None and record.aid not in txn.memo.get(_AGAIN_MEMO, ())
    _show_words(txn, account, record, post, is_new=is_new)
    if named is not None and named[Relation.ANSWERS]:
        tail = tail_of(record.cid)
        threads.gather_answers(txn, tail, _root_of(post, tail))


def _show_words(txn: Txn, account: Account, record: Record, post: Post, *, is_new: bool) -> None:
    """Everything that follows from a version of a post; what answers it does not."""
    at, is_home = timeline.pack_position(record), _is_home(txn, account)
    timeline.put_on_shelf(txn, account.number, timeline.shelf_of(post), at, is_home=is_home, is_new=is_new)
    if post.media:
        timeline.put_on_shelf(txn, account.number, Shelf.MEDIA, at, is_home=False, is_new=is_new)
    if post.tags:
        tags.put_tags(txn, post.tags, at)
    if post.reply is not None:
        threads.put_reply(txn, post.reply, at)
    if post.quote is not None:
        quotes.put_quote(txn, post.quote.entry, at)
    if post.mentions or post.reply is not None or post.quote is not None:
        _put_acts(txn, account, post, at)


def _hide_post(txn: Txn, account: Account, record: Record, post: Post, *, with_answers: bool = True) -> None:
    """``post``: the version that is shown; ``with_answers``: the post goes, and is not only shown in other words."""
    tail, at = tail_of(record.cid), timeline.pack_position(record)
    timeline.drop_from_shelf(txn, account.number, timeline.shelf_of(post), at)
    if post.media:
        timeline.drop_from_shelf(txn, account.number, Shelf.MEDIA, at)
    tags.drop_tags(txn, post.tags, at)
    if post.reply is not None:
        threads.drop_reply(txn, post.reply, at)
    if post.quote is not None:
        quotes.drop_quote(txn, post.quote.entry, at)
    activity.drop_acts(txn, at)
    if with_answers:
        threads.let_answers_go(txn, tail, _root_of(post, tail))


def _root_of(post: Post, tail: bytes) -> bytes:
    """The root under which answers to a post stand."""
    return tail_of(post.reply.root) if post.reply is not None else tail


def _put_acts(txn: Txn, account: Account, post: Post, at: bytes) -> None:
    own = settings.find_own_account(txn)
    if own is None or own == account.id:
        return
    if own in post.mentions:
        activity.put_act(txn, at, Reason.MENTION)
    if post.reply is not None and activity.is_mine(txn, post.reply.parent):
        activity.put_act(txn, at, Reason.REPLY)
    if post.quote is not None and activity.is_mine(txn, post.quote.entry):
        activity.put_act(txn, at, Reason.QUOTE)


def _show_edit(txn: Txn, account: Account, record: Record, edit: Edit) -> None:
    with _changing(txn, account, edit):
        edits.put_edit(txn, edit.of, record)


def _hide_edit(txn: Txn, account: Account, record: Record, edit: Edit) -> None:
    with _changing(txn, account, edit):
        edits.drop_edit(txn, edit.of, record)


@contextmanager
def _changing(txn: Txn, account: Account, edit: Edit) -> Iterator[None]:
    """While the edits of a post change: show it in other words afterwards, if others are in force then.

    An edit cannot change what a post answers, so whatever answers the post stays where it is: a post may have thousands
    of answers, and its author write thousands of edits.
    """
    target = _find_target(txn, account, edit.of)
    original = find_body(target) if target is not None and target.kind == POST else None
    if target is None or not isinstance(original, Post):
        yield
        return
    before = _version(txn, target, original)
    yield
    after = _version(txn, target, original)
    if after != before and standing.is_shown(txn, account, target) and not deletes.is_deleted(txn, target):
        txn.memo.setdefault(_AGAIN_MEMO, set()).add(target.aid)
        _hide_post(txn, account, target, before, with_answers=False)
        _show_words(txn, account, target, after, is_new=False)
        _put_text_due(txn, target)


def _put_text_due(txn: Txn, post: Record) -> None:
    """What is shown of a post changes without a new local number for it; full text has to look again."""
    txn.put(Table.TEXT_DUE, pack_aid(post.aid), b"")


# -- deletes


def _show_delete(txn: Txn, account: Account, record: Record, delete: Delete) -> None:
    deletes.put_delete(txn, account.id, delete.of, record.aid)
    target = _find_target(txn, account, delete.of)
    body = find_body(target) if target is not None else None
    if target is not None and body is not None:
        _hide(txn, account, target, body)


def _hide_delete(txn: Txn, account: Account, record: Record, delete: Delete) -> None:
    """A delete that fell out of force gives back what it took, if that is in force and no other delete names it."""
    deletes.drop_delete(txn, account.id, delete.of, record.aid)
    target = _find_target(txn, account, delete.of)
    if target is not None:
        _show_again(txn, account, target)
        if target.kind == POST:
            _put_text_due(txn, target)


def _find_target(txn: Txn, account: Account, of: Cid) -> Record | None:
    """What a delete or an edit acts on: a record of its own account, and no delete."""
    target = journal.find_record_by_cid(txn, of)
    return target if target is not None and target.account == account.id and target.kind != DELETE else None


# -- whose posts are in the home timeline


def _is_home(txn: Txn, account: Account) -> bool:
    own = settings.find_own_account(txn)
    if own is None or own == account.id:
        return own is not None
    known: dict[bytes, bool] = txn.memo.setdefault(_HOME_MEMO, {})
    is_home = known.get(account.number)
    if is_home is None:
        me = find_own_number(txn, own)
        if me is None:
            return False  # its inception may come with this very batch
        is_home = known[account.number] = follows.does_follow(txn, me, account.id)
    return is_home


def _begin_follow(txn: Txn, account: Account, who: Cid, record: Record) -> None:
    is_own = settings.find_own_account(txn) == account.id
    is_first = not follows.does_follow(txn, account.number, who)
    follows.put_follow(txn, account.number, who, record.aid)
    followed = find_account(txn, who) if is_own and is_first else None
    if is_own:
        txn.memo.pop(_HOME_MEMO, None)
    if followed is not None:
        timeline.fill_home(txn, followed.number)


def _end_follow(txn: Txn, account: Account, who: Cid, record: Record) -> None:
    follows.drop_follow(txn, account.number, who, record.aid)
    if settings.find_own_account(txn) != account.id:
        return
    txn.memo.pop(_HOME_MEMO, None)
    followed = find_account(txn, who)
    if who != account.id and followed is not None and not follows.does_follow(txn, account.number, who):
        timeline.empty_home(txn, followed.number)
