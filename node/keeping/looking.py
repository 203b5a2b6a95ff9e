"""Who keeps what, in the words people read: from one snapshot, with the receipts of each account read once."""

from collections.abc import Mapping
from itertools import islice
from typing import Final

from unhush.identity.cid import Cid
from unhush.identity.keys import PublicKey
from unhush.identity.statement import Claim, Receipt, Statement
from unhush.node.keeping.coverage import Cover, Runs, count, count_by, count_covered, least, unite
from unhush.node.keeping.sizes import size_text
from unhush.node.views import (
    KeeperInfo,
    KeepingFigures,
    KeepingOffer,
    KeptInfo,
    KeptSummary,
    NotGiven,
)
from unhush.storage.keeping.keptby import PROVEN_MS, KeeperView
from unhush.storage.keeping.promises import Promise
from unhush.storage.snapshot import Snapshot
from unhush.storage.summaries import point_of

# Who asks this account to keep theirs: anybody can, and a person answers a handful.
MAX_OFFERS: Final = 500


class Ledger:
    """Looks at keeping as of one snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._now_ms = snapshot.now_ms()
        self._own = snapshot.own_account()
        self._device = snapshot.own_device()

    # -- what this home keeps

    def kept_info(self, account: Cid, promise: Promise, why_unsigned: str = "", followed_bytes: int = 0) -> KeptInfo:
        """One promise; ``why_unsigned`` is why this home signs nothing at all now.

        ``followed_bytes`` is what anybody may take whom its owner follows: no promise makes that smaller.
        """
        me = self._snapshot.account(self._own) if self._own is not None else None
        is_followed = me is not None and self._snapshot.does_follow(me, account)
        room_bytes = max(promise.budget_bytes, followed_bytes) if is_followed else promise.budget_bytes
        used = self._snapshot.usage(account)
        receipt = self.own_receipt(account)
        return KeptInfo(
            account=account,
            name=self._name(account),
            budget_bytes=promise.budget_bytes,
            room_bytes=room_bytes,
            used_bytes=used.size_bytes,
            media=promise.media.value,
            since_ms=promise.since_ms,
            records=used.records,
            receipt_ms=receipt.time if receipt is not None else None,
            until_ms=receipt.expires if receipt is not None else None,
            is_full=self._snapshot.is_full(account),
            problem=self._problem(account, promise, room_bytes, receipt, why_unsigned),
        )

    def own_receipt(self, account: Cid) -> Statement | None:
        """The newest receipt this device signed for an account, if it is fresh and says that anything is held."""
        for each in self._snapshot.receipts_of(account):
            if (each.account, each.key) == (self._own, self._device):
                return each if isinstance(each.claim, Receipt) and each.claim.heads else None
        return None

    def _problem(
        self, account: Cid, promise: Promise, room_bytes: int, receipt: Statement | None, why_unsigned: str
    ) -> str:
        if self._snapshot.is_full(account):
            room = f"its budget of {size_text(room_bytes)}"
            if room_bytes > promise.budget_bytes:
                room = f"the room of {size_text(room_bytes)} that anybody you follow has"
            return f"{room} is full: what does not fit is not taken in, and receipts stop at what is here"
        if receipt is not None:
            return ""
        if why_unsigned:
            return f"no fresh receipt: {why_unsigned}"
        if not self._snapshot.usage(account).records:
            return "no receipt yet: nothing of it has arrived"
        return "no receipt yet: what has arrived is being looked through"

    def offers(self, own: Cid) -> tuple[KeepingOffer, ...]:
        """Who asks ``own`` to keep them, the newest first."""
        kept = self._snapshot.promises()
        found = [
            KeepingOffer(record.account, self._name(record.account), record.shown_at_ms, record.account in kept)
            for _, record in islice(self._snapshot.wards(own), MAX_OFFERS)
            if record.account != own
        ]
        return tuple(sorted(found, key=lambda offer: (-offer.since_ms, offer.account)))

    # -- who keeps

    def keepers(self, account: Cid) -> tuple[KeeperInfo, ...]:
        """Everybody who says that they keep an account or was asked to, those that count first."""
        held = self._held(account)
        total = count(held)
        accepted = self._snapshot.accepted_keepers(account)
        me = self._snapshot.account(self._own) if self._own is not None else None
        return tuple(
            KeeperInfo(
                account=view.keeper,
                name=self._name(view.keeper),
                is_accepted=view.keeper in accepted,
                is_followed=me is not None and self._snapshot.does_follow(me, view.keeper),
                receipt_ms=view.receipt.time if view.receipt is not None else None,
                until_ms=view.receipt.expires if view.receipt is not None else None,
                covers=count_covered(held, self._cover(account, view)),
                records=total,
                is_proven=view.is_proven,
                proven_ms=view.proof.at_ms if view.proof is not None and view.proof.ok else None,
                why=self._why_not(account, view),
                withheld=self._withheld(view),
            )
            for view in self._snapshot.keepers_of(account, self._now_ms)
        )

    def _withheld(self, view: KeeperView) -> tuple[NotGiven, ...]:
        """What it says that it does without, by each of its devices; a receipt lists at most 256."""
        found: dict[Cid, NotGiven] = {}
        for receipt in view.receipts:
            assert isinstance(receipt.claim, Receipt)
            for entry, reason in receipt.claim.withheld:
                found.setdefault(entry, NotGiven(entry, reason, view.keeper))
        return tuple(found.values())

    def _why_not(self, account: Cid, view: KeeperView) -> str:
        """Why a keeper does not count; empty if it does."""
        if view.receipt is None:
            return "no receipt of it that is good now is known here"
        if view.proof is None:
            return "it was not asked yet to show what it holds"
        if not view.proof.ok:
            return view.proof.why or "it did not show what it holds"
        if view.proof.at_ms < self._now_ms - PROVEN_MS:
            return "it is more than a week since it showed what it holds"
        if view.is_trusted:
            return ""
        who = "you" if account == self._own else "the account"
        return f"{who} did not ask for it, and you do not follow it"

    def summary(self, account: Cid) -> KeptSummary:
        """Of all records of an account held here, how many proven keepers have them."""
        held = self._held(account)
        covers = [
            self._cover(account, view, is_proven=True)
            for view in self._snapshot.keepers_of(account, self._now_ms)
            if view.is_trusted and view.is_proven
        ]
        return KeptSummary(
            records=count(held),
            by_one=count_by(held, covers, 1),
            by_two=count_by(held, covers, 2),
            least=least(held, covers),
            keepers=len(covers),
        )

    def figures(self) -> KeepingFigures:
        """What this home keeps, counted; looks at every promise."""
        kept = self._snapshot.promises()
        receipts = [self.own_receipt(account) for account in kept]
        used = [self._snapshot.usage(account).size_bytes for account in kept]
        ages = [self._now_ms - receipt.time for receipt in receipts if receipt is not None]
        asked = [*kept, *([self._own] if self._own is not None else [])]
        # The newest of each that is trusted: strangers who promise and cannot show it wake nobody at night.
        proofs = [
            view.proof
            for account in asked
            if self._snapshot.proofs(account)
            for view in self._snapshot.keepers_of(account, self._now_ms)
            if view.is_trusted and view.proof is not None
        ]
        return KeepingFigures(
            accounts=len(kept),
            used_bytes=sum(used),
            budget_bytes=sum(promise.budget_bytes for promise in kept.values()),
            full=sum(map(self._snapshot.is_full, kept)),
            without_receipt=sum(receipt is None for receipt in receipts),
            receipt_age_s=max(ages, default=0) / 1000,
            proofs_ok=sum(proof.ok for proof in proofs),
            proofs_failed=sum(not proof.ok for proof in proofs),
        )

    # -- from receipts to numbers

    def _held(self, account: Cid) -> Mapping[PublicKey, Runs]:
        return self._snapshot.summary(account).logs

    def _cover(self, account: Cid, view: KeeperView, *, is_proven: bool = False) -> Cover:
        """What any device of a keeper says it holds; ``is_proven``: by heads that prove something alone."""
        return unite([self._part(account, view, receipt.claim, is_proven=is_proven) for receipt in view.receipts])

    def _part(self, account: Cid, view: KeeperView, claim: Claim, *, is_proven: bool) -> Cover:
        """A head on another branch than ours covers nothing of what is here; one above all we have covers it."""
        assert isinstance(claim, Receipt)
        heads = {}
        for head in claim.heads:
            if is_proven and not self._snapshot.proves(account, view, claim, head, self._now_ms):
                continue
            ours = self._snapshot.points(account, head.key, [head.seq]).get(head.seq)
            if ours is None or ours == point_of(head.entry):
                heads[head.key] = head.seq
        holes = set()
        for withheld in claim.withheld:
            record = self._snapshot.record(withheld.entry)
            if record is not None and record.account == account:
                holes.add((record.entry.header.key, record.entry.header.seq))
        return Cover(heads, frozenset(holes))

    def _name(self, account: Cid) -> str:
        """What you call somebody, or else what they call themselves."""
        profile = self._snapshot.profile(account)
        return self._snapshot.petname(account) or (profile.name if profile is not None else "")
