"""The blob protocol ``/unhush/blob/1``: blocks of pictures and other files by their ids (PROTOCOL §5, "Blobs").

One side asks on a stream of its own for blocks of one blob, some at a time; the
other answers each, in the order asked, with its bytes or with nothing. A block
says itself whether it is the right one, so an answer needs no signature.

    {"blob": link, "blocks": [link, …]}       → asked, at most 16
    {"block": bytes} or {"block": null}       ← one for each
"""

from dataclasses import dataclass
from typing import Final

from unhush.gossip.proto.faults import MalformedFrame
from unhush.identity.cid import Cid
from unhush.identity.codec import Value, decode_map, encode
from unhush.identity.errors import MalformedBytes

PROTOCOL: Final = "/unhush/blob/1"

# 16 chunks of 256 KiB: a picture of the largest size in two questions, and no more than 4 MiB promised at a time.
MAX_BLOCKS: Final = 16
# The largest block: a chunk of 256 KiB; a manifest of 1,024 of them is shorter.
MAX_BLOCK_BYTES: Final = 262_144
MAX_REQUEST_BYTES: Final = 4_096
# Questions on one stream: a blob of the largest size has 1,024 chunks and a manifest.
MAX_REQUESTS: Final = 66


@dataclass(frozen=True, slots=True)
class BlockRequest:
    """Blocks of one blob: the blob's own (a raw block or its manifest), or chunks that its manifest names."""

    blob: Cid
    blocks: tuple[Cid, ...]


@dataclass(frozen=True, slots=True)
class BlockAnswer:
    """The bytes of the block that is next in what was asked; None: it is not given."""

    block: bytes | None


def encode_request(request: BlockRequest) -> bytes:
    return encode({"blob": request.blob, "blocks": list(request.blocks)})


def parse_request(payload: bytes) -> BlockRequest:
    """Raises ``MalformedFrame``."""
    fields = _fields(payload, MAX_REQUEST_BYTES)
    blocks = fields.get("blocks")
    if not isinstance(blocks, list) or not 1 <= len(blocks) <= MAX_BLOCKS:
        raise MalformedFrame(f"blocks: not 1 to {MAX_BLOCKS} of them")
    return BlockRequest(_link(fields.get("blob")), tuple(map(_link, blocks)))


def encode_answer(answer: BlockAnswer) -> bytes:
    return encode({"block": answer.block})


def parse_answer(payload: bytes) -> BlockAnswer:
    """Raises ``MalformedFrame``."""
    block = _fields(payload, MAX_BLOCK_BYTES + MAX_REQUEST_BYTES).get("block", False)
    if block is not None and (not isinstance(block, bytes) or len(block) > MAX_BLOCK_BYTES):
        raise MalformedFrame("an answer is a block or null")
    return BlockAnswer(block)


def _fields(payload: bytes, max_bytes: int) -> dict[str, Value]:
    try:
        return decode_map(payload, max_bytes=max_bytes)
    except MalformedBytes as exc:
        raise MalformedFrame(str(exc)) from exc


def _link(value: object) -> Cid:
    if not isinstance(value, Cid):
        raise MalformedFrame("a block is asked for by its link")
    return value
