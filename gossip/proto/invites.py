"""Invites: what one person gives another to find them by, as one text.

``unhush:`` and base32, of: the version, the length of what comes next, a strict
DAG-CBOR map, and the first four bytes of the SHA-256 of all that. The same
text is a link, what a QR code says, and what people paste; it means the same in
capitals, so a QR code can say it in fewer dots. The checksum tells a typing
error from an invite that is merely not good any more, and the length tells
where it ends when a letter goes on behind it. Mail wraps and quotes: white
space, quote marks and the like in between are passed over.

An invite names the account, one machine of it and how that is reached, and a
token which that machine knows. Whoever has the text may use it once (or as often
as it was made for), so it is to be sent as one would send a key. The name in it
is what the inviter calls themselves: a hint and no proof, the account is what
counts.
"""

import re
from base64 import b32decode, b32encode
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from unhush.gossip.errors import InviteMistyped, MalformedAddress, MalformedInvite
from unhush.gossip.proto.addresses import parse_address
from unhush.identity.cid import Cid, cid_of_digest
from unhush.identity.codec import Value, decode_map, encode
from unhush.identity.errors import MalformedBytes

PREFIX: Final = "unhush:"
VERSION: Final = 1
TOKEN_BYTES: Final = 16

# One machine has a few interfaces; more would make the code too fine for a camera.
MAX_ADDRESSES: Final = 4
# People to begin with: 32 of them are 1,640 of the characters below.
MAX_STARTER: Final = 32
MAX_NAME_BYTES: Final = 64
# An invite alone has some 200; people to begin with fill it. In base32 that is 2,200 digits.
MAX_INVITE_BYTES: Final = 1_375
MAX_INVITE_CHARS: Final = len(PREFIX) + 2_200
# What somebody may paste around it: a letter of a few pages.
MAX_PASTED_CHARS: Final = 16_384
# Years 1970 to 9999: beyond that no calendar shows it.
MAX_UNTIL_S: Final = 253_402_300_799

_HEAD_BYTES: Final = 3
_SUM_BYTES: Final = 4
_DIGEST_BYTES: Final = 32
_MAX_BODY_BYTES: Final = MAX_INVITE_BYTES - _HEAD_BYTES - _SUM_BYTES
_MAX_ITEMS: Final = 64  # ours have 20; a newer version may say more
_MAX_NETWORK_CHARS: Final = 32
_USUAL_NETWORK: Final = "main"
_MAX_TRIES: Final = 8  # places in a text where an invite seems to begin

_BEGINNING: Final = re.compile(r"unhush\s*:", re.IGNORECASE)
_NETWORK: Final = re.compile(r"[a-z0-9-]{1,32}")
_DIGITS: Final = frozenset("abcdefghijklmnopqrstuvwxyz234567")
# What mail, chats and word processors put into a long word, or around it.
_PASSED_OVER: Final = frozenset(" \t\r\n\v\f>|<=*_`~\"'“”„‘’«»‹›-\\\u00a0\u00ad\u200b\u200c\u200d\u2060\ufeff")


@dataclass(frozen=True, slots=True)
class Invite:
    """What an invite says. Raises ``MalformedInvite`` for what no invite may say."""

    account: Cid
    peer_id: str
    """The machine that knows the token."""
    addresses: tuple[str, ...]
    """Where that machine is, each with its peer id."""
    token: bytes
    until_s: int
    """Unix time, in seconds, from which on it is good no more."""
    name: str = ""
    starter: tuple[Cid, ...] = ()
    """Accounts to follow to begin with."""
    network: str = _USUAL_NETWORK
    asks_keeping: bool = False
    """Whoever accepts it is also asked to keep the account."""

    def __post_init__(self) -> None:
        if not self.account.is_dag_cbor or not all(each.is_dag_cbor for each in self.starter):
            raise MalformedInvite("an invite names accounts only")
        if len(self.token) != TOKEN_BYTES:
            raise MalformedInvite(f"the token of an invite has {TOKEN_BYTES} bytes")
        if not 0 <= self.until_s <= MAX_UNTIL_S:
            raise MalformedInvite("an invite ends at a time that is none")
        if len(self.addresses) > MAX_ADDRESSES:
            raise MalformedInvite(f"an invite has at most {MAX_ADDRESSES} addresses")
        if len(self.starter) > MAX_STARTER:
            raise MalformedInvite(f"an invite names at most {MAX_STARTER} people to begin with")
        if len(set(self.starter)) != len(self.starter):
            raise MalformedInvite("an invite names somebody twice")
        if not _NETWORK.fullmatch(self.network):
            raise MalformedInvite("an invite names no network")
        if _size(self.name) > MAX_NAME_BYTES:
            raise MalformedInvite(f"the name in an invite has at most {MAX_NAME_BYTES} bytes")
        for address in (*self.addresses, _anywhere(self.peer_id)):
            try:
                is_of_it = parse_address(address).peer_id == self.peer_id
            except MalformedAddress as exc:
                raise MalformedInvite(f"the address in this invite is none: {exc}") from exc
            if not is_of_it:
                raise MalformedInvite("an address in this invite is of another machine")


def encode_invite(invite: Invite) -> str:
    """The one text of an invite; raises ``MalformedInvite`` if it would be longer than any may be."""
    end = _end_of(invite.peer_id)
    fields: dict[str, Value] = {
        "by": invite.account.digest,
        "at": [address.removesuffix(end) for address in invite.addresses],
        "peer": invite.peer_id,
        "token": invite.token,
        "until": invite.until_s,
    }
    if invite.name:
        fields["name"] = invite.name
    if invite.starter:
        fields["with"] = b"".join(each.digest for each in invite.starter)
    if invite.network != _USUAL_NETWORK:
        fields["net"] = invite.network
    if invite.asks_keeping:
        fields["keep"] = True
    body = encode(fields)
    if len(body) > _MAX_BODY_BYTES:
        raise MalformedInvite(
            f"this invite would be longer than the {MAX_INVITE_CHARS:,} characters one may have: "
            "take fewer people to begin with, or fewer addresses"
        )
    block = bytes((VERSION, *len(body).to_bytes(2))) + body
    return PREFIX + _to_digits(block + _checksum(block))


def parse_invite(text: str) -> Invite:
    """Find the invite in a text, whatever stands around it and in its line breaks.

    Raises ``InviteMistyped`` for one that was changed or cut on the way, ``MalformedInvite`` for what is none.
    """
    if len(text) > MAX_PASTED_CHARS:
        raise MalformedInvite(f"this text is longer than {MAX_PASTED_CHARS:,} characters: paste the invite alone")
    problem: MalformedInvite | None = None
    for count, found in enumerate(_BEGINNING.finditer(text), 1):
        try:
            return _parse_body(_unwrap(text, found.end()))
        except MalformedInvite as exc:
            # A letter may speak of "unhush:" before it comes to the point.
            problem = exc
        if count == _MAX_TRIES:
            break
    if problem is not None:
        raise problem
    raise MalformedInvite(f"there is no invite in this text: one begins with {PREFIX}")


def wrap_invite(link: str, width: int = 64) -> str:
    """An invite in lines that mail leaves alone."""
    return "\n".join(link[at : at + width] for at in range(0, len(link), width))


def _unwrap(text: str, at: int) -> bytes:
    """The body of the invite whose digits begin at a place of a text."""
    digits: list[str] = []
    wanted = _digits_of(_HEAD_BYTES)
    while len(digits) < wanted:
        if at == len(text):
            raise InviteMistyped(len(digits), wanted)
        char = text[at].lower()
        at += 1
        if char in _DIGITS:
            digits.append(char)
        elif char not in _PASSED_OVER:
            raise InviteMistyped(len(digits), wanted)
        if len(digits) == _digits_of(_HEAD_BYTES) == wanted:
            wanted = _wanted(digits)
    data = _from_digits(digits)
    block, checksum = data[:-_SUM_BYTES], data[-_SUM_BYTES:]
    if _checksum(block) != checksum or _to_digits(data) != "".join(digits):
        raise InviteMistyped(len(digits), wanted)
    return block[_HEAD_BYTES:]


def _wanted(head: list[str]) -> int:
    """How many digits an invite has that begins like this."""
    version, *length = _from_digits(head)
    if version > VERSION:
        raise MalformedInvite(
            "this invite was mistyped or cut off: copy it again, whole; or it was made by a newer version of unhush"
        )
    size = _HEAD_BYTES + int.from_bytes(bytes(length)) + _SUM_BYTES
    if version < VERSION or size > MAX_INVITE_BYTES:
        raise InviteMistyped
    return _digits_of(size)


def _parse_body(body: bytes) -> Invite:
    try:
        fields = decode_map(body, max_bytes=_MAX_BODY_BYTES, max_items=_MAX_ITEMS)
    except MalformedBytes as exc:
        raise MalformedInvite(f"this invite says nothing that can be read: {exc}") from exc
    name, network, starter = fields.get("name", ""), fields.get("net", _USUAL_NETWORK), fields.get("with", b"")
    match fields:
        case {
            "by": bytes() as account,
            "at": list() as places,
            "peer": str() as peer_id,
            "token": bytes() as token,
            "until": int() as until_s,
        } if len(account) == _DIGEST_BYTES and type(until_s) is int:
            pass
        case _:
            raise MalformedInvite("this invite lacks something every invite has")
    if not isinstance(name, str) or not isinstance(network, str) or not isinstance(starter, bytes):
        raise MalformedInvite("this invite says something in a way no invite does")
    asks_keeping = fields.get("keep", False)
    if not isinstance(asks_keeping, bool):
        raise MalformedInvite("this invite says something in a way no invite does")
    if len(starter) % _DIGEST_BYTES or len(places) > MAX_ADDRESSES:
        raise MalformedInvite("this invite names more, or less, than any does")
    people = [starter[at : at + _DIGEST_BYTES] for at in range(0, len(starter), _DIGEST_BYTES)]
    return Invite(
        account=cid_of_digest(account),
        peer_id=peer_id,
        addresses=tuple(_address(place, peer_id) for place in places),
        token=token,
        until_s=until_s,
        name=name,
        starter=tuple(map(cid_of_digest, people)),
        network=network,
        asks_keeping=asks_keeping,
    )


def _address(place: Value, peer_id: str) -> str:
    if not isinstance(place, str):
        raise MalformedInvite("an address in this invite is no text")
    return place + _end_of(peer_id)


def _end_of(peer_id: str) -> str:
    return f"/p2p/{peer_id}"


def _anywhere(peer_id: str) -> str:
    """An address that is well-formed if the peer id is."""
    return f"/ip4/192.0.2.1/tcp/1{_end_of(peer_id)}"


def _size(text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError as exc:
        raise MalformedInvite("the name in an invite holds half a character") from exc


def _checksum(block: bytes) -> bytes:
    return sha256(block).digest()[:_SUM_BYTES]


def _digits_of(size: int) -> int:
    return -(-8 * size // 5)


def _to_digits(data: bytes) -> str:
    return b32encode(data).decode().rstrip("=").lower()


def _from_digits(digits: list[str]) -> bytes:
    return b32decode("".join(digits).upper() + "=" * (-len(digits) % 8))
