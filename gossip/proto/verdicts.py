"""Verdicts: what is held of an account, measured against what is known of it (PROTOCOL §6). Accuses nobody.

    complete    unbroken chains to the newest authentic heads known from any source, as of their time
    behind      authentic heads are known that are newer than what is held
    withheld    something is missing, and a keeper that counts says that it does not give it, and why
    gap         something is missing below what is held, and nobody who counts says why

A head is authentic if its author signed it: in a statement of an open device, by
the entry itself, or by the cut of a revoke. What keepers and peers tell of
heads is passed on as told and moves no verdict: anybody could make a number up.
A stranger's reason moves none either, or anybody could make a gap look explained:
it is passed on beside it. Nobody is named for silence. Who is named, and on
what, is in ``contradictions.py``; the word of a keeper that contradicts itself
explains nothing any more.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from unhush.gossip.proto.contradictions import Contradiction
from unhush.gossip.proto.ranges import NOTHING as NO_RANGES
from unhush.gossip.proto.ranges import Ranges
from unhush.identity.cid import Cid
from unhush.identity.keys import PublicKey
from unhush.identity.operations import NOTHING, OPEN, Cut
from unhush.identity.statement import Head, is_reason

# Entries said to be withheld that a verdict lists for each log; of more it knows how many.
MAX_LISTED: Final = 256
# Heads told by others than the author; an account has few keepers that are newer than its author.
MAX_RUMOURS: Final = 64


class Word(Enum):
    """A verdict in one word; of several logs the one that is told first stands for all."""

    GAP = "gap"
    WITHHELD = "withheld"
    BEHIND = "behind"
    COMPLETE = "complete"


class Origin(Enum):
    """Who says that a head exists."""

    AUTHOR = "author"  # a ``heads`` statement of an open device, or the cut of a revoke
    ENTRY = "entry"  # the entry itself was seen
    KEEPER = "keeper"  # a receipt
    PEER = "peer"  # a number in a want or a frame

    @property
    def is_authentic(self) -> bool:
        return self in (Origin.AUTHOR, Origin.ENTRY)


class Lack(Enum):
    """Why the body of an entry that is held is not."""

    UNKNOWN = "unknown"  # it did not come
    HERE = "here"  # this node does without it on purpose
    FINE = "fine"  # its author took it back, or it never was one


@dataclass(frozen=True, slots=True)
class Bodiless:
    """An entry that is held without its body."""

    seq: int
    entry: Cid
    lack: Lack
    reason: str = ""


@dataclass(frozen=True, slots=True)
class HeldLog:
    """What is held of one device's log, of the branch shown.

    ``named``: by number the entries that held ones name and that are not held. ``let_go``: numbers
    this node does not want, to save room. ``fork``: where two entries stand at one number.
    """

    key: PublicKey
    cut: Cut | None
    held: Ranges = NO_RANGES
    tip: Head | None = None
    named: Mapping[int, Cid] = field(default_factory=dict)
    bodiless: tuple[Bodiless, ...] = ()
    let_go: Ranges = NO_RANGES
    fork: int | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """Somebody's word that a log has this head. ``time``: Unix ms, by the clock of who says it."""

    head: Head
    origin: Origin
    who: str
    time: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """A signed word that an entry is not given, in an ``absent`` or in the list of a receipt.

    ``counts``: by somebody who explains what is missing: the account itself, whom it asked to keep it, or whom the
    reader follows or is.
    """

    who: Cid
    key: PublicKey
    entry: Cid
    reason: str
    time: int
    counts: bool

    @property
    def explains(self) -> bool:
        """Whether it says why; else its author only has not what is asked for."""
        return is_reason(self.reason)


@dataclass(frozen=True, slots=True)
class Known:
    """All that a verdict is drawn from. ``contradictions``: those that matter most first."""

    account: Cid
    logs: tuple[HeldLog, ...]
    told: tuple[Told, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    contradictions: tuple[Contradiction, ...] = ()
    sources: int = 0  # independent ones that were heard


@dataclass(frozen=True, slots=True)
class Missing:
    """One entry that is not given; ``who`` None: this node itself."""

    seq: int
    entry: Cid | None
    who: Cid | None
    reason: str


@dataclass(frozen=True, slots=True)
class LogVerdict:
    """What is to be said of one log. ``gaps`` and ``behind``: the numbers missing below and above the tip.

    ``said``: the reasons that others give for some of these, whose word does not count.
    """

    key: PublicKey
    word: Word
    held_to: int | None
    told_to: int | None
    gaps: Ranges
    behind: Ranges
    withheld: tuple[Missing, ...]
    withheld_count: int
    said: tuple[Missing, ...]
    fork: int | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """``as_of``: Unix ms of the newest authentic word on heads, never later than now; None if there is none."""

    word: Word
    as_of: int | None
    logs: tuple[LogVerdict, ...]
    rumours: tuple[Told, ...]
    accused: tuple[Contradiction, ...]
    sources: int

    @property
    def by(self) -> tuple[tuple[Cid | None, str], ...]:
        """Who withholds, and why; each pair once. None is this node."""
        return tuple(dict.fromkeys((each.who, each.reason) for log in self.logs for each in log.withheld))


def judge(known: Known, now: int) -> Verdict:
    """The verdict on what is held; ``now`` (Unix ms) only bounds what it is as of."""
    accused = _one_for_each_device(known.contradictions)
    refusals = _explaining(known)
    reasons = _newest(each for each in refusals if each.counts)
    hearsay = _newest(each for each in refusals if not each.counts)
    authentic = [told for told in known.told if told.origin.is_authentic]
    logs = {log.key: log for log in known.logs}
    unknown = {told.head.key: told for told in authentic if told.head.key not in logs}
    # The author told of a log whose device is not known here: an operation is missing, and all of the log.
    others = (HeldLog(key, OPEN) for key in unknown)
    judged = tuple(
        _judge_log(log, [told for told in authentic if told.head.key == log.key], reasons, hearsay)
        for log in (*known.logs, *others)
        if log.cut not in (None, NOTHING)
    )
    word = next((word for word in Word if any(log.word is word for log in judged)), Word.COMPLETE)
    times = [told.time for told in authentic if told.origin is Origin.AUTHOR] or [told.time for told in authentic]
    as_of = min(max(times), now) if times else None
    return Verdict(word, as_of, judged, _rumours(known, judged), accused, known.sources)


def _judge_log(
    log: HeldLog,
    told: Sequence[Told],
    reasons: Mapping[Cid, tuple[Cid, str]],
    hearsay: Mapping[Cid, tuple[Cid, str]],
) -> LogVerdict:
    assert log.cut is not None
    end = log.cut[0]
    heads = {each.head.seq: each.head.entry for each in told if each.head.seq <= end}
    if log.cut != OPEN:
        heads[end] = Cid(log.cut[1])  # who revoked the device says which entry is its last
    told_to = max(heads, default=None)
    held_to = log.tip.seq if log.tip is not None else None
    top = _highest(told_to, held_to)
    missing = Ranges.span(0, top).subtract(log.held)
    withheld = [Missing(each.seq, each.entry, None, each.reason) for each in log.bodiless if each.lack is Lack.HERE]
    lacking: list[int] = []
    wanted = tuple(_lacking(log, missing, heads))
    for seq, entry in wanted:
        if (why := reasons.get(entry)) is not None:
            withheld.append(Missing(seq, entry, *why))
            missing = missing.subtract(Ranges.span(seq, seq))
        elif seq in log.held:
            lacking.append(seq)
    let_go = missing.subtract(missing.subtract(log.let_go))
    withheld += (Missing(low, None, None, "let go to save room") for low, _ in let_go)
    missing = missing.subtract(let_go).union(_ranges(lacking))
    below = Ranges.span(0, held_to) if held_to is not None else NO_RANGES
    behind = missing.subtract(below)
    gaps = missing.subtract(behind)
    said = (Missing(seq, entry, *hearsay[entry]) for seq, entry in wanted if entry in hearsay and seq in missing)
    return LogVerdict(
        log.key,
        Word.GAP if gaps else Word.WITHHELD if withheld else Word.BEHIND if behind else Word.COMPLETE,
        held_to,
        told_to,
        gaps,
        behind,
        _listed(withheld),
        len(withheld) + let_go.count() - len(let_go),
        _listed(said),
        log.fork,
    )


def _lacking(log: HeldLog, missing: Ranges, heads: Mapping[int, Cid]) -> Iterable[tuple[int, Cid]]:
    """What is lacking and known by its id: bodies that did not come, and entries that a link or a head names."""
    for each in log.bodiless:
        if each.lack is Lack.UNKNOWN:
            yield each.seq, each.entry
    for seq, entry in (dict(heads) | dict(log.named)).items():
        if seq in missing:
            yield seq, entry


def _listed(missing: Iterable[Missing]) -> tuple[Missing, ...]:
    return tuple(sorted(missing, key=lambda each: each.seq)[:MAX_LISTED])


def _highest(*seqs: int | None) -> int:
    return max((seq for seq in seqs if seq is not None), default=-1)


def _ranges(seqs: Iterable[int]) -> Ranges:
    return Ranges.of((seq, seq) for seq in sorted(set(seqs)))


def _explaining(known: Known) -> list[Refusal]:
    """Refusals with a reason, the oldest first; but for the word of whoever contradicts itself."""
    void = {(each.keeper, each.key) for each in known.contradictions}
    found = (each for each in known.refusals if each.explains and (each.who, each.key) not in void)
    return sorted(found, key=lambda refusal: (refusal.time, refusal.who, refusal.reason))


def _newest(refusals: Iterable[Refusal]) -> dict[Cid, tuple[Cid, str]]:
    """By entry who does not give it and why; the newest word of those in order."""
    return {each.entry: (each.who, each.reason) for each in refusals}


def _one_for_each_device(contradictions: Sequence[Contradiction]) -> tuple[Contradiction, ...]:
    """One is enough to name somebody, and the shortest is the easiest to check. Devices stay in their order."""
    found: dict[tuple[Cid, PublicKey], Contradiction] = {}
    for each in contradictions:
        known = found.setdefault((each.keeper, each.key), each)
        found[each.keeper, each.key] = min(known, each, key=_effort)
    return tuple(found.values())


def _effort(contradiction: Contradiction) -> tuple[int, bytes, bytes]:
    return len(contradiction.chain), contradiction.receipt.digest, contradiction.absent.digest


def _rumours(known: Known, judged: Sequence[LogVerdict]) -> tuple[Told, ...]:
    """Heads above all that is known from the author, by what others tell; the highest first."""
    top = {log.key: _highest(log.held_to, log.told_to) for log in judged}
    above = [
        told
        for told in known.told
        if not told.origin.is_authentic and told.head.key in top and told.head.seq > top[told.head.key]
    ]
    return tuple(sorted(above, key=lambda told: (-told.head.seq, told.who))[:MAX_RUMOURS])
