"""Looking: every verb of a node that only reads what people wrote. Each is one consistent look at the store."""

from typing import TYPE_CHECKING

from unhush.identity.cid import Cid
from unhush.node.errors import MalformedCid
from unhush.node.ids import WHAT_AN_ID_IS, as_cid, looks_like_id
from unhush.node.records.marks import fold_name
from unhush.node.records.missing import Missing, find_missing, find_missing_of
from unhush.node.records.reading import MAX_THREAD, Reader
from unhush.node.views import Activity, Page, People, Person, Shown, Thread
from unhush.storage.store import Store

if TYPE_CHECKING:
    from unhush.node.records.searching import SearchPage


class Looking:
    """The part of a node that reads. Cursors (``before``, ``after``) stay good whatever comes in meanwhile."""

    _store: Store

    def _seek(self, missing: Missing, *, is_urgent: bool = False) -> None:
        """Have peers asked for what was looked at and is not here, without waiting; here nobody is.

        ``is_urgent``: also for what was asked for within a minute.
        """

    def timeline(
        self,
        limit: int = 50,
        before: str | None = None,
        *,
        only: str | None = None,
        of: Cid | str | None = None,
        in_list: str | None = None,
    ) -> Page:
        """Posts and reposts of yourself and the people you follow, newest first, without those you mute or block.

        ``of``: of one account; ``in_list``: of the members of a list. ``only``: "posts", "replies", "articles",
        "reposts" or "media". Raises ``BadConfig``; ``NotFound`` for a list or a cursor that is none.
        """
        with self._store.snapshot() as snapshot:
            who = as_cid(of) if of is not None else None
            page = Reader(snapshot).timeline(limit, before, only=only, of=who, in_list=in_list)
            missing = find_missing(snapshot, page.items)
        self._seek(missing)
        return page

    def person_posts(
        self, account: Cid | str, limit: int = 50, before: str | None = None, *, only: str | None = None
    ) -> Page:
        return self.timeline(limit, before, only=only, of=account)

    def thread(self, record: Cid | str, limit: int = MAX_THREAD, after: str | None = None) -> Thread:
        """The conversation a record belongs to, as far as it is here; raises ``NotFound``.

        A running node asks peers for more of it, at most once a minute; what comes is there at the next look.
        """
        with self._store.snapshot() as snapshot:
            thread = Reader(snapshot).thread(as_cid(record), limit, after)
            missing = find_missing_of(snapshot, thread)
        self._seek(missing)
        return thread

    def activity(self, limit: int = 50, before: str | None = None) -> Activity:
        """What others did with you and your records: mentions, replies, reactions, reposts, quotes, follows."""
        with self._store.snapshot() as snapshot:
            activity = Reader(snapshot).activity(limit, before)
            missing = find_missing(snapshot, (concern.shown for concern in activity.items))
        self._seek(missing)
        return activity

    def tagged(self, tag: str, limit: int = 50, before: str | None = None) -> Page:
        """Posts that bear a tag, with or without ``#``, however it is written."""
        with self._store.snapshot() as snapshot:
            return Reader(snapshot).tagged(tag.strip().removeprefix("#"), limit, before)

    def quotes(self, record: Cid | str, limit: int = 50, before: str | None = None) -> Page:
        """Posts that quote a record."""
        with self._store.snapshot() as snapshot:
            return Reader(snapshot).quotes(as_cid(record), limit, before)

    def history(self, record: Cid | str) -> tuple[Shown, ...]:
        """Every version of a post, oldest first, the one shown now last; raises ``NotFound``, ``RecordDeleted``."""
        with self._store.snapshot() as snapshot:
            return Reader(snapshot).history(as_cid(record))

    def show(self, record: Cid | str) -> Shown:
        """One record; raises ``NotFound``."""
        with self._store.snapshot() as snapshot:
            shown = Reader(snapshot).show(as_cid(record))
            missing = find_missing(snapshot, [shown])
        self._seek(missing)
        return shown

    def raw(self, record: Cid | str) -> bytes:
        """The entry block of a record, as signed; raises ``NotFound``."""
        with self._store.snapshot() as snapshot:
            return Reader(snapshot).record(as_cid(record)).block

    def person(self, account: Cid | str) -> Person:
        """Raises ``NotFound`` for an account nothing is known of and you do not follow."""
        with self._store.snapshot() as snapshot:
            return Reader(snapshot).person(as_cid(account))

    def search(
        self,
        text: str,
        *,
        by: Cid | str | None = None,
        tag: str | None = None,
        since: int | None = None,
        until: int | None = None,
        ranked: bool = False,
        limit: int = 20,
        before: str | None = None,
    ) -> "SearchPage":
        """Posts in which every word is found: ``word``, ``"a phrase"``, ``begin*``, ``-without``; newest first.

        ``by``: an account, as ``account_of`` takes it.
        ``since`` (included) and ``until`` (not) are Unix milliseconds. With ``ranked`` the best of the newest 1,000
        matches come first. Raises ``NothingToSearch`` if there is no word in ``text`` or only too short a beginning,
        ``MalformedCid`` for nobody, ``NotFound`` for a bad cursor.
        """
        from unhush.node.records.searching import search  # lazy: few load the engine

        return search(
            self._store,
            text,
            by=self.account_of(by) if by is not None else None,
            tag=tag,
            since_ms=since,
            until_ms=until,
            ranked=ranked,
            limit=limit,
            before=before,
        )

    def account_of(self, who: Cid | str) -> Cid:
        """The account with an id, or of somebody by what you call them or, if you follow them, by their name.

        Your own name is you, if nobody else is meant by it. Raises ``MalformedCid`` for what is none of these.
        """
        try:
            return as_cid(who)
        except MalformedCid as exc:
            with self._store.snapshot() as snapshot:
                reader, name = Reader(snapshot), fold_name(str(who))
                found = reader.named().get(name) or (snapshot.own_account() if reader.is_own_name(name) else None)
            if found is not None:
                return found
            if looks_like_id(str(who)):
                raise
            raise MalformedCid(f"nobody here is called {str(who)[:80]!r}, and it is no id: {WHAT_AN_ID_IS}") from exc

    def follows(self) -> tuple[Person, ...]:
        """Everybody you follow."""
        with self._store.snapshot() as snapshot:
            return Reader(snapshot).follows()

    def follows_of(self, account: Cid | str, limit: int = 50, after: str | None = None) -> People:
        """Whom somebody follows, as far as that is known here."""
        with self._store.snapshot() as snapshot:
            return Reader(snapshot).follows_of(as_cid(account), limit, after)

    def followers(self, account: Cid | str, limit: int = 50, after: str | None = None) -> People:
        """Who follows somebody, as far as that is known here."""
        with self._store.snapshot() as snapshot:
            return Reader(snapshot).followers(as_cid(account), limit, after)

    def reposters(self, record: Cid | str, limit: int = 50, after: str | None = None) -> People:
        """Who reposted a record."""
        with self._store.snapshot() as snapshot:
            return Reader(snapshot).reposters(as_cid(record), limit, after)

    def reactors(self, record: Cid | str, emoji: str, limit: int = 50, after: str | None = None) -> People:
        """Who reacted to a record with an emoji."""
        with self._store.snapshot() as snapshot:
            return Reader(snapshot).reactors(as_cid(record), emoji, limit, after)

    def shunned(self) -> tuple[Person, ...]:
        """Everybody you mute or block."""
        with self._store.snapshot() as snapshot:
            return Reader(snapshot).shunned()
