"""Statements: what is signed outside the logs, true for a while (PROTOCOL §4, "Statements").

A statement block is ``[statement, signature]`` in strict DAG-CBOR, signed in the
context ``statement``; as in an entry the signature is the last 64 bytes, so what
was signed is a slice of the received bytes. Its digest is the sha2-256 of the block.

``UnverifiedStatement`` is well-formed bytes, ``Statement`` bears the signature of
the key it names. Whether that key may speak for its account is no question of
form: it depends on the operations known of the account.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from typing import ClassVar, Final, NamedTuple, TypeAlias

from unhush.identity.cid import Cid
from unhush.identity.codec import MAX_BLOCK_BYTES, Value, decode, encode
from unhush.identity.entry import signed_message
from unhush.identity.errors import MalformedStatement, SignatureMismatch, UnknownStatement
from unhush.identity.keys import KEY_BYTES, SIGNATURE_BYTES, PublicKey, SigningKey, is_admissible, verify

MAX_STATEMENT_BYTES: Final = MAX_BLOCK_BYTES
# A card travels with much else, and everybody who follows keeps it.
MAX_CARD_BYTES: Final = 1_000
# A table names so many devices, and an account has one log for each.
MAX_HEADS: Final = 256
# Each costs a reader a look; who withholds more says so by a receipt that reaches less far.
MAX_WITHHELD: Final = 256
MAX_REASON_BYTES: Final = 300
MAX_WHERE: Final = 16  # of each, peers and URLs: the bytes of a card hardly hold more
# Nobody can take a statement back, so it ends by itself.
MAX_TERM_MS: Final = 30 * 24 * 3_600 * 1_000
DIGEST_BYTES: Final = 32
NONCE_BYTES: Final = 16
NO_SUBJECT: Final = bytes(DIGEST_BYTES)
# A carrier's word that it has nothing, and keeps nothing back (``Reason.UNKNOWN`` of the sync protocol).
NOT_HERE: Final = "unknown"

_CONTEXT: Final = b"statement"
_POSSESSION: Final = b"unhush/1/possession\x00"
_MAX_INT: Final = 2**63 - 1
# What a person may be shown and a program may dial: no spaces, no letters that are not what they look like.
_PEER: Final = re.compile(r"/[!-~]{1,511}")
_URL: Final = re.compile(r"https?://[!-~]{1,511}")


class MediaPolicy(Enum):
    """Which pictures and files a keeper promises to carry beside all the text."""

    NONE = "none"
    RECENT = "90d"  # of posts of the last 90 days, and of the profile that stands
    ALL = "all"


class Head(NamedTuple):
    """The newest entry of one log."""

    key: PublicKey
    seq: int
    entry: Cid


def is_reason(text: str) -> bool:
    """Whether a carrier says with this why it keeps something back; else it only has not what is asked for."""
    return text not in ("", NOT_HERE)


class Withheld(NamedTuple):
    """An entry whose body a keeper does without on purpose, and why (``MAX_REASON_BYTES``)."""

    entry: Cid
    reason: str


@dataclass(frozen=True, slots=True)
class Heads:
    """What is newest in the own account's logs; ``identity``: the digest of its operations held."""

    heads: tuple[Head, ...]
    identity: bytes

    type: ClassVar[str] = "heads"

    def __post_init__(self) -> None:
        _check_heads(self.heads)
        _check_bytes("identity", self.identity, DIGEST_BYTES)

    @property
    def subject(self) -> bytes:
        return NO_SUBJECT

    def fields(self) -> dict[str, Value]:
        return {"heads": _write_heads(self.heads), "identity": self.identity}


@dataclass(frozen=True, slots=True)
class Card:
    """How the account is reached: multiaddrs that begin with ``/``, and web addresses."""

    peers: tuple[str, ...]
    urls: tuple[str, ...]

    type: ClassVar[str] = "card"

    def __post_init__(self) -> None:
        for name, texts, form in (("peers", self.peers, _PEER), ("urls", self.urls, _URL)):
            if len(texts) > MAX_WHERE or len(set(texts)) != len(texts):
                raise MalformedStatement(f"the {name} of a card are at most {MAX_WHERE}, none of them twice")
            for text in texts:
                if not form.fullmatch(text):
                    raise MalformedStatement(f"{text[:80]!r} is no address for the {name} of a card")

    @property
    def subject(self) -> bytes:
        return NO_SUBJECT

    def fields(self) -> dict[str, Value]:
        return {"where": {"urls": list(self.urls), "peers": list(self.peers)}}


@dataclass(frozen=True, slots=True)
class Receipt:
    """A keeper's word that it holds every entry of the account ``of`` up to these heads, with its body.

    But for those it lists as withheld, and those whose bodies the account itself took back.
    """

    of: Cid
    heads: tuple[Head, ...]
    withheld: tuple[Withheld, ...]
    identity: bytes
    media: MediaPolicy

    type: ClassVar[str] = "receipt"

    def __post_init__(self) -> None:
        _check_link("of", self.of)
        _check_heads(self.heads)
        _check_bytes("identity", self.identity, DIGEST_BYTES)
        entries = {entry for entry, _ in self.withheld}
        if len(self.withheld) > MAX_WITHHELD or len(entries) != len(self.withheld):
            raise MalformedStatement(f"a receipt lists at most {MAX_WITHHELD} entries as withheld, none of them twice")
        for entry, reason in self.withheld:
            _check_link("withheld", entry)
            _check_reason(reason)

    @property
    def subject(self) -> bytes:
        return self.of.digest

    def reaches(self, key: PublicKey, seq: int) -> bool:
        """Whether it speaks of this entry of a log: as held, or as listed with a reason."""
        return any(head.key == key and head.seq >= seq for head in self.heads)

    def fields(self) -> dict[str, Value]:
        return {
            "of": self.of,
            "heads": _write_heads(self.heads),
            "media": self.media.value,
            "identity": self.identity,
            "withheld": [[entry, reason] for entry, reason in self.withheld],
        }


@dataclass(frozen=True, slots=True)
class Absent:
    """A carrier's word that it does not give the body of an entry of the account ``of``.

    ``receipt``: the digest of the newest receipt that the same key gave for ``of``; None if it gave none. Only
    against that receipt is it ever held: whoever lost what it promised signs another receipt before this (decision 41).
    """

    of: Cid
    entry: Cid
    reason: str
    receipt: bytes | None = None

    type: ClassVar[str] = "absent"

    def __post_init__(self) -> None:
        _check_link("of", self.of)
        _check_link("entry", self.entry)
        _check_reason(self.reason)
        if self.receipt is not None:
            _check_bytes("receipt", self.receipt, DIGEST_BYTES)

    @property
    def subject(self) -> bytes:
        return self.entry.digest

    def fields(self) -> dict[str, Value]:
        fields: dict[str, Value] = {"of": self.of, "entry": self.entry, "reason": self.reason}
        return fields if self.receipt is None else fields | {"receipt": self.receipt}


@dataclass(frozen=True, slots=True)
class Possession:
    """The answer to a challenge: ``digest`` is what ``digest_possession`` makes of nonce, signer and body."""

    of: Cid
    entry: Cid
    nonce: bytes
    digest: bytes

    type: ClassVar[str] = "possession"

    def __post_init__(self) -> None:
        _check_link("of", self.of)
        _check_link("entry", self.entry)
        _check_bytes("nonce", self.nonce, NONCE_BYTES)
        _check_bytes("digest", self.digest, DIGEST_BYTES)

    @property
    def subject(self) -> bytes:
        return self.entry.digest

    def fields(self) -> dict[str, Value]:
        return {"of": self.of, "entry": self.entry, "nonce": self.nonce, "digest": self.digest}


Claim: TypeAlias = Heads | Card | Receipt | Absent | Possession


class UnverifiedStatement(NamedTuple):
    """A well-formed statement block; nobody has looked at its signature yet. Times are Unix milliseconds."""

    account: Cid  # for whom it speaks
    key: PublicKey
    time: int
    expires: int
    claim: Claim
    digest: bytes
    block: bytes


class Statement(NamedTuple):
    """A statement that bears the signature of its key."""

    account: Cid
    key: PublicKey
    time: int
    expires: int
    claim: Claim
    digest: bytes
    block: bytes


def parse_statement(block: bytes) -> UnverifiedStatement:
    """Read a statement block; raises ``MalformedBytes`` or ``MalformedStatement`` (``UnknownStatement``)."""
    match decode(block, max_bytes=MAX_STATEMENT_BYTES):
        case [dict() as fields, bytes() as signature] if len(signature) == SIGNATURE_BYTES:
            return _parse_fields(fields, block)
        case _:
            raise MalformedStatement("a statement is a pair of a map and a 64-byte signature")


def verify_statement(statement: UnverifiedStatement, network: str) -> Statement:
    """Raises ``SignatureMismatch`` unless the key it names signed it."""
    message = signed_message(statement.block, network, _CONTEXT)
    if not is_admissible(statement.key) or not verify(statement.key, message, statement.block[-SIGNATURE_BYTES:]):
        raise SignatureMismatch(
            f"a {statement.claim.type} of {statement.key} bears a signature that is not its own on network {network}"
        )
    return Statement(*statement)


def stored_statement(block: bytes) -> Statement:
    """A statement that was verified before it was stored; raises as ``parse_statement``."""
    return Statement(*parse_statement(block))


def sign_statement(key: SigningKey, account: Cid, claim: Claim, *, time: int, expires: int, network: str) -> Statement:
    """What comes out would pass ``parse_statement`` and ``verify_statement``; raises ``MalformedStatement``."""
    fields: dict[str, Value] = {
        "type": claim.type,
        "account": account,
        "key": key.public.bytes,
        "time": time,
        "expires": expires,
        **claim.fields(),
    }
    unsigned = encode([fields, bytes(SIGNATURE_BYTES)])
    if len(unsigned) > MAX_STATEMENT_BYTES:
        raise MalformedStatement(f"a statement of {len(unsigned):,} bytes is too long")
    block = unsigned[:-SIGNATURE_BYTES] + key.sign(signed_message(unsigned, network, _CONTEXT))
    return Statement(*parse_statement(block))


def digest_operations(ids: Iterable[Cid]) -> bytes:
    """The one digest of a set of operations: sha2-256 over their sorted digests."""
    return sha256(b"".join(sorted({each.digest for each in ids}))).digest()


def digest_possession(nonce: bytes, keeper: Cid, key: PublicKey, body: bytes) -> bytes:
    """What only somebody who has the body can say after having seen the nonce, and for one keeper and device only.

    It names who answers, so that an answer of one keeper is none of another: whoever passes the question on gets a
    digest of no use, and must fetch the body.
    """
    return sha256(_POSSESSION + nonce + keeper.bytes + key.bytes + body).digest()


# -- parsing


def _parse_fields(fields: dict[str, Value], block: bytes) -> UnverifiedStatement:
    match fields:
        case {
            "type": str() as kind,
            "account": Cid() as account,
            "key": bytes() as key,
            "time": int() as time,
            "expires": int() as expires,
        } if len(key) == KEY_BYTES and bool not in (type(time), type(expires)):
            pass
        case _:
            raise MalformedStatement("a statement has a type, an account, a key, a time and an end")
    parser = _PARSERS.get(kind)
    if parser is None:
        raise UnknownStatement(f"nothing is known of statements of the type {kind[:80]!r}")
    _check_link("account", account)
    if not 0 <= time < expires <= min(time + MAX_TERM_MS, _MAX_INT):
        raise MalformedStatement("a statement ends after its time and at most 30 days later")
    names, parse = parser
    if fields.keys() - _OPTIONAL.get(kind, frozenset()) != names | _COMMON:
        odd = sorted(fields.keys() ^ (names | _COMMON))
        raise MalformedStatement(f"missing or unknown fields of a {kind}: {', '.join(odd)[:200]}")
    if kind == Card.type and len(block) > MAX_CARD_BYTES:
        raise MalformedStatement(f"a card has at most {MAX_CARD_BYTES:,} bytes, this one {len(block):,}")
    return UnverifiedStatement(account, PublicKey(key), time, expires, parse(fields), sha256(block).digest(), block)


def _parse_heads(fields: Mapping[str, Value]) -> Heads:
    return Heads(_read_heads(fields["heads"]), _as_bytes("identity", fields["identity"]))


def _parse_card(fields: Mapping[str, Value]) -> Card:
    match fields["where"]:
        case {"urls": list() as urls, "peers": list() as peers, **others} if not others:
            return Card(
                tuple(_as_text("peers", each) for each in peers), tuple(_as_text("urls", each) for each in urls)
            )
        case _:
            raise MalformedStatement("a card says where: peers and urls")


def _parse_receipt(fields: Mapping[str, Value]) -> Receipt:
    return Receipt(
        _as_link("of", fields["of"]),
        _read_heads(fields["heads"]),
        _read_withheld(fields["withheld"]),
        _as_bytes("identity", fields["identity"]),
        _read_media(fields["media"]),
    )


def _parse_absent(fields: Mapping[str, Value]) -> Absent:
    return Absent(
        _as_link("of", fields["of"]),
        _as_link("entry", fields["entry"]),
        _as_text("reason", fields["reason"]),
        _as_bytes("receipt", fields["receipt"]) if "receipt" in fields else None,
    )


def _parse_possession(fields: Mapping[str, Value]) -> Possession:
    return Possession(
        _as_link("of", fields["of"]),
        _as_link("entry", fields["entry"]),
        _as_bytes("nonce", fields["nonce"]),
        _as_bytes("digest", fields["digest"]),
    )


_COMMON: Final = frozenset(("type", "account", "key", "time", "expires"))
# By type: the fields it has beside the common ones, and who reads them.
_PARSERS: Final[Mapping[str, tuple[frozenset[str], Callable[[Mapping[str, Value]], Claim]]]] = {
    Heads.type: (frozenset(("heads", "identity")), _parse_heads),
    Card.type: (frozenset(("where",)), _parse_card),
    Receipt.type: (frozenset(("of", "heads", "withheld", "identity", "media")), _parse_receipt),
    Absent.type: (frozenset(("of", "entry", "reason")), _parse_absent),
    Possession.type: (frozenset(("of", "entry", "nonce", "digest")), _parse_possession),
}
_OPTIONAL: Final[Mapping[str, frozenset[str]]] = {Absent.type: frozenset(("receipt",))}


def _read_heads(value: Value) -> tuple[Head, ...]:
    if not isinstance(value, list) or len(value) > MAX_HEADS:
        raise MalformedStatement(f"heads are a list of at most {MAX_HEADS}")
    return tuple(_read_head(item) for item in value)


def _read_head(value: Value) -> Head:
    match value:
        case [bytes() as key, int() as seq, Cid() as entry] if len(key) == KEY_BYTES and type(seq) is not bool:
            return Head(PublicKey(key), seq, entry)
        case _:
            raise MalformedStatement("a head is a key, a number and an entry")


def _write_heads(heads: tuple[Head, ...]) -> Value:
    return [[key.bytes, seq, entry] for key, seq, entry in heads]


def _read_withheld(value: Value) -> tuple[Withheld, ...]:
    if not isinstance(value, list) or len(value) > MAX_WITHHELD:
        raise MalformedStatement(f"a receipt lists at most {MAX_WITHHELD} entries as withheld")
    found = []
    for item in value:
        match item:
            case [Cid() as entry, str() as reason]:
                found.append(Withheld(entry, reason))
            case _:
                raise MalformedStatement("what is withheld is an entry and a reason")
    return tuple(found)


def _read_media(value: Value) -> MediaPolicy:
    try:
        return MediaPolicy(value)
    except ValueError as exc:
        raise MalformedStatement("media is none, 90d or all") from exc


def _as_bytes(name: str, value: Value) -> bytes:
    if not isinstance(value, bytes):
        raise MalformedStatement(f"{name} is no byte string")
    return value


def _as_text(name: str, value: Value) -> str:
    if not isinstance(value, str):
        raise MalformedStatement(f"{name} is no text")
    return value


def _as_link(name: str, value: Value) -> Cid:
    if not isinstance(value, Cid):
        raise MalformedStatement(f"{name} is no link")
    return value


# -- checks of what is read and of what is made


def _check_heads(heads: tuple[Head, ...]) -> None:
    if len(heads) > MAX_HEADS or len({head.key for head in heads}) != len(heads):
        raise MalformedStatement(f"heads are at most {MAX_HEADS}, one for each key")
    for head in heads:
        _check_link("head", head.entry)
        if not 0 <= head.seq <= _MAX_INT:
            raise MalformedStatement(f"seq {head.seq} is out of range")


def _check_link(name: str, link: Cid) -> None:
    if not link.is_dag_cbor:
        raise MalformedStatement(f"{name} links to a raw block")


def _check_bytes(name: str, value: bytes, size: int) -> None:
    if len(value) != size:
        raise MalformedStatement(f"{name} has {size} bytes, not {len(value)}")


def _check_reason(reason: str) -> None:
    try:
        size = len(reason.encode())
    except UnicodeEncodeError as exc:
        raise MalformedStatement("a reason is no text: it holds half a character") from exc
    if size > MAX_REASON_BYTES:
        raise MalformedStatement(f"a reason has at most {MAX_REASON_BYTES} bytes, this one {size:,}")
