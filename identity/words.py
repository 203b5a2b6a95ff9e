"""The 24 words and every key that is derived from them (PROTOCOL §3, "Secrets").

The words are BIP-39 for 32 bytes of entropy *R*. From R come the root keys,
which sign daily changes, and the turn keys, which sign only rotations. The
inception commits to the whole chain of turn keys, so whoever steals a device
or a root key can never choose the successor.
"""

from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b, sha256
from typing import TYPE_CHECKING, Final

from unhush.identity.errors import BadWords
from unhush.identity.keys import PublicKey, SigningKey

if TYPE_CHECKING:
    from mnemonic import Mnemonic

WORDS: Final = 24
ENTROPY_BYTES: Final = 32
GENERATIONS: Final = 256  # rotations an account can ever make
FINGERPRINT_WORDS: Final = 8
FINGERPRINT_BYTES: Final = 11  # 88 bits
_WORD_BITS: Final = 11  # the list has 2,048 words
_CHAIN_END: Final = bytes(32)
_ROOT: Final = b"unhush-root"
_TURN: Final = b"unhush-turn"


@dataclass(frozen=True, slots=True)
class Words:
    """The recovery secret; its repr never shows it."""

    entropy: bytes = field(repr=False)
    # Public turn keys 1…256 and C_0…C_256 once someone asked: 256 key derivations take 7 ms. They live and
    # go with this object and, being public keys and hashes, tell nobody the entropy.
    _turns: list[PublicKey] = field(init=False, repr=False, compare=False, default_factory=list)
    _chain: list[bytes] = field(init=False, repr=False, compare=False, default_factory=list)

    def __post_init__(self) -> None:
        if len(self.entropy) != ENTROPY_BYTES:
            raise BadWords(f"the words stand for {ENTROPY_BYTES} bytes, not {len(self.entropy)}")

    def text(self) -> str:
        """The 24 words, with single spaces."""
        return str(_mnemonic().to_mnemonic(self.entropy))

    def root(self, generation: int) -> SigningKey:
        """The key that signs adds, revokes and freezes of this generation, 0…256."""
        return self._derive(_ROOT, generation, first=0)

    def turn(self, generation: int) -> SigningKey:
        """The key that signs only the rotate to this generation, 1…256."""
        return self._derive(_TURN, generation, first=1)

    def path(self, generation: int) -> tuple[PublicKey, ...]:
        """Turn keys 1…generation, as a rotate to this generation shows them."""
        _check_generation(generation, first=0)
        self._look_ahead()
        return tuple(self._turns[:generation])

    def commitment(self, generation: int) -> bytes:
        """``C_g``: what a table of this generation says about all later turn keys, 0…256."""
        _check_generation(generation, first=0)
        self._look_ahead()
        return self._chain[generation]

    def _look_ahead(self) -> None:
        if self._chain:
            return
        turns = [self.turn(generation).public for generation in range(1, GENERATIONS + 1)]
        chain = [_CHAIN_END]
        for turn in reversed(turns):
            chain.append(commit(turn, chain[-1]))
        # Each is set whole: another thread sees nothing or all, and whoever comes second writes the same.
        self._turns[:] = turns
        self._chain[:] = reversed(chain)

    def _derive(self, person: bytes, generation: int, *, first: int) -> SigningKey:
        _check_generation(generation, first=first)
        data = generation.to_bytes(4, "big")
        return SigningKey(blake2b(data, digest_size=32, key=self.entropy, person=person).digest())


def _check_generation(generation: int, *, first: int) -> None:
    if not first <= generation <= GENERATIONS:
        raise ValueError(f"generation {generation} is not in {first}…{GENERATIONS}")


def commit(turn: PublicKey, after: bytes) -> bytes:
    """One step of the commitment chain: ``C_(g-1)`` from turn key *g* and ``C_g``."""
    return sha256(b"unhush/1/next\x00" + turn.bytes + after).digest()


def parse_words(text: str) -> Words:
    """Read 24 BIP-39 words, forgiving case and white space; raises ``BadWords``."""
    words = text.lower().split()
    if len(words) != WORDS:
        raise BadWords(f"recovery needs {WORDS} words, these are {len(words)}")
    known = set(_mnemonic().wordlist)
    # The position, never the word: a message may end up in a log.
    for position, word in enumerate(words, 1):
        if word not in known:
            raise BadWords(f"word {position} is not in the list of recovery words")
    try:
        return Words(bytes(_mnemonic().to_entropy(words)))
    except ValueError as exc:
        raise BadWords("the words do not fit together (wrong checksum): one is wrong or two are swapped") from exc


def fingerprint(digest: bytes) -> tuple[str, ...]:
    """Eight words for the first 88 bits of an account's digest, to read out over a phone.

    Two accounts that met by chance share them once in 2^88 pairs, so they tell accounts apart by ear. Against
    intent: to make an account that sounds like a given one takes about 2^88 inceptions, each a hash and a
    signature (at 10^12 a second, 10 million years); like any one of a billion accounts, 2^58, which the rich can
    pay. Two accounts of one forger that sound alike take 2^44: the words name an account to people, nothing else.
    """
    if len(digest) != 32:
        raise ValueError(f"a digest has 32 bytes, this one {len(digest)}")
    bits = int.from_bytes(digest[:FINGERPRINT_BYTES])
    wordlist = _mnemonic().wordlist
    shifts = range(_WORD_BITS * (FINGERPRINT_WORDS - 1), -1, -_WORD_BITS)
    return tuple(str(wordlist[bits >> shift & (1 << _WORD_BITS) - 1]) for shift in shifts)


@cache
def _mnemonic() -> "Mnemonic":
    from mnemonic import Mnemonic  # lazy: it reads a word list, and most commands need no words

    return Mnemonic("english")
