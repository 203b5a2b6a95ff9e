"""Keeping as people and programs see it: promise, ask to be kept, see who keeps what, do without a record.

Every verb is one step on the store and works whether a node runs or not; what
needs the network, fetching, signing and asking for proofs, the running node
does as soon as it sees the step.
"""

import math
import threading
import time
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from unhush.identity.cid import Cid
from unhush.identity.statement import MAX_REASON_BYTES, MediaPolicy
from unhush.node.account.secrets import Keys
from unhush.node.config import Config
from unhush.node.errors import BadConfig, NoKey, NotFound, NotKept, WrongKind
from unhush.node.ids import as_cid
from unhush.node.keeping.looking import Ledger
from unhush.node.keeping.sizes import USUAL_BUDGET, Share, parse_budget, parse_media, parse_share
from unhush.node.people.circle import Circle
from unhush.node.records.looking import Looking
from unhush.node.records.missing import MAX_RECORDS, Missing
from unhush.node.records.reading import Reader
from unhush.node.views import (
    KeeperInfo,
    KeepingFigures,
    KeepingOffer,
    KeptBy,
    KeptInfo,
    KeptSummary,
    NetworkView,
    WithheldInfo,
)
from unhush.storage.keeping.promises import Promise
from unhush.storage.keeping.withheld import WithheldBody
from unhush.storage.kinds import Delete, Keeper
from unhush.storage.snapshot import Snapshot

# News of a proof may be lost between processes; a look this often stands behind it.
_LOOK_EVERY_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class KeptAll:
    """What became of a list of accounts to keep."""

    new: int
    known: int  # kept before, and as they were
    changed: int  # kept before, their budget or media set anew
    differing: int  # of the known: kept with another budget or media than was named
    elsewhere: int  # of the shares of other boxes
    dropped: int  # kept before and not on the list, with ``exact``
    unlisted: int  # the same, without: still kept


class Keeping(Circle, Looking):
    """The part of a node that keeps, and sees who keeps it."""

    config: Config
    _keys: Keys

    @abstractmethod
    def _network_view(self) -> NetworkView | None: ...

    # -- what this home keeps

    def keep(
        self, account: Cid | str, budget: int | str | None = None, media: str | MediaPolicy | None = None
    ) -> KeptInfo:
        """Promise everyone to carry an account (an id, or a name as ``account_of`` takes it), or change the promise.

        ``budget`` is bytes, or text as "500MiB"; ``media`` "none", "90d" or "all". None: as it was; of a new promise
        1 GiB and no pictures. Raises ``BadConfig``, ``MalformedCid``, ``NoAccount``.
        """
        who = self._somebody(self.account_of(account), "every device of yours keeps it anyway")
        self._promise(who, *_parse_terms(budget, media))
        return self.kept(who)[0]

    def keep_all(
        self,
        accounts: Iterable[Cid],
        budget: int | str | None = None,
        media: str | MediaPolicy | None = None,
        *,
        share: str | Share = "0/1",
        exact: bool = False,
        update: bool = False,
    ) -> KeptAll:
        """Keep those of a list of accounts that are this box's share; with ``exact`` no others any more.

        What is kept already stays as it is, unless ``exact`` or ``update`` is set: then it gets the budget and media
        that are named. Our own account is passed over. Raises ``BadConfig``, also for ``exact`` with an empty list.
        """
        room, which = _parse_terms(budget, media)
        part = _Part.of(accounts, share, self.account())
        if exact and not part.listed:
            raise BadConfig("the list names no account, and with exact it would end every promise: nothing is changed")
        before = self._store.promises.all()
        new = changed = differing = 0
        for who in part.ours:
            known = before.get(who)
            if known is None:
                self._promise(who, room, which)
                new += 1
            elif known != _with_terms(known, room, which):
                differing += 1
                if exact or update:
                    self._promise(who, room, which)
                    changed += 1
        unlisted = before.keys() - part.ours
        if exact:
            for who in unlisted:
                self._store.promises.drop(who)
        return KeptAll(
            new=new,
            known=len(part.ours) - new - changed,
            changed=changed,
            differing=differing - changed,
            elsewhere=part.listed - len(part.ours),
            dropped=len(unlisted) if exact else 0,
            unlisted=0 if exact else len(unlisted),
        )

    def count_unlisted(self, accounts: Iterable[Cid], share: str | Share = "0/1") -> tuple[int, int]:
        """How many promises ``keep_all`` of this list ends with ``exact``, and of how many; raises ``BadConfig``."""
        part = _Part.of(accounts, share, self.account())
        kept = self._store.promises.all().keys()
        return len(kept - part.ours), len(kept)

    def unkeep(self, account: Cid | str) -> None:
        """Take the promise back, which a running node tells everybody at once; raises ``NotFound``."""
        who = self.account_of(account)
        if not self._store.promises.drop(who):
            raise NotFound(f"{who} is not kept here")

    def kept(self, account: Cid | str | None = None) -> tuple[KeptInfo, ...]:
        """What this home keeps for others, or of that one account; none of what it does not keep."""
        who = self.account_of(account) if account is not None else None
        why_unsigned = self._why_unsigned()
        followed_bytes = self.config.limits.followed_bytes
        with self._store.snapshot() as snapshot:
            ledger = Ledger(snapshot)
            return tuple(
                ledger.kept_info(each, promise, why_unsigned, followed_bytes)
                for each, promise in snapshot.promises().items()
                if who is None or each == who
            )

    def accept_keeping(
        self, account: Cid | str, budget: int | str | None = None, media: str | MediaPolicy | None = None
    ) -> KeptInfo:
        """``keep``, of an account that asked for it; raises ``NotFound`` if no record of its that is here does."""
        who = self.account_of(account)
        if who not in {offer.account for offer in self.keeping_offers()}:
            raise NotFound(
                f"no record that is here says that {who} asks to be kept (it may not have come, or not have fitted); "
                f"to keep it anyway: unhush keep {who}"
            )
        return self.keep(who, budget, media)

    def keeping_offers(self) -> tuple[KeepingOffer, ...]:
        """Who asks this account to keep theirs, the newest first."""
        own = self.account()
        with self._store.snapshot() as snapshot:
            ledger = Ledger(snapshot)
            return ledger.offers(own)

    def _promise(self, who: Cid, budget_bytes: int | None, media: MediaPolicy | None) -> None:
        known = self._store.promises.find(who)
        if known is None:
            known = Promise(parse_budget(USUAL_BUDGET), MediaPolicy.NONE, self.config.clock_ms())
        self._store.promises.keep(who, _with_terms(known, budget_bytes, media))

    def _why_unsigned(self) -> str:
        """Why this home signs no receipt now; empty if it does, or only has not yet."""
        if not self._keys.has_device():
            return str(NoKey())
        view = self._network_view()
        return view.silent if view is not None else "receipts are signed while a node runs here: unhush run"

    # -- who keeps

    def offer_keeping(self, keeper: Cid | str) -> None:
        """Ask an account to keep ours, before everybody, and take its word that it does; raises ``BadConfig``."""
        own = self.account()
        if (keeping := self.account_of(keeper)) == own:
            raise BadConfig("this is you: every device of yours keeps it anyway; ask somebody else")
        who = self._somebody(keeping, "ask somebody else")
        with self._store.snapshot() as snapshot:
            me = snapshot.account(own)
            is_asked = me is not None and bool(snapshot.keeper_records(me, who))
        if not is_asked:
            self._publish(Keeper(who))

    def withdraw_keeping(self, keeper: Cid | str) -> None:
        """Take that back by deleting every record that said so; raises ``NotFound``."""
        who = self.account_of(keeper)
        own = self.account()
        with self._store.snapshot() as snapshot:
            me = snapshot.account(own)
            records = snapshot.keeper_records(me, who) if me is not None else []
        if not records:
            raise NotFound(f"{who} was not asked to keep this account")
        self._publish(*(Delete(record.cid) for record in records))

    def keepers(self, account: Cid | str | None = None) -> tuple[KeeperInfo, ...]:
        """Who keeps an account, our own if none is named, or was asked to; those that count first.

        Our own node is not among them: what it holds is no news to us.
        """
        who = self.account_of(account) if account is not None else self.account()
        with self._store.snapshot() as snapshot:
            return Ledger(snapshot).keepers(who)

    def wait_kept(self, record: Cid | str, by: int = 1, timeout_s: float = 60.0) -> KeptBy:
        """Wait until so many proven keepers hold a record; raises ``NotKept`` if they do not in time, ``NotFound``.

        Proofs are asked for by the running node, ours or another process's on this home. Raises ``BadConfig`` for
        fewer keepers than one, or a time that is none.
        """
        cid = as_cid(record)
        if type(by) is not int or by < 1:
            raise BadConfig(f"one keeper or more can be waited for, not {str(by)[:40]!r}")
        if not isinstance(timeout_s, int | float) or math.isnan(timeout_s):
            raise BadConfig(f"no number of seconds: {str(timeout_s)[:40]!r}")
        due = time.monotonic() + timeout_s
        news = threading.Event()
        end = self._store.subscribe(news.set)
        try:
            while True:
                news.clear()  # before the look: what comes after it wakes us again
                kept_by = self._kept_by(cid)
                if kept_by.proven >= by:
                    return kept_by
                left = due - time.monotonic()
                if left <= 0:
                    raise NotKept(cid, kept_by, by)
                news.wait(min(left, _LOOK_EVERY_S))
        finally:
            end()

    def _kept_by(self, cid: Cid) -> KeptBy:
        with self._store.snapshot() as snapshot:
            shown = Reader(snapshot).show(cid)
        assert shown.kept_by is not None
        return shown.kept_by

    # -- doing without

    def withhold(self, record: Cid | str, reason: str) -> WithheldInfo:
        """Erase the body of a record here, now or as soon as it comes, and say so to whoever asks.

        The pictures that no other record names go with it.
        Again with another reason replaces that, which the answer tells as ``replaced``.
        Raises ``BadConfig`` for our own record or a reason that is none, ``WrongKind`` for what says who may speak.
        """
        cid, why = as_cid(record), _parse_reason(reason)
        with self._store.snapshot() as snapshot:
            found = snapshot.record(cid)
            own = snapshot.own_account()
        if found is not None and found.entry.header.is_identity:
            raise WrongKind(f"{cid} says who may speak for an account; nothing could be proven without it")
        if found is not None and found.account == own:
            raise BadConfig("this is your own record; take it back for everybody: unhush delete")
        before = self._store.withheld.find(cid)
        pictures = self._store.withheld.add(cid, why, self.config.clock_ms())
        done = replace(next(each for each in self.withheld() if each.id == cid), pictures=pictures)
        is_again = before is not None and before.of is None  # an edit that went with its post was nobody's decision
        return replace(done, replaced=before.reason) if before is not None and is_again else done

    def unwithhold(self, record: Cid | str) -> None:
        """Take the record in again when somebody gives it, and have connected peers asked now; raises ``NotFound``."""
        cid = as_cid(record)
        before = self._store.withheld.all().keys()
        if not self._store.withheld.drop(cid):
            raise NotFound(f"{cid} is not withheld here")
        wanted = {cid} | (before - self._store.withheld.all().keys())  # its edits went with it
        with self._store.snapshot() as snapshot:
            found = [snapshot.record(each) for each in wanted]
        records = {each.cid: each.account for each in found[:MAX_RECORDS] if each is not None}
        self._seek(Missing(records), is_urgent=True)

    def withheld(self) -> tuple[WithheldInfo, ...]:
        """What this node does without on purpose, the newest first."""
        held = sorted(self._store.withheld.all().values(), key=lambda each: (-each.since_ms, each.entry))
        with self._store.snapshot() as snapshot:
            return tuple(_withheld_info(snapshot, each) for each in held)

    # -- counted

    def keeping_figures(self) -> KeepingFigures:
        """Promises, receipts and proofs, counted for who watches this home."""
        with self._store.snapshot() as snapshot:
            return Ledger(snapshot).figures()

    def _kept_summary(self, snapshot: Snapshot) -> KeptSummary:
        own = snapshot.own_account()
        return Ledger(snapshot).summary(own) if own is not None else KeptSummary()


@dataclass(frozen=True, slots=True)
class _Part:
    """What of a list is this box's."""

    listed: int
    ours: frozenset[Cid]

    @classmethod
    def of(cls, accounts: Iterable[Cid], share: str | Share, own: Cid) -> "_Part":
        """Raises ``BadConfig``."""
        part = parse_share(share) if isinstance(share, str) else share
        listed = {who for who in accounts if who != own}
        return cls(len(listed), frozenset(who for who in listed if part.holds(who)))


def _parse_terms(budget: int | str | None, media: str | MediaPolicy | None) -> tuple[int | None, MediaPolicy | None]:
    """What was named of a promise; raises ``BadConfig``."""
    return parse_budget(budget) if budget is not None else None, parse_media(media) if media is not None else None


def _with_terms(promise: Promise, budget_bytes: int | None, media: MediaPolicy | None) -> Promise:
    """What is not named stays."""
    return Promise(
        budget_bytes if budget_bytes is not None else promise.budget_bytes,
        media if media is not None else promise.media,
        promise.since_ms,
    )


def _parse_reason(reason: str) -> str:
    if not isinstance(reason, str):
        raise BadConfig("a reason is text")
    why = " ".join(reason.split())
    try:
        size = len(why.encode())
    except UnicodeEncodeError as exc:
        raise BadConfig("a reason is Unicode text") from exc
    if not 0 < size <= MAX_REASON_BYTES:
        raise BadConfig(f"a reason has 1 to {MAX_REASON_BYTES} bytes")
    return why


def _withheld_info(snapshot: Snapshot, withheld: WithheldBody) -> WithheldInfo:
    record = snapshot.record(withheld.entry)
    person = Reader(snapshot).any_person(record.account) if record is not None else None
    return WithheldInfo(
        id=withheld.entry,
        account=person.account if person is not None else None,
        name=(person.petname or person.name) if person is not None else "",
        reason=withheld.reason,
        since_ms=withheld.since_ms,
    )
