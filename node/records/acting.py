"""Acting on records: post, answer, quote, edit, repost, react, and taking any of it back.

What would mean nothing is refused with the reason before anything is signed;
what is so already is not signed again. Each verb undoes itself by deleting the
record that did it, and ``delete`` does that to any record of your own.
"""

import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from unhush.identity.cid import Cid
from unhush.node.errors import MalformedRecord, NotFound, NotYours, RecordDeleted, WrongKind
from unhush.node.ids import as_cid
from unhush.node.names import BIDI_REACHING
from unhush.node.pictures.media import MediaFiles
from unhush.node.records.headings import NO_HEADING, Heading
from unhush.node.records.marks import find_marks
from unhush.node.records.reading import HIDDEN, Reader
from unhush.node.views import Shown
from unhush.storage.accounts import Account
from unhush.storage.kinds import (
    DELETE,
    EDIT,
    POST,
    REPOST,
    Body,
    Delete,
    Edit,
    Media,
    Post,
    Quote,
    React,
    Reply,
    Repost,
)
from unhush.storage.kinds.acts import MAX_EMOJI_BYTES
from unhush.storage.kinds.fields import check_text
from unhush.storage.kinds.posts import MAX_MENTIONS, MAX_TAGS
from unhush.storage.records import Record
from unhush.storage.snapshot import Snapshot
from unhush.storage.store import Store

# Records taken back by one call: one commit holds them all.
MAX_DELETES: Final = 1_000


class Writing(ABC):
    """What verbs stand on: a store, and a hand that signs."""

    _store: Store
    media: MediaFiles

    @abstractmethod
    def account(self) -> Cid:
        """The home's own account; raises ``NoAccount``."""

    @abstractmethod
    def _publish(self, *bodies: Body) -> Record:
        """Sign and store records in one commit; the last of them."""

    def _show(self, record: Record) -> Shown:
        with self._store.snapshot() as snapshot:
            return Reader(snapshot).shown(record)

    def _show_id(self, cid: Cid) -> Shown:
        with self._store.snapshot() as snapshot:
            return Reader(snapshot).show(cid)


class Acting(Writing):
    """The part of a node that acts on records."""

    # -- writing posts

    def post(self, post: str | Post, media: Sequence[Media] = (), *, heading: Heading = NO_HEADING) -> Shown:
        """Publish a post; it is durable when this returns. Raises ``NoAccount``, ``MalformedRecord``, ``BlobMissing``.

        Of plain text the ``#tags`` and ``@people`` in it become the post's own; a ``Post`` is taken as it is.
        ``media``: what ``attach`` gave; it comes after what the post has already. A title makes it an article.
        """
        return self._show(self._publish(self._whole(post, media, heading)))

    def reply(
        self, to: Cid | str, text: str | Post, media: Sequence[Media] = (), *, heading: Heading = NO_HEADING
    ) -> Shown:
        """Answer a post held here, or the post that a repost or an edit names.

        Raises ``NotFound``, also for a record that has no say, ``RecordDeleted``, ``WrongKind``.
        """
        target = self._find_target(to, "answered")
        root, root_account = target.id, target.account
        if target.reply is not None:
            root, root_account = target.reply.root, target.reply.root_account
        reply = Reply(root, target.id, root_account, target.account)
        return self._show(self._publish(replace(self._whole(text, media, heading), reply=reply)))

    def quote(
        self, record: Cid | str, text: str | Post, media: Sequence[Media] = (), *, heading: Heading = NO_HEADING
    ) -> Shown:
        """Publish a post that shows another beneath itself; raises as ``reply``."""
        target = self._find_target(record, "quoted")
        quote = Quote(target.id, target.account)
        return self._show(self._publish(replace(self._whole(text, media, heading), quote=quote)))

    def edit(
        self,
        record: Cid | str,
        text: str | Post,
        media: Sequence[Media] | None = None,
        *,
        heading: Heading = NO_HEADING,
    ) -> Shown:
        """Give a post of your own other words; all versions stay readable. What it answers and quotes stays.

        Plain text changes the text and the tags and mentions that stood in it; a ``Post`` changes everything.
        ``media`` and each part of ``heading`` replace what the post has of it, if given. Nothing is signed if nothing
        changes. Raises ``NotFound``, ``NotYours``, ``RecordDeleted``, ``WrongKind``, ``MalformedRecord``,
        ``BlobMissing``.
        """
        self.account()
        with self._store.snapshot() as snapshot:
            target = _find_post(snapshot, as_cid(record), "edited")
            if not target.is_own:
                raise NotYours(f"record {target.id} is somebody else's; only its author can edit it")
            now = snapshot.shown_version(Reader(snapshot).record(target.id))
            people = _people(snapshot, text)
        assert now is not None, "a post that can be edited has a version"
        change = _changed(now, text, people) if isinstance(text, str) else replace(text, reply=None, quote=None)
        change = heading.above(change)
        if media is not None:
            change = replace(change, media=tuple(media))
        if _is_empty(change):
            raise MalformedRecord(f"nothing would be left of {target.id}; to take it back, delete it")
        if change != replace(now, reply=None, quote=None):
            self.media.hold([item.cid for item in change.media if item not in now.media])
            self._publish(Edit(target.id, change))
        return self._show_id(target.id)

    def _whole(self, post: str | Post, media: Sequence[Media], heading: Heading) -> Post:
        """A post with its marks and its media, which are kept here until it is written."""
        if isinstance(post, str):
            with self._store.snapshot() as snapshot:
                people, own = _people(snapshot, post), snapshot.own_account()
            marks = find_marks(post, people)
            post = Post(post, tags=marks.tags, mentions=tuple(who for who in marks.mentions if who != own))
        whole = heading.above(replace(post, media=(*post.media, *media)))
        if _is_empty(whole):
            raise MalformedRecord("there is nothing to post: no text, no title, no picture")
        self.media.hold([item.cid for item in whole.media])
        return whole

    # -- taking back

    def delete(self, *records: Cid | str) -> tuple[Shown, ...]:
        """Take back records of your own, whatever they did: a post, a follow, a reaction; all of them or none.

        Returns them as they were. Raises ``NotFound``, ``NotYours``, ``RecordDeleted``, ``WrongKind``.
        """
        if len(records) > MAX_DELETES:
            raise WrongKind(f"at most {MAX_DELETES:,} records are deleted at once")
        self.account()
        with self._store.snapshot() as snapshot:
            reader = Reader(snapshot)
            targets = {cid: reader.show(cid) for cid in map(as_cid, records)}
        for target in targets.values():
            _check_deletable(target)
        if targets:
            self._publish(*(Delete(cid) for cid in targets))
        return tuple(targets.values())

    # -- small acts

    def repost(self, record: Cid | str) -> Shown:
        """Show a post to those who follow you; raises as ``reply``. Doing it twice does it once."""
        target = self._find_target(record, "reposted")
        with self._store.snapshot() as snapshot:
            held = snapshot.repost_records(_me(snapshot, self.account()), target.id)
        return self._show(held[0] if held else self._publish(Repost(target.id, target.account)))

    def unrepost(self, record: Cid | str) -> None:
        """Take a repost back by deleting every record that made it; raises ``NotFound``."""
        with self._store.snapshot() as snapshot:
            cid = _original(snapshot, as_cid(record))
            held = snapshot.repost_records(_me(snapshot, self.account()), cid)
        if not held:
            raise NotFound(f"you have not reposted {cid}")
        self._publish(*(Delete(each.cid) for each in held))

    def react(self, to: Cid | str, emoji: str) -> Shown:
        """React to a post with an emoji; doing it twice does it once. Raises as ``reply``, ``MalformedRecord``."""
        emoji = _checked_emoji(emoji)
        target = self._find_target(to, "reacted to")
        reaction = React(target.id, target.account, emoji, target.version)
        with self._store.snapshot() as snapshot:
            held = snapshot.reaction_records(_me(snapshot, self.account()), target.id, emoji)
        return self._show(held[0] if held else self._publish(reaction))

    def unreact(self, to: Cid | str, emoji: str | None = None) -> None:
        """Take a reaction back, or all of yours to a record; raises ``NotFound``."""
        with self._store.snapshot() as snapshot:
            cid, me = _original(snapshot, as_cid(to)), _me(snapshot, self.account())
            emojis = [each.emoji for each in snapshot.reactions(cid)] if emoji is None else [_checked_emoji(emoji)]
            held = [record for each in emojis for record in snapshot.reaction_records(me, cid, each)]
        if not held:
            raise NotFound(f"you have not reacted to {cid}" + (f" with {emoji!r:.40}" if emoji is not None else ""))
        self._publish(*(Delete(record.cid) for record in held))

    def _find_target(self, record: Cid | str, what: str) -> Shown:
        self.account()
        with self._store.snapshot() as snapshot:
            return _find_post(snapshot, as_cid(record), what)


# -- what an act may be about


def _find_post(snapshot: Snapshot, cid: Cid, what: str) -> Shown:
    """The post that is meant by an id, also by that of a repost or an edit of it."""
    shown = Reader(snapshot).show(_original(snapshot, cid))
    if shown.is_deleted:
        raise RecordDeleted(f"record {shown.id} was deleted by its author and cannot be {what}")
    if shown.standing in HIDDEN:
        raise NotFound(f"record {shown.id} is not in force, so it cannot be {what}")
    if shown.kind != POST:
        raise WrongKind(f"record {shown.id} is {_a(shown.kind)}; only posts can be {what}")
    if snapshot.shown_version(Reader(snapshot).record(shown.id)) is None:
        raise NotFound(f"the text of {shown.id} has not arrived, so it cannot be {what}")
    return shown


def _original(snapshot: Snapshot, cid: Cid) -> Cid:
    """What a repost or an edit names: acts name originals (PROTOCOL §4)."""
    record = snapshot.record(cid)
    if record is None or record.kind not in (REPOST, EDIT):
        return cid
    return Reader(snapshot).shown(record).target or cid


def _check_deletable(target: Shown) -> None:
    if not target.is_own:
        raise NotYours(f"record {target.id} is somebody else's; only its author can delete it")
    if target.kind == DELETE:
        raise WrongKind(f"record {target.id} is a delete, and deleting it would bring nothing back: write it again")
    if target.kind.startswith("identity."):
        raise WrongKind(f"record {target.id} is an identity operation and cannot be deleted; see: unhush device")
    if target.is_deleted:
        raise RecordDeleted(f"record {target.id} is deleted already")


def _a(kind: str) -> str:
    return f"{'an' if kind[:1] in 'aeiou' else 'a'} {kind}"


def _checked_emoji(emoji: str) -> str:
    """An emoji, or what may stand for one: short, visible, one word; raises ``MalformedRecord``."""
    emoji = emoji.strip()
    check_text("emoji", emoji, MAX_EMOJI_BYTES)
    categories = [unicodedata.category(char) for char in emoji]
    # Unassigned ones may be emoji that are newer than this Python.
    is_seen = any(category[0] in "LNPS" or category == "Cn" for category in categories)
    is_clean = not any(category in ("Cc", "Co") or category[0] == "Z" for category in categories)
    if not is_seen or not is_clean or BIDI_REACHING.search(emoji):
        raise MalformedRecord(f"a reaction is one emoji, not {emoji!r}")
    return emoji


# -- what a text means


def _people(snapshot: Snapshot, text: str | Post) -> dict[str, Cid]:
    """Who may be mentioned by name."""
    return Reader(snapshot).named() if isinstance(text, str) and "@" in text else {}


def _is_empty(post: Post) -> bool:
    """Whether there is nothing in a post to be seen; a warning or a tag alone is nothing."""
    return not (post.text.strip() or (post.title or "").strip() or post.media)


def _changed(now: Post, text: str, people: dict[str, Cid]) -> Post:
    """A post with another text: what the old text marked goes, what was said beside it stays."""
    if text == now.text:  # people may be called something else by now
        return replace(now, reply=None, quote=None)
    before, after = find_marks(now.text, people), find_marks(text, people)
    tags = [tag for tag in now.tags if tag not in before.tags]
    mentions = [who for who in now.mentions if who not in before.mentions]
    return replace(
        now,
        text=text,
        tags=tuple(dict.fromkeys((*tags, *after.tags)))[:MAX_TAGS],
        mentions=tuple(dict.fromkeys((*mentions, *after.mentions)))[:MAX_MENTIONS],
        reply=None,
        quote=None,
    )


def _me(snapshot: Snapshot, own: Cid) -> Account:
    me = snapshot.account(own)
    if me is None:
        raise NotFound(f"the account {own} has not arrived yet")
    return me
