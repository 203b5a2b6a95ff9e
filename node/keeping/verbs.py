"""Keeping as people and programs see it: promise, ask to be kept, see who keeps what, do without a record.

Every verb is one step on the store and works whether a node runs or not; what
needs the network, fetching, signing and asking for proofs, the running node
does as soon as it sees the step.
"""

import threading
import time
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from unhush.identity.cid import Cid
from unhush.identity.statement import MAX_REASON_BYTES, MediaPolicy
from unhush.node.circle import Circle
from unhush.node.config import Config
from unhush.node.errors import BadConfig, NoKey, NotFound, NotKept, WrongKind
from unhush.node.ids import as_cid
from unhush.node.keeping.looking import Ledger
from unhush.node.keeping.sizes import USUAL_BUDGET, Share, parse_budget, parse_media, parse_share
from unhush.node.reading import Reader
from unhush.node.secrets import Keys
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
    known: int  # kept before, their budget and media set anew
    elsewhere: int  # of the shares of other boxes
    dropped: int  # kept before and not on the list, with ``exact``
    unlisted: int  # the same, without: still kept


class Keeping(Circle):
    """The part of a node that keeps, and sees who keeps it."""

    config: Config
    _keys: Keys

    @abstractmethod
    def _network_view(self) -> NetworkView | None: ...

    # -- what this home keeps

    def keep(
        self, account: Cid | str, budget: int | str = USUAL_BUDGET, media: str | MediaPolicy = MediaPolicy.NONE
    ) -> KeptInfo:
        """Promise everyone to carry an account, or change the promise.

        ``budget`` is bytes, or text as "500MiB"; ``media`` "none", "90d" or "all". Raises ``BadConfig``, ``NoAccount``.
        """
        who = self._somebody(account, "every device of yours keeps it anyway")
        self._promise(who, parse_budget(budget), parse_media(media))
        return self.kept(who)[0]

    def keep_all(
        self,
        accounts: Iterable[Cid],
        budget: int | str = USUAL_BUDGET,
        media: str | MediaPolicy = MediaPolicy.NONE,
        *,
        share: str | Share = "0/1",
        exact: bool = False,
    ) -> KeptAll:
        """Keep those of a list of accounts that are this box's share; with ``exact`` no others any more.

        Our own account is passed over. Raises ``BadConfig``.
        """
        own = self.account()
        part = parse_share(share) if isinstance(share, str) else share
        room, which = parse_budget(budget), parse_media(media)
        listed = dict.fromkeys(who for who in accounts if who != own)
        ours = [who for who in listed if part.holds(who)]
        before = self._store.promises.all()
        for who in ours:
            known = before.get(who)
            if known is None or (known.budget_bytes, known.media) != (room, which):
                self._promise(who, room, which)
        unlisted = before.keys() - set(ours)
        if exact:
            for who in unlisted:
                self._store.promises.drop(who)
        new = sum(who not in before for who in ours)
        return KeptAll(
            new=new,
            known=len(ours) - new,
            elsewhere=len(listed) - len(ours),
            dropped=len(unlisted) if exact else 0,
            unlisted=0 if exact else len(unlisted),
        )

    def unkeep(self, account: Cid | str) -> None:
        """Take the promise back, which a running node tells everybody at once; raises ``NotFound``."""
        who = as_cid(account)
        if not self._store.promises.drop(who):
            raise NotFound(f"{who} is not kept here")

    def kept(self, account: Cid | str | None = None) -> tuple[KeptInfo, ...]:
        """What this home keeps for others, or of that one account; none of what it does not keep."""
        who = as_cid(account) if account is not None else None
        why_unsigned = self._why_unsigned()
        with self._store.snapshot() as snapshot:
            ledger = Ledger(snapshot)
            return tuple(
                ledger.kept_info(each, promise, why_unsigned)
                for each, promise in snapshot.promises().items()
                if who is None or each == who
            )

    def accept_keeping(
        self, account: Cid | str, budget: int | str = USUAL_BUDGET, media: str | MediaPolicy = MediaPolicy.NONE
    ) -> KeptInfo:
        """``keep``, of an account that asked for it; raises ``NotFound`` if none of its records does."""
        who = as_cid(account)
        if who not in {offer.account for offer in self.keeping_offers()}:
            raise NotFound(f"{who} did not ask to be kept, as far as it is known here; to keep it anyway: keep")
        return self.keep(who, budget, media)

    def keeping_offers(self) -> tuple[KeepingOffer, ...]:
        """Who asks this account to keep theirs, the newest first."""
        own = self.account()
        with self._store.snapshot() as snapshot:
            ledger = Ledger(snapshot)
            return ledger.offers(own)

    def _promise(self, who: Cid, budget_bytes: int, media: MediaPolicy) -> None:
        known = self._store.promises.find(who)
        since_ms = known.since_ms if known is not None else self.config.clock_ms()
        self._store.promises.keep(who, Promise(budget_bytes, media, since_ms))

    def _why_unsigned(self) -> str:
        """Why this home signs no receipt now; empty if it does, or only has not yet."""
        if not self._keys.has_device():
            return str(NoKey())
        view = self._network_view()
        return view.silent if view is not None else "receipts are signed while a node runs here: unhush run"

    # -- who keeps

    def offer_keeping(self, keeper: Cid | str) -> None:
        """Ask an account to keep ours, before everybody, and take its word that it does; raises ``BadConfig``."""
        who = self._somebody(keeper, "ask somebody else")
        own = self.account()
        with self._store.snapshot() as snapshot:
            me = snapshot.account(own)
            is_asked = me is not None and bool(snapshot.keeper_records(me, who))
        if not is_asked:
            self._publish(Keeper(who))

    def withdraw_keeping(self, keeper: Cid | str) -> None:
        """Take that back by deleting every record that said so; raises ``NotFound``."""
        who = as_cid(keeper)
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
        who = as_cid(account) if account is not None else self.account()
        with self._store.snapshot() as snapshot:
            return Ledger(snapshot).keepers(who)

    def wait_kept(self, record: Cid | str, by: int = 1, timeout_s: float = 60.0) -> KeptBy:
        """Wait until so many proven keepers hold a record; raises ``NotKept`` if they do not in time, ``NotFound``.

        Proofs are asked for by the running node, ours or another process's on this home.
        """
        cid = as_cid(record)
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

        Raises ``BadConfig`` for our own record or a reason that is none, ``WrongKind`` for what says who may speak.
        """
        cid, why = as_cid(record), " ".join(reason.split())
        _check_reason(why)
        with self._store.snapshot() as snapshot:
            found = snapshot.record(cid)
            own = snapshot.own_account()
        if found is not None and found.entry.header.is_identity:
            raise WrongKind(f"{cid} says who may speak for an account; nothing could be proven without it")
        if found is not None and found.account == own:
            raise BadConfig("this is your own record; take it back for everybody: unhush delete")
        self._store.withheld.add(cid, why, self.config.clock_ms())
        return next(each for each in self.withheld() if each.id == cid)

    def unwithhold(self, record: Cid | str) -> None:
        """Take the record in again when somebody gives it; raises ``NotFound``."""
        cid = as_cid(record)
        if not self._store.withheld.drop(cid):
            raise NotFound(f"{cid} is not withheld here")

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


def _check_reason(why: str) -> None:
    try:
        size = len(why.encode())
    except UnicodeEncodeError as exc:
        raise BadConfig("a reason is Unicode text") from exc
    if not 0 < size <= MAX_REASON_BYTES:
        raise BadConfig(f"a reason has 1 to {MAX_REASON_BYTES} bytes")


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
