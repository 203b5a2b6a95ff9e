"""Auditing: everything known of an account put before the judge, with the running network asked first.

The judge is ``gossip/proto/verdicts.py``; here its values are read from one
snapshot of the store, where everything that was ever signed and heard is. A
running node asks peers and keepers before that (``gossip/net/keep/enquiring.py``).
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from unhush.gossip.proto.contradictions import (
    MAX_CHAIN,
    Contradiction,
    NoContradiction,
    find_contradiction,
    is_named,
)
from unhush.gossip.proto.ranges import Ranges
from unhush.gossip.proto.verdicts import (
    Bodiless,
    HeldLog,
    Known,
    Lack,
    Origin,
    Refusal,
    Told,
    Verdict,
    judge,
)
from unhush.identity.cid import Cid
from unhush.identity.entry import UnverifiedEntry, parse_entry, stored_entry
from unhush.identity.errors import IdentityError
from unhush.identity.keys import PublicKey
from unhush.identity.operations import SignedOperation
from unhush.identity.statement import Absent, Head, Heads, Receipt, Statement
from unhush.node.control import ask
from unhush.node.errors import NotFound, NotRunning
from unhush.node.keeping.evidence import MAX_CONTRADICTIONS, Evidence, gather_evidence
from unhush.storage.accounts import Account
from unhush.storage.keeping.holdings import Holding, Lacking
from unhush.storage.snapshot import Snapshot
from unhush.storage.store import Store

# Entries that are asked of keepers; of a long gap the newest, where it begins.
MAX_MISSING: Final = 4
# Pairs of statements that are looked at closer: one is enough to name somebody.
MAX_PAIRS: Final = 64
# Of one device; a stranger who names himself over and over takes no place of others.
MAX_PAIRS_OF_ONE: Final = 4
# Of what others withhold and is here; sixteen full receipts of keepers, whose word comes before anybody's.
MAX_ELSEWHERE: Final = 4_096
# A look while somebody waits.
_LOOK_EVERY_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Asked:
    """Who was asked just now, and how many answered."""

    peers: int
    answered: int
    networks: int
    keepers: int
    keepers_answered: int
    is_done: bool = True


@dataclass(frozen=True, slots=True)
class Audit:
    """A verdict, as of ``now_ms``. ``asked`` None: from this home alone, as no node runs."""

    account: Cid
    verdict: Verdict
    asked: Asked | None
    now_ms: int
    names: Mapping[Cid, str]  # what people are called here, of those the verdict names
    elsewhere: tuple[Refusal, ...]  # what others say they do not give, and is here whole
    _evidence: Callable[[], Evidence]

    def evidence(self) -> Evidence:
        """What others can check; raises ``BadEvidence``."""
        return self._evidence()


@dataclass(frozen=True, slots=True)
class _Facts:
    known: Known
    statements: tuple[Statement, ...]
    operations: Mapping[Cid, tuple[SignedOperation, ...]]


Begin = Callable[[Cid, tuple[Cid, ...]], Callable[[], Asked] | None]


def audit(
    store: Store,
    account: Cid,
    *,
    network: str,
    now_ms: Callable[[], int],
    begin: Begin,
    timeout_s: float,
    on_progress: Callable[[Asked], None],
) -> Audit:
    """Ask around with ``begin`` if a node runs, then judge; raises ``NotFound``.

    ``begin`` is given entries that are missing, and says how far it is; None if no network runs.
    """
    with store.snapshot() as snapshot:
        before = judge(_collect(snapshot, account, network, 0).known, now_ms())
        missing = tuple(_missing(snapshot, account, before))
    look = begin(account, missing)
    asked = _wait(look, timeout_s, on_progress) if look is not None else None
    with store.snapshot() as snapshot:
        facts = _collect(snapshot, account, network, asked.networks if asked is not None else 0)
        verdict = judge(facts.known, now_ms())
        elsewhere = tuple(islice(_refused_elsewhere(snapshot, facts.known), MAX_ELSEWHERE))
        names = {who: _name(snapshot, who) for who in _people(verdict) | {each.who for each in elsewhere}}

    def evidence() -> Evidence:
        return gather_evidence(network, account, facts.operations, facts.statements, verdict.accused)

    return Audit(account, verdict, asked, now_ms(), names, elsewhere, evidence)


def _wait(look: Callable[[], Asked], timeout_s: float, on_progress: Callable[[Asked], None]) -> Asked:
    due = time.monotonic() + timeout_s
    while True:
        asked = look()
        on_progress(asked)
        if asked.is_done or time.monotonic() >= due:
            return asked
        time.sleep(_LOOK_EVERY_S)


# -- what the judge is told


def _collect(snapshot: Snapshot, account: Cid, network: str, networks: int) -> _Facts:
    known = snapshot.account(account)
    if known is None:
        raise NotFound(f"nothing of {account} is kept here; follow it, or import a file of it")
    own = snapshot.own_account(), snapshot.own_device()
    heads = snapshot.heads_told(account)
    # Our own word of what we keep is no news to us.
    receipts = [each for each in snapshot.receipts_of(account) if (each.account, each.key) != own]
    older = [each for each in snapshot.receipts_kept(account) if (each.account, each.key) != own]
    absents = [each for each in snapshot.absents_of(account) if (each.account, each.key) != own]
    holdings = snapshot.holdings(account)
    speakers = {each.account for each in (*heads, *receipts, *absents)}
    counting = frozenset(
        who for who in speakers if who in (account, snapshot.own_account()) or snapshot.trusts(account, who)
    )
    facts = Known(
        account,
        tuple(map(_held_log, holdings)),
        tuple(_told(holdings, heads, receipts)),
        tuple(_refusals(counting, receipts, absents, holdings)),
        tuple(_contradictions(snapshot, known, older, absents, network)),
        sources=networks + len(counting),  # anybody can make as many others as he likes
    )
    statements = (*heads, *older, *absents)
    return _Facts(facts, statements, _operations(snapshot, account, statements))


def _held_log(holding: Holding) -> HeldLog:
    tip = Head(holding.key, holding.tip.seq, holding.tip.cid) if holding.tip is not None else None
    return HeldLog(
        holding.key,
        holding.cut,
        Ranges.of(holding.runs),
        tip,
        holding.named,
        tuple(map(_bodiless, holding.lacking)),
        Ranges.span(0, holding.floor - 1),
        holding.fork,
    )


def _bodiless(lacking: Lacking) -> Bodiless:
    lack = Lack.FINE if lacking.is_fine else Lack.UNKNOWN if lacking.reason is None else Lack.HERE
    return Bodiless(lacking.seq, lacking.entry, lack, lacking.reason or "")


def _told(holdings: list[Holding], heads: list[Statement], receipts: list[Statement]) -> Iterator[Told]:
    for holding in holdings:
        if holding.tip is not None:
            tip = Head(holding.key, holding.tip.seq, holding.tip.cid)
            yield Told(tip, Origin.ENTRY, str(holding.key), holding.tip_time)
    for origin, who_says in ((Origin.AUTHOR, heads), (Origin.KEEPER, receipts)):
        for each in who_says:
            assert isinstance(each.claim, Heads | Receipt)
            who = each.key if origin is Origin.AUTHOR else each.account
            yield from (Told(head, origin, str(who), each.time) for head in each.claim.heads)


def _refusals(
    counting: frozenset[Cid], receipts: list[Statement], absents: list[Statement], holdings: list[Holding]
) -> Iterator[Refusal]:
    """What is refused now: a later receipt that reaches an entry and does not list it takes an absent back.

    ``counting``: whose word explains what is missing.
    """

    def refusal(said: Statement, entry: Cid, reason: str) -> Refusal:
        return Refusal(said.account, said.key, entry, reason, said.time, said.account in counting)

    places = {entry: (log.key, seq) for log in holdings for seq, entry in log.named.items()}
    places |= {each.entry: (log.key, each.seq) for log in holdings for each in log.lacking}
    newest: dict[tuple[Cid, PublicKey], Statement] = {}
    for each in receipts:
        newest.setdefault((each.account, each.key), each)
        assert isinstance(each.claim, Receipt)
        yield from (refusal(each, *withheld) for withheld in each.claim.withheld)
    for each in absents:
        assert isinstance(each.claim, Absent)
        later = newest.get((each.account, each.key))
        if later is None or later.time <= each.time or not _reaches(later, places.get(each.claim.entry)):
            yield refusal(each, each.claim.entry, each.claim.reason)


def _refused_elsewhere(snapshot: Snapshot, known: Known) -> Iterator[Refusal]:
    """What somebody else withholds of that which is here, each by its newest word; those whose word counts first."""
    newest: dict[tuple[Cid, Cid], Refusal] = {}
    for each in sorted(known.refusals, key=lambda refusal: (not refusal.counts, -refusal.time)):
        newest.setdefault((each.who, each.entry), each)
    for each in newest.values():
        record = snapshot.record(each.entry) if each.explains else None
        # A receipt may list what is no record of this account at all.
        if record is not None and record.account == known.account and record.body is not None:
            yield each


def _reaches(receipt: Statement, place: tuple[PublicKey, int] | None) -> bool:
    assert isinstance(receipt.claim, Receipt)
    return place is not None and receipt.claim.reaches(*place)


def _contradictions(
    snapshot: Snapshot, known: Account, receipts: list[Statement], absents: list[Statement], network: str
) -> Iterator[Contradiction]:
    """Those that stand by all that is held here; of keepers that count first, then the newest pairs.

    Anybody can make accounts that contradict themselves: those must not hide a keeper that does.
    """
    by_digest = {each.digest: each for each in receipts}
    looked_at: Counter[PublicKey] = Counter()  # each walks a log
    found = 0
    for absent in sorted(absents, key=lambda each: not snapshot.trusts(known.id, each.account)):
        assert isinstance(absent.claim, Absent)
        receipt = by_digest.get(absent.claim.receipt or b"")
        if receipt is None or not is_named(receipt, absent) or _is_excused(snapshot, absent.claim.entry):
            continue
        if found == MAX_CONTRADICTIONS or looked_at.total() == MAX_PAIRS:
            return
        if looked_at[absent.key] == MAX_PAIRS_OF_ONE:
            continue
        looked_at[absent.key] += 1
        try:
            chain = _find_chain(snapshot, receipt, absent)
            contradiction = find_contradiction(receipt, absent, chain, cut_of=known.state.cut_of, network=network)
        except NoContradiction:
            continue
        found += 1
        yield contradiction


def _is_excused(snapshot: Snapshot, entry: Cid) -> bool:
    """Whether nobody has to hold it, by what is known here: its author took it back."""
    record = snapshot.record(entry)
    return record is not None and snapshot.is_deleted(record)


def _find_chain(snapshot: Snapshot, receipt: Statement, absent: Statement) -> list[UnverifiedEntry]:
    """The entries held that lead from a head of the receipt to the absent one."""
    assert isinstance(receipt.claim, Receipt)
    assert isinstance(absent.claim, Absent)
    for head in receipt.claim.heads:
        chain: list[UnverifiedEntry] = []
        at: Cid | None = head.entry
        while at is not None and at != absent.claim.entry and len(chain) < MAX_CHAIN:
            record = snapshot.record(at)
            if record is None:
                break
            chain.append(parse_entry(record.block))
            at = chain[-1].header.prev
        if at == absent.claim.entry:
            return chain
    raise NoContradiction("what is held here does not lead from the receipt to the entry")


def _operations(
    snapshot: Snapshot, account: Cid, statements: tuple[Statement, ...]
) -> dict[Cid, tuple[SignedOperation, ...]]:
    """Of the account all that is held; of who speaks about it as much as tells that he may."""
    found: dict[Cid, tuple[SignedOperation, ...]] = {account: _all_operations(snapshot, account)}
    beside: dict[Cid, dict[Cid, SignedOperation]] = {}
    for each in statements:
        if each.account in found:
            continue
        if snapshot.account(each.account) is not None:
            found[each.account] = _all_operations(snapshot, each.account)
            continue
        for op in snapshot.operations_for(each):
            try:
                signed = SignedOperation(stored_entry(op.entry), op.body)
            except IdentityError:  # a damaged row
                continue
            beside.setdefault(each.account, {})[signed.entry.cid] = signed
    return found | {who: tuple(ops.values()) for who, ops in beside.items()}


def _all_operations(snapshot: Snapshot, account: Cid) -> tuple[SignedOperation, ...]:
    held = snapshot.operations(account)
    return tuple(SignedOperation(record.entry, record.body) for record in held if record.body is not None)


def _missing(snapshot: Snapshot, account: Cid, verdict: Verdict) -> Iterator[Cid]:
    """Entries that are lacking and known by their ids, the newest first: somebody may say why."""
    gaps = {log.key: log.gaps for log in verdict.logs}
    left = MAX_MISSING
    for holding in snapshot.holdings(account):
        wanted = gaps.get(holding.key, Ranges())
        lacking = {each.seq: each.entry for each in holding.lacking} | holding.named
        for seq in sorted(lacking, reverse=True):
            if seq in wanted and left:
                left -= 1
                yield lacking[seq]


def _people(verdict: Verdict) -> set[Cid]:
    withholding = {who for who, _ in verdict.by if who is not None}
    withholding |= {each.who for log in verdict.logs for each in log.said if each.who is not None}
    return withholding | {each.keeper for each in verdict.accused}


def _name(snapshot: Snapshot, who: Cid) -> str:
    profile = snapshot.profile(who)
    return snapshot.petname(who) or (profile.name if profile is not None else "")


# -- across processes


def enquire_over(home: Path, account: Cid, missing: Sequence[Cid]) -> Callable[[], Asked] | None:
    """As ``Enquiries.begin`` of a running node, of the one that another process runs; None if none does."""
    try:
        begun = ask(home, "enquire", account=str(account), missing=[str(each) for each in missing])
    except NotRunning:
        return None
    number = begun.get("enquiry")

    def look() -> Asked:
        try:
            return _asked_of_json(ask(home, "enquired", enquiry=number))
        except (NotRunning, KeyError, TypeError, ValueError):
            return Asked(0, 0, 0, 0, 0)  # it ended meanwhile, or is of another version

    return look


def _asked_of_json(given: Mapping[str, Any]) -> Asked:
    """Raises ``ValueError``, ``KeyError`` or ``TypeError`` for what another version wrote."""
    return Asked(
        peers=int(given["peers"]),
        answered=int(given["answered"]),
        networks=int(given["networks"]),
        keepers=int(given["keepers"]),
        keepers_answered=int(given["keepers_answered"]),
        is_done=given["is_done"] is True,
    )
