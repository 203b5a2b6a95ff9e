"""Where entries stand: their sequence numbers, read at a fixed offset.

The session must know which part of a log came by, and nothing else of an
entry. Strict encoding puts ``key`` and ``seq`` first in every header
(DAG-CBOR sorts keys by length), so 55 bytes tell, without the full parse that
ingest does later anyway. A block that lies here fails there.
"""

from collections.abc import Iterable
from typing import Final

from unhush.identity.keys import KEY_BYTES, PublicKey

# A pair of a map of 8 or 9 fields, whose first is "key", a byte string of 32, and whose second is "seq".
_PAIRS: Final = (b"\x82\xa8", b"\x82\xa9")
_KEY_HEAD: Final = b"\x63key\x58\x20"
_SEQ_HEAD: Final = b"\x63seq"
_SEQ_AT: Final = 2 + len(_KEY_HEAD) + KEY_BYTES + len(_SEQ_HEAD)
_WIDTHS: Final = {24: 1, 25: 2, 26: 4, 27: 8}


def find_seqs(key: PublicKey, entries: Iterable[bytes]) -> list[int] | None:
    """The sequence numbers of entry blocks of ``key``; ``None`` if one of them cannot be one."""
    head = _KEY_HEAD + key.bytes + _SEQ_HEAD
    seqs: list[int] = []
    for entry in entries:
        if len(entry) <= _SEQ_AT or not entry.startswith(head, 2) or not entry.startswith(_PAIRS):
            return None
        seq = entry[_SEQ_AT]
        if seq >= 24:
            end = _SEQ_AT + 1 + _WIDTHS.get(seq, len(entry))
            if len(entry) < end:
                return None
            seq = int.from_bytes(entry[_SEQ_AT + 1 : end])
            if seq >= 2**63:
                return None
        seqs.append(seq)
    return seqs
