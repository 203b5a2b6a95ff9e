"""Accepting an invite: what the two machines say to each other, and when to believe it.

One stream, one request, one answer. Who accepts says the token; a signature
over its hash and both accounts, by a device of the accepting account; the few
identity operations that list this device; and the signed record by which the
account follows the inviter. So whoever has the token can speak for nobody but
themselves, and what they said is good for no other token and no other inviter.
The answer is a word. What the token is worth, the store of the inviter knows.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Final

from unhush.gossip.errors import Unproven
from unhush.gossip.proto.faults import MalformedFrame
from unhush.gossip.proto.frames import Operation
from unhush.gossip.proto.invites import TOKEN_BYTES
from unhush.identity.cid import Cid
from unhush.identity.codec import Value, decode_map, encode
from unhush.identity.entry import Entry, check_body, decode_body, in_context, parse_entry, verify_signature
from unhush.identity.errors import IdentityError, MalformedBytes
from unhush.identity.keys import KEY_BYTES, SIGNATURE_BYTES, PublicKey, SigningKey, verify
from unhush.identity.operations import OPEN, Op, Table, parse_operation
from unhush.identity.trunk import find_trunk, fold

# The inception, two tables of a generation, a freeze, and what was said of the device: all that judging it takes.
MAX_OPERATIONS: Final = 6
# Each has a body of 64 KiB at most, and nearly all are of some hundred bytes.
MAX_REQUEST_BYTES: Final = 400 * 1024
MAX_ANSWER_BYTES: Final = 256

_CONTEXT: Final = b"invite-acceptance"
_FOLLOW: Final = "follow"
_MAX_ITEMS: Final = 256


class Code(StrEnum):
    """What became of an acceptance."""

    ACCEPTED = "accepted"
    UNKNOWN = "unknown"  # no such token: another machine's, cancelled, or long over
    EXPIRED = "expired"
    USED = "used"  # as often as it was good for, by others
    UNPROVEN = "unproven"  # the account does not sign, or not what was said
    LATER = "later"  # the machine cannot sign now, or has too much to do


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A request, unchecked."""

    token: bytes
    account: Cid
    key: PublicKey
    signature: bytes
    operations: tuple[Operation, ...]
    follow: Operation
    """The record by which the account follows the inviter."""
    keeps: bool = False
    """It also keeps the inviter's account, as the invite asked; this is signed."""


@dataclass(frozen=True, slots=True)
class Telling:
    """An acceptance of ours that the inviter's machine is to hear."""

    inviter: Cid
    peer_id: str
    request: bytes


def hash_token(token: bytes) -> bytes:
    """What a node keeps of a token, and what is signed in its place."""
    return sha256(b"unhush/1/invite-token\x00" + token).digest()


def sign_acceptance(
    key: SigningKey, *, token: bytes, account: Cid, inviter: Cid, network: str, keeps: bool = False
) -> bytes:
    """A device's word that its account accepts."""
    return key.sign(_message(hash_token(token), account, key.public, inviter, network, keeps=keeps))


def encode_acceptance(acceptance: Acceptance) -> bytes:
    """The payload of a request; raises ``ValueError`` for one that nobody would take."""
    if len(acceptance.operations) > MAX_OPERATIONS:
        raise ValueError(f"an acceptance has at most {MAX_OPERATIONS} operations")
    fields: dict[str, Value] = {
        "type": "accept",
        "token": acceptance.token,
        "account": acceptance.account,
        "key": acceptance.key.bytes,
        "sig": acceptance.signature,
        "ops": [[each.entry, each.body] for each in acceptance.operations],
        "follow": [acceptance.follow.entry, acceptance.follow.body],
    }
    if acceptance.keeps:
        fields["keeps"] = True
    payload = encode(fields)
    if len(payload) > MAX_REQUEST_BYTES:
        raise ValueError(f"an acceptance has at most {MAX_REQUEST_BYTES} bytes, this one {len(payload)}")
    return payload


def parse_acceptance(payload: bytes) -> Acceptance:
    """Raises ``MalformedFrame``."""
    match fields := _fields(payload, MAX_REQUEST_BYTES, _MAX_ITEMS):
        case {
            "type": "accept",
            "token": bytes() as token,
            "account": Cid() as account,
            "key": bytes() as key,
            "sig": bytes() as signature,
            "ops": list() as ops,
            "follow": follow,
        } if (len(token), len(key), len(signature)) == (TOKEN_BYTES, KEY_BYTES, SIGNATURE_BYTES):
            if len(ops) > MAX_OPERATIONS:
                raise MalformedFrame(f"an acceptance has at most {MAX_OPERATIONS} operations")
            keeps = fields.get("keeps", False) is True
            return Acceptance(token, account, PublicKey(key), signature, tuple(map(_pair, ops)), _pair(follow), keeps)
    raise MalformedFrame("not an acceptance of an invite")


def encode_answer(code: Code) -> bytes:
    return encode({"type": "answer", "code": code.value})


def parse_answer(payload: bytes) -> Code:
    """Raises ``MalformedFrame``. A word of a later version counts as ``LATER``: it may be said otherwise next time."""
    match _fields(payload, MAX_ANSWER_BYTES, 16):
        case {"type": "answer", "code": str() as word}:
            return Code(word) if word in {each.value for each in Code} else Code.LATER
    raise MalformedFrame("not an answer to an acceptance")


def check_acceptance(acceptance: Acceptance, *, inviter: Cid, network: str, held: Iterable[Table | Op]) -> None:
    """Whether the account says so itself; raises ``Unproven``.

    ``held`` is what is known of the account here: a device that was cut off since cannot hide that.
    """
    said = hash_token(acceptance.token), acceptance.account, acceptance.key
    message = _message(*said, inviter, network, keeps=acceptance.keeps)
    if not verify(acceptance.key, message, acceptance.signature):
        raise Unproven("the acceptance bears no valid signature")
    try:
        given = [_operation(each, acceptance.account, network) for each in acceptance.operations]
        follow = verify_signature(parse_entry(acceptance.follow.entry), network)
        check_body(follow.header, acceptance.follow.body)
        who = decode_body(acceptance.follow.body).get("who")
    except IdentityError as exc:
        raise Unproven(f"what came with the acceptance is not authentic: {exc}") from exc
    trunk = find_trunk(acceptance.account, [*held, *given])
    if trunk is None:
        raise Unproven("the acceptance comes without the inception of its account")
    state = fold(trunk)
    if state.cut_of(acceptance.key) != OPEN or state.cut_of(follow.header.key) is None:
        raise Unproven("the acceptance is signed by no device of its account")
    if follow.account != acceptance.account or follow.header.kind != _FOLLOW or who != inviter:
        raise Unproven("the acceptance comes without a record that follows the inviter")


def _operation(operation: Operation, account: Cid, network: str) -> Table | Op:
    entry: Entry = verify_signature(parse_entry(operation.entry), network)
    if entry.account != account:
        raise Unproven("an operation of another account came with the acceptance")
    return parse_operation(entry, operation.body)


def _message(token_hash: bytes, account: Cid, key: PublicKey, inviter: Cid, network: str, *, keeps: bool) -> bytes:
    said: dict[str, Value] = {"account": account, "key": key.bytes, "to": inviter, "token": token_hash}
    if keeps:
        said["keeps"] = True
    return in_context(encode(said), network, _CONTEXT)


def _fields(payload: bytes, max_bytes: int, max_items: int) -> dict[str, Value]:
    try:
        return decode_map(payload, max_bytes=max_bytes, max_items=max_items)
    except MalformedBytes as exc:
        raise MalformedFrame(str(exc)) from exc


def _pair(value: Value) -> Operation:
    match value:
        case [bytes() as entry, bytes() as body]:
            return Operation(entry, body)
    raise MalformedFrame("a record travels as entry and body")
