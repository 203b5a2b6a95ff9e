"""Clearing: of statements a few of each sort stay, and all of them in a bounded part of the disk.

Operations that came beside statements (``speakers.py``) count as they do, and go
with the last statement of who they are of, or a flood of them would push out
everything else.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from unhush.identity.cid import Cid, cid_of_digest
from unhush.storage.keeping import rows, speakers
from unhush.storage.keeping.ranking import Rank, Ranking, rank_rows
from unhush.storage.keeping.rows import ABOUT, SORT, SPEAKER, TYPE_AT, Type
from unhush.storage.transaction import Txn

# All statements together, with the operations beside them: some hundred thousand.
MAX_BYTES: Final = 64 * 2**20
# Room is made down to here, not one by one.
ENOUGH_BYTES: Final = 56 * 2**20
# Of one sort about one account, by those who are not trusted, all together.
MAX_OTHERS_BYTES: Final = 512 * 1024
# Of one account that is not trusted and speaks of others, with its operations, once room has to be made.
MAX_SPEAKER_BYTES: Final = 256 * 1024
# Of one that is trusted: a keeper of ten thousand accounts needs some of it.
MAX_TRUSTED_BYTES: Final = 8 * 2**20
# About one account by those who are not trusted, once room has to be made.
MAX_ABOUT_BYTES: Final = 2**20

# How many of one sort about one account.
MOST: Final = {
    # Devices of one account that say something.
    Type.HEADS: 64,
    Type.CARD: 64,
    # More keepers than anybody counts. Strangers' come and go among those places.
    Type.RECEIPT: 64,
    # Entries of one account that somebody does not give.
    Type.ABSENT: 256,
    # Receipts that are kept beside an absent that names them: one such pair may name a keeper, and to name it once is
    # enough.
    Type.NAMED: 16,
}


def keep_few(txn: Txn, key: bytes, now_ms: int) -> None:
    """Of one sort about one account only so many stay; of those who are not trusted only so many bytes.

    ``key``: of one that came.
    """
    most = MOST[Type(key[TYPE_AT])]
    held = rows.list_rows(txn, key[SORT])
    if len(held) <= most and sum(row.size for row in held) <= MAX_OTHERS_BYTES:
        return
    size = 0
    for number, (rank, row) in enumerate(rank_rows(txn, held, now_ms)):
        if rank >= Rank.TOLD:
            size += row.size
        if number >= most or size > MAX_OTHERS_BYTES:
            rows.drop_row(txn, row.key)


def make_room(txn: Txn) -> None:
    """If there is none, drop until there is: what is more than one's share, then what matters least, the oldest first.

    This device's own stays.
    """
    if rows.bytes_held(txn) <= MAX_BYTES:
        return
    for speaker in list(iter_idle_speakers(txn)):  # of those whose place others took, nobody needs them
        _drop_speaker(txn, speaker)
    if rows.bytes_held(txn) <= ENOUGH_BYTES:
        return
    ranking = Ranking(txn)
    ranked = [(ranking.rank(key), key) for _, key in rows.iter_gained(txn)]
    left = Counter(key[SPEAKER] for _, key in ranked)
    over = _find_over(txn, ranked)
    order = sorted((key not in over, -rank, at, key) for at, (rank, key) in enumerate(ranked) if rank > Rank.HERE)
    for _, _, _, key in order:
        if rows.bytes_held(txn) <= ENOUGH_BYTES:
            break
        rows.drop_row(txn, key)
        left[key[SPEAKER]] -= 1
        if not left[key[SPEAKER]]:
            _drop_speaker(txn, cid_of_digest(key[SPEAKER]))


def _find_over(txn: Txn, ranked: Sequence[tuple[Rank, bytes]]) -> set[bytes]:
    """What is beyond the share of who speaks, or of whom others speak about; the newest stay."""
    sizes = dict(rows.iter_sizes(txn))
    spoken: Counter[tuple[bool, bytes]] = Counter()
    for account, size in speakers.iter_sizes(txn):
        spoken[False, account] += size
    about: Counter[bytes] = Counter()
    over = set()
    for rank, key in reversed(ranked):
        if rank < Rank.TRUSTED:
            continue
        is_told = rank >= Rank.TOLD
        size, speaker = sizes.get(key, 0), (not is_told, key[SPEAKER])
        if spoken[speaker] + size > (MAX_SPEAKER_BYTES if is_told else MAX_TRUSTED_BYTES) or (
            is_told and about[key[ABOUT]] + size > MAX_ABOUT_BYTES
        ):
            over.add(key)
            continue
        spoken[speaker] += size
        about[key[ABOUT]] += size if is_told else 0
    return over


def drop_ended(txn: Txn, ended: Iterable[bytes], now_ms: int) -> int:
    """Drop of these keys what has ended, and operations of accounts that say nothing any more; how many it were.

    What was seen to have ended a moment ago may have been said anew.
    """
    dropped = 0
    for key in ended:
        if rows.has_ended(txn, key, now_ms):
            rows.drop_row(txn, key)
            dropped += 1
    for account in list(iter_idle_speakers(txn)):
        _drop_speaker(txn, account)
    return dropped


def iter_idle_speakers(txn: Txn) -> Iterator[Cid]:
    """Accounts whose operations wait here for nothing; walks all statements, so it is asked seldom."""
    speaking = {key[SPEAKER] for key, _ in rows.iter_sizes(txn)}
    for digest in sorted({account for account, _ in speakers.iter_sizes(txn)} - speaking):
        yield cid_of_digest(digest)


def _drop_speaker(txn: Txn, account: Cid) -> None:
    """Forget the operations that came beside the statements of an account."""
    rows.add_bytes(txn, speakers.drop(txn, account))
