"""What people read: timelines, threads, numbers, and who does what with whom, from one snapshot.

Listings are lazy and go on from a cursor: positions where there is an order
in time, places where there is none. Both stay valid whatever comes in between.
Of deleted and hidden records none is listed.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Final

from unhush.identity.cid import Cid
from unhush.storage import accounts, indexes, journal, lists, serving, settings, shunned, standing
from unhush.storage.accounts import Account
from unhush.storage.errors import DamagedRow
from unhush.storage.folds import (
    about,
    activity,
    blobrefs,
    deletes,
    edits,
    follows,
    labels,
    profiles,
    quotes,
    reactions,
    reposts,
    tags,
    threads,
    timeline,
)
from unhush.storage.folds.about import Counts
from unhush.storage.folds.activity import Reason
from unhush.storage.folds.places import Place
from unhush.storage.folds.reactions import EmojiCount
from unhush.storage.folds.timeline import MAIN_SHELVES, Position, Shelf
from unhush.storage.kinds import POST, Body, Edit, Label, Post, Profile, Rebuttal
from unhush.storage.records import Record
from unhush.storage.shunned import Shun
from unhush.storage.transaction import Txn

# Rows that are read together; a page is two of these, and who looks at one record only pays for few others.
_CHUNK: Final = 26

# Records that are looked at for one that shows a blob: anybody may name any blob.
MAX_NAMING: Final = 64


@dataclass(frozen=True, slots=True)
class Concern:
    """A record of somebody else that concerns the own account, and why."""

    record: Record
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Version:
    """One state of a post: the original, or what an edit made of it."""

    record: Record  # the post, or the edit
    post: Post


class Reading:
    """The part of a snapshot that people read; see the module docstring."""

    def __init__(self, txn: Txn) -> None:
        self._txn = txn

    # -- single records

    def body(self, record: Record) -> Body | None:
        """The parsed body, None if there is none to show (absent, unknown kind, broken rules)."""
        return indexes.find_body(record)

    def shown_version(self, record: Record) -> Post | None:
        """What is shown of a post now, by its newest edit; None if it is hidden, deleted, without body or no post."""
        return indexes.find_version(self._txn, record) if record.kind == POST and self.is_visible(record) else None

    def is_visible(self, record: Record) -> bool:
        """Whether a record is in force on the shown branch and not deleted."""
        account = accounts.find_account(self._txn, record.account)
        return (
            account is not None
            and standing.is_shown(self._txn, account, record)
            and not deletes.is_deleted(self._txn, record)
        )

    def is_deleted(self, record: Record) -> bool:
        """Whether its account took a record back; edits go with their post."""
        if deletes.is_deleted(self._txn, record):
            return True
        body = indexes.find_body(record) if record.kind == Edit.kind else None
        return isinstance(body, Edit) and deletes.is_taken_back(self._txn, record.account, body.of)

    def journal_naming_blobs(self, since: int, most: int) -> tuple[list[Record], int]:
        """Of so many records with an aid above ``since`` those that may name a blob, and the last aid looked at.

        That is ``since`` itself if there are none.
        """
        found: list[Record] = []
        try:
            for record in islice(journal.iter_journal(self._txn, since), most):
                since = record.aid
                if record.body is None or not blobrefs.may_name_blobs(record.body):
                    continue
                if serving.is_sound(self._txn, record):
                    found.append(record)
        except DamagedRow as exc:
            since = exc.aid
        return found, since

    def records_showing(self, blob: Cid) -> Iterator[Record]:
        """Records people can see that name a blob, among the first of all that do."""
        for aid in islice(blobrefs.iter_ref_aids(self._txn, blob), MAX_NAMING):
            record = serving.find_record(self._txn, aid)
            if record is not None and self.is_visible(record) and not self.is_deleted(record):
                yield record

    def is_hidden_blob(self, blob: Cid) -> bool:
        """Whether records name a blob, and none of them is shown. One that none names may be for a post to come."""
        return self.is_named_blob(blob) and next(self.records_showing(blob), None) is None

    def is_named_blob(self, blob: Cid) -> bool:
        """Whether a record that has its body here names a blob."""
        return any(True for _ in blobrefs.iter_ref_aids(self._txn, blob))

    def versions(self, record: Record) -> list[Version]:
        """A post and all its edits, oldest first, the one shown last; none, if the post is not shown."""
        original = indexes.find_body(record) if record.kind == POST and self.is_visible(record) else None
        if not isinstance(original, Post):
            return []
        found = [Version(record, original)]
        for edit in edits.iter_edits(self._txn, record):
            body = indexes.find_body(edit)
            if isinstance(body, Edit):
                found.append(Version(edit, body.version_of(original)))
        return found

    def newest_edit(self, record: Record) -> Record | None:
        """The edit that is shown in place of a post, None if the post is shown as it was written."""
        return edits.find_newest(self._txn, record)

    def counts(self, cid: Cid) -> Counts:
        """How many name a record or an account, as far as it is known here."""
        return about.counts_of(self._txn, cid)

    # -- timelines, newest first, strictly before a position

    def home(self, before: Position | None = None) -> Iterator[tuple[Position, Record]]:
        """Posts and reposts of the own account and those it follows, without those it muted or blocked."""
        return self._records(timeline.iter_home(self._txn, before, but=self._shunned_numbers))

    def is_in_home(self, record: Record) -> bool:
        """Whether a record stands in the home timeline, also if its author is muted."""
        return timeline.is_in_home(self._txn, timeline.position_of(record))

    def posts(self, account: Account, before: Position | None = None) -> Iterator[tuple[Position, Record]]:
        """What an account posted and reposted."""
        return self.shelves(account, MAIN_SHELVES, before)

    def shelves(
        self, account: Account, shelves: Iterable[Shelf], before: Position | None = None
    ) -> Iterator[tuple[Position, Record]]:
        """Some shelves of an account in one order; one cursor serves any of them."""
        return self._records(timeline.iter_shelves(self._txn, [account.number], shelves, before))

    def is_on_shelf(self, record: Record, shelf: Shelf) -> bool:
        """Whether a record is shown among what its account posted, on one shelf."""
        account = accounts.find_account(self._txn, record.account)
        at = timeline.pack_position(record)
        return account is not None and timeline.is_on_shelf(self._txn, account.number, shelf, at)

    def count_posts(self, account: Account) -> int:
        """What an account wrote itself: posts, replies and articles."""
        return timeline.count_posts(self._txn, account.number)

    def count_shelf(self, account: Account, shelf: Shelf) -> int:
        return timeline.count_shelf(self._txn, account.number, shelf)

    def tagged(self, tag: str, before: Position | None = None) -> Iterator[tuple[Position, Record]]:
        """Posts that bear a tag, however it is written."""
        return self._records(tags.iter_tagged(self._txn, tag, before))

    def quotes(self, cid: Cid, before: Position | None = None) -> Iterator[tuple[Position, Record]]:
        """Posts that quote a record."""
        return self._records(quotes.iter_quotes(self._txn, cid, before))

    def activity(self, before: Position | None = None) -> Iterator[tuple[Position, Concern]]:
        """Mentions, replies, reactions, reposts, quotes and follows of the own account by others."""
        for act in activity.iter_activity(self._txn, before):
            record = serving.find_record(self._txn, act.at.aid)
            if record is not None and record.account not in self._shunned:
                yield act.at, Concern(record, act.reasons)

    # -- threads, oldest first, strictly after a position

    def replies(self, root: Cid) -> Iterator[Record]:
        """Every reply held of a thread, in time order."""
        return (record for _, record in self.thread(root))

    def thread(self, root: Cid, after: Position | None = None) -> Iterator[tuple[Position, Record]]:
        """As ``replies``, with positions to go on from."""
        return self._records(threads.iter_thread(self._txn, root, after))

    def count_answers(self, root: Cid, since_aid: int) -> int:
        """How many replies of a thread came after an aid."""
        return sum(at.aid > since_aid for at in threads.iter_thread(self._txn, root, None))

    def thread_newest(self, root: Cid, before: Position | None = None) -> Iterator[tuple[Position, Record]]:
        """As ``thread``, newest first, strictly before a position."""
        return self._records(threads.iter_thread_down(self._txn, root, before))

    def answers_held(self, root: Cid, most: int) -> list[Cid]:
        """The newest replies of a thread whose bodies are here."""
        held = (record.cid for _, record in self.thread_newest(root) if record.body is not None)
        return list(islice(held, most))

    def answers(self, parent: Cid, after: Position | None = None) -> Iterator[tuple[Position, Record]]:
        """The replies to one record."""
        return self._records(threads.iter_answers(self._txn, parent, after))

    # -- what others say of a record, strictly after a place

    def reactions(self, cid: Cid) -> list[EmojiCount]:
        """The emoji a record got, the commonest first."""
        return reactions.counts_of(self._txn, cid)

    def reacted(self, cid: Cid, emoji: str, after: Place | None = None) -> Iterator[tuple[Place, Record]]:
        """One record for each account that reacted with an emoji."""
        return self._placed(reactions.iter_reactions(self._txn, cid, emoji, after))

    def does_react(self, account: Account, cid: Cid, emoji: str) -> bool:
        return next(reactions.iter_reaction_aids(self._txn, cid, emoji, account.number), None) is not None

    def reaction_records(self, account: Account, cid: Cid, emoji: str) -> list[Record]:
        """The records that make an account react: deleting them all ends it."""
        return self._held(reactions.iter_reaction_aids(self._txn, cid, emoji, account.number))

    def reposted(self, cid: Cid, after: Place | None = None) -> Iterator[tuple[Place, Record]]:
        """One record for each account that reposted a record."""
        return self._placed(reposts.iter_reposts(self._txn, cid, after))

    def does_repost(self, account: Account, cid: Cid) -> bool:
        return next(reposts.iter_repost_aids(self._txn, cid, account.number), None) is not None

    def repost_records(self, account: Account, cid: Cid) -> list[Record]:
        """The records that make an account repost something: deleting them all ends it."""
        return self._held(reposts.iter_repost_aids(self._txn, cid, account.number))

    def labels(self, on: Cid) -> Iterator[tuple[Record, Label]]:
        """What accounts say a record or an account is."""
        for record in self._held(labels.iter_label_aids(self._txn, on)):
            body = indexes.find_body(record)
            if isinstance(body, Label):
                yield record, body

    def rebuttals(self, label: Cid) -> Iterator[tuple[Record, Rebuttal]]:
        """What is answered to a label."""
        for record in self._held(labels.iter_rebuttal_aids(self._txn, label)):
            body = indexes.find_body(record)
            if isinstance(body, Rebuttal):
                yield record, body

    # -- people

    def profile(self, account: Cid) -> Profile | None:
        record = self.profile_record(account)
        body = indexes.find_body(record) if record is not None else None
        return body if isinstance(body, Profile) else None

    def profile_record(self, account: Cid) -> Record | None:
        """The record of the profile that is shown of an account."""
        found = accounts.find_account(self._txn, account)
        aid = profiles.find_profile_aid(self._txn, found.number) if found is not None else None
        return serving.find_record(self._txn, aid) if aid is not None else None

    def petname(self, account: Cid) -> str | None:
        return profiles.find_petname(self._txn, account)

    def petnames(self) -> dict[Cid, str]:
        """Everybody who is called something here."""
        return profiles.iter_petnames(self._txn)

    def follows(self, account: Account) -> Iterator[Cid]:
        return follows.iter_followed(self._txn, account.number)

    def does_follow(self, account: Account, who: Cid) -> bool:
        return follows.does_follow(self._txn, account.number, who)

    def follow_records(self, account: Account, who: Cid) -> list[Record]:
        """The records that make ``account`` follow ``who``: deleting them all ends it."""
        return self._held(follows.iter_follow_aids(self._txn, account.number, who))

    def followers(self, who: Cid, after: Place | None = None) -> Iterator[tuple[Place, Record]]:
        """One follow record for each account that is known to follow somebody."""
        return self._placed(follows.iter_followers(self._txn, who, after))

    def blocks(self, account: Account) -> Iterator[Cid]:
        """Whom an account blocked before everybody's eyes."""
        return follows.iter_blocked(self._txn, account.number)

    def block_records(self, account: Account, who: Cid) -> list[Record]:
        """The records by which ``account`` blocks ``who`` publicly: deleting them all ends it."""
        return self._held(follows.iter_block_aids(self._txn, account.number, who))

    # -- what only this home knows

    def shun(self, who: Cid) -> Shun:
        """Whether somebody is muted or blocked here; a published block counts."""
        return self._shunned.get(who, Shun.NOT)

    def shunned(self) -> dict[Cid, Shun]:
        """Everybody who is muted or blocked here."""
        return dict(self._shunned)

    def lists(self) -> list[str]:
        return lists.iter_lists(self._txn)

    def list_members(self, name: str) -> list[Cid]:
        """Raises ``NotFound`` for a list that is not there."""
        return lists.iter_members(self._txn, name)

    def list_posts(
        self, name: str, before: Position | None = None, shelves: Iterable[Shelf] = MAIN_SHELVES
    ) -> Iterator[tuple[Position, Record]]:
        """What the members of a list posted and reposted, newest first; raises ``NotFound``."""
        found = (accounts.find_account(self._txn, who) for who in lists.iter_members(self._txn, name))
        numbers = [account.number for account in found if account is not None]
        return self._records(timeline.iter_shelves(self._txn, numbers, shelves, before))

    @cached_property
    def _shunned(self) -> dict[Cid, Shun]:
        found = shunned.iter_shunned(self._txn)
        own = settings.find_own_account(self._txn)
        me = accounts.find_account(self._txn, own) if own is not None else None
        for who in follows.iter_blocked(self._txn, me.number) if me is not None else ():
            found[who] = found.get(who, Shun.NOT) | Shun.BLOCKED
        if own is not None:
            found.pop(own, None)  # nobody disappears from their own home
        return found

    @cached_property
    def _shunned_numbers(self) -> frozenset[bytes]:
        found = (accounts.find_account(self._txn, who) for who in self._shunned)
        return frozenset(account.number for account in found if account is not None)

    # -- from local numbers to records

    def _records(self, positions: Iterator[Position]) -> Iterator[tuple[Position, Record]]:
        while chunk := list(islice(positions, _CHUNK)):
            found = serving.find_records(self._txn, [position.aid for position in chunk])
            for position, record in zip(chunk, found, strict=True):
                if record is not None:
                    yield position, record

    def _placed(self, places: Iterator[tuple[Place, int]]) -> Iterator[tuple[Place, Record]]:
        while chunk := list(islice(places, _CHUNK)):
            found = serving.find_records(self._txn, [aid for _, aid in chunk])
            for (place, _), record in zip(chunk, found, strict=True):
                if record is not None:
                    yield place, record

    def _held(self, aids: Iterator[int]) -> list[Record]:
        return [record for record in serving.find_records(self._txn, list(aids)) if record is not None]
