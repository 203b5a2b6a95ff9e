"""The one-line code by which a new device asks to be added: ``unhush device request``.

It travels by hand, by mail or by camera from the new machine to one that holds
the root key. The signature is by the device key itself, in a context of its
own, so a code shows that the new machine holds the key, and a typing error
shows as a wrong signature instead of as a device nobody owns. It is no secret
and grants nothing: the add does.
"""

from base64 import b32decode, b32encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from unhush.identity.codec import Value, decode_map, encode
from unhush.identity.entry import in_context
from unhush.identity.errors import MalformedBytes, MalformedEntry, MalformedRequest, WrongNetwork
from unhush.identity.keys import KEY_BYTES, PublicKey, SigningKey, is_admissible, verify
from unhush.identity.operations import MAX_NAME_BYTES

# The longest code has 376 characters; the rest is for line breaks and quoting spaces.
MAX_REQUEST_CHARS: Final = 1_024

_PREFIX: Final = "unhush-device-"
_VERSION: Final = 1
_CONTEXT: Final = b"device-request"
_MAX_ITEMS: Final = 64  # ours have 11; a newer version may have more and should be told apart from noise
_FIELDS: Final = frozenset(("v", "network", "key", "name", "sig"))
_INCOMPLETE: Final = "this is no whole device code: it was cut off or changed on the way; copy it again"


@dataclass(frozen=True, slots=True)
class DeviceRequest:
    """A new device's wish to be added, by its own word."""

    key: PublicKey
    name: str
    network: str

    def __post_init__(self) -> None:
        try:
            size = len(self.name.encode())
        except UnicodeEncodeError as exc:
            raise MalformedRequest("the name of the device is no text: it holds half a character") from exc
        if size > MAX_NAME_BYTES:
            raise MalformedRequest(f"the name of a device has at most {MAX_NAME_BYTES} bytes, this one {size}")


def encode_request(key: SigningKey, name: str, network: str) -> str:
    """The code of this device; raises ``MalformedRequest`` for a name or network that nobody would accept."""
    request = DeviceRequest(key.public, name, network)
    fields = _signed_fields(request)
    return _to_text(encode({**fields, "sig": key.sign(_message(request))}))


def parse_request(text: str, network: str) -> DeviceRequest:
    """Read a code, forgiving case and white space; raises ``MalformedRequest`` or ``WrongNetwork``."""
    fields = _parse_fields(_from_text(text))
    match fields:
        case {
            "network": str() as theirs,
            "key": bytes() as raw,
            "name": str() as name,
            "sig": bytes() as signature,
        } if len(raw) == KEY_BYTES:
            request = DeviceRequest(PublicKey(raw), name, theirs)
        case _:
            raise MalformedRequest(_INCOMPLETE)
    if not is_admissible(request.key) or not verify(request.key, _message(request), signature):
        raise MalformedRequest("this device code is not as the device wrote it (wrong signature); copy it again")
    if request.network != network:
        raise WrongNetwork(request.network, network)
    return request


def _signed_fields(request: DeviceRequest) -> Mapping[str, Value]:
    return {"v": _VERSION, "network": request.network, "key": request.key.bytes, "name": request.name}


def _message(request: DeviceRequest) -> bytes:
    # Strict DAG-CBOR has one encoding, so the map without ``sig`` is the same bytes for whoever reads it.
    try:
        return in_context(encode(_signed_fields(request)), request.network, _CONTEXT)
    except MalformedEntry as exc:
        raise MalformedRequest(str(exc)) from exc


def _parse_fields(data: bytes) -> Mapping[str, Value]:
    try:
        fields = decode_map(data, max_bytes=MAX_REQUEST_CHARS, max_items=_MAX_ITEMS)
    except MalformedBytes as exc:
        raise MalformedRequest(_INCOMPLETE) from exc
    version = fields.get("v")
    if type(version) is int and version > _VERSION:
        raise MalformedRequest("this device code was made by a newer version of unhush; update this one first")
    if type(version) is not int or version != _VERSION or fields.keys() != _FIELDS:
        raise MalformedRequest(_INCOMPLETE)
    return fields


def _to_text(data: bytes) -> str:
    return _PREFIX + b32encode(data).decode().rstrip("=").lower()


def _from_text(text: str) -> bytes:
    if len(text) > MAX_REQUEST_CHARS:
        raise MalformedRequest(f"a device code has at most {MAX_REQUEST_CHARS} characters, this text {len(text)}")
    code = "".join(text.split())
    if not code.isascii() or not code.lower().startswith(_PREFIX):
        raise MalformedRequest(f"a device code begins with {_PREFIX!r}; this text does not, or holds other characters")
    digits = code[len(_PREFIX) :].upper()
    try:
        data = b32decode(digits + "=" * (-len(digits) % 8))
    except ValueError as exc:
        raise MalformedRequest(_INCOMPLETE) from exc
    if _to_text(data) != code.lower():  # padding inside, or unused bits that are not zero
        raise MalformedRequest(_INCOMPLETE)
    return data
