"""Lifeboats to test with: an account with a bit of everything, and files changed by somebody who knows the format."""

import gzip
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import TypeAlias

from PIL import Image
from tests.support.bombs import saved
from tests.support.commands import ANY_PORT

from unhush.identity.cid import Cid
from unhush.identity.codec import decode_map, encode
from unhush.identity.entry import parse_entry
from unhush.identity.errors import MalformedBytes
from unhush.identity.keys import PublicKey
from unhush.identity.statement import Heads, sign_statement
from unhush.node import Config, Node, Post, found_account
from unhush.node.lifeboat.form import (
    MAX_FRAME_BYTES,
    BlockFrame,
    Contents,
    ExtraFrame,
    Frame,
    Piece,
    RecordFrame,
    encode_frame,
    iter_frames,
    pack,
    unpack,
)
from unhush.node.lifeboat.reading import CONTENTS_TAG, END_TAG, PIECE_TAG, opened_lifeboat
from unhush.storage.keeping.statements import SignedStatement, Took

POSTS = 12
PIECE_FRAMES = 10
Frames: TypeAlias = list[Frame]
Change: TypeAlias = Callable[[Frames], Frames]

MARKDOWN = """# A day at the hut

The needle is *here*, and [a page](https://hut.example/page), and <b>no markup</b>.

```
one line of a terminal that is much longer than any telephone is wide, and goes on and on
```

> quoted words

1. first
2. second
"""


def picture(colour: str, side: int = 40) -> bytes:
    return saved(Image.new("RGB", (side, side // 2), colour), "PNG")


@dataclass(frozen=True)
class Sample:
    """Records of the sample account to look for again."""

    first: Cid
    edited: Cid
    deleted: Cid
    reply: Cid


def write_sample(node: Node, folder: Path | None = None) -> Sample:
    """A life in short: posts, an article, an edit, a delete, replies, pictures, a profile.

    With a ``folder`` a telephone of the account, whose home is made there, writes too, and is cut off then.
    """
    node.set_profile("Edda Sol", "Boat carpenter.\nSlow letters.", node.attach(picture("teal", 80)))
    first = node.post("the very first words")
    for number in range(POSTS):
        node.post(Post(f"post number {number}, written by the sea", tags=("sea",)))
    node.post(Post(MARKDOWN + "\n\n" + "And then the tide came in. " * 90, title="How to keep a hut", lang="en"))
    rain = [node.attach(picture(colour), f"rain, {colour}") for colour in ("navy", "gray")]
    node.post(Post("Two of them.", warning="Pictures of rain", media=tuple(rain)))
    edited = node.post("a word with a misteak")
    node.edit(edited.id, "a word without a mistake, and a needle")
    deleted = node.post("to be forgotten")
    node.delete(deleted.id)
    if folder is not None:
        lose_a_telephone(node, folder)
    reply = node.reply(first.id, "still true")
    node.react(first.id, "🌊")
    sign_heads(node)
    return Sample(first.id, edited.id, deleted.id, reply.id)


def make_sample(folder: Path) -> Path:
    """A lifeboat of the sample account, in a folder of its own."""
    config = Config(folder / "ann", network="test", listen=(ANY_PORT,))
    found_account(config, "Ann")
    with Node.open(config) as ann:
        write_sample(ann, folder)
        return ann.export_lifeboat(folder / "ann.html", media="all").file


def lose_a_telephone(node: Node, folder: Path) -> None:
    """A second device that wrote three posts, of which two are in force under its cut."""
    words = node.devices.waiting_words()
    with Node.open(replace(node.config, home=folder / "phone")) as phone:
        device = node.devices.add(phone.devices.request("phone"), words)
        carry(node, phone, folder)
        phone._store.adopt_account(node.account(), phone.device())
        kept = [phone.post(f"from the phone, {number}") for number in range(2)]
        phone.post("from a thief")
        carry(phone, node, folder)
    node.devices.revoke(node.devices.plan_cut(str(device.key), kept[-1].id), words)


def sign_heads(node: Node) -> None:
    """What a running node signs every now and then: what is newest of its account."""
    now_ms, account = node.config.clock_ms(), node.account()
    with node._store.snapshot() as snapshot:
        claim = Heads(snapshot.heads_held(account), snapshot.identity_digest(account))
    terms = {"time": now_ms, "expires": now_ms + 86_400_000}
    told = sign_statement(node._keys.device(), account, claim, network=node.config.network, **terms)
    assert node._store.statements.take([SignedStatement(told.block)], now_ms) == [Took.STORED]


def carry(source: Node, target: Node, folder: Path) -> None:
    source.export_car(folder / "carried.car", source.account(), force=True)
    target.import_car(folder / "carried.car")


def frames_of(path: Path) -> tuple[Contents, Frames]:
    with opened_lifeboat(path) as boat:
        assert boat.contents is not None
        frames: Frames = []
        for piece in boat.pieces:
            assert piece is not None
            for frame in iter_frames(unpack(piece)[0]):
                assert not isinstance(frame, MalformedBytes)
                frames.append(frame)
        return boat.contents, frames


def write_again(
    path: Path,
    target: Path,
    change: Change = lambda frames: frames,
    *,
    contents: Callable[[Contents], Contents] = lambda contents: contents,
) -> Path:
    """The same file with other frames, packed as if nothing had happened: sums, counts of frames and digests fit.

    The list of contents stays, but for what ``contents`` makes of it: who changes a record rarely thinks of it.
    """
    told, frames = frames_of(path)
    with opened_lifeboat(path) as boat:
        before, behind = boat.before, boat.behind
    rest = iter(change(list(frames)))
    pieces: list[Piece] = []
    parts = [before]
    while some := list(islice(rest, PIECE_FRAMES)):
        text = pack(b"".join(map(encode_frame, some)))
        pieces.append(Piece(sha256(text).digest(), len(some)))
        parts += [PIECE_TAG % len(pieces), text, END_TAG]
    text = b64encode(contents(replace(told, pieces=tuple(pieces))).encode())
    parts += [CONTENTS_TAG % sha256(text).hexdigest().encode(), text, END_TAG, behind]
    target.write_bytes(b"".join(parts))
    return target


def records(frames: Sequence[Frame]) -> list[int]:
    """Where the entries of logs stand among the frames."""
    return [at for at, frame in enumerate(frames) if isinstance(frame, RecordFrame) and frame.place == "record"]


def numbered(frames: Sequence[Frame], number: int) -> int:
    """Where record ``number`` of a file stands among its frames."""
    return [at for at, frame in enumerate(frames) if isinstance(frame, RecordFrame)][number - 1]


def with_words(frame: RecordFrame, words: str) -> RecordFrame:
    """The record with other words under the old signature."""
    assert frame.body is not None
    return frame._replace(body=encode(decode_map(frame.body) | {"text": words}))


def post_in(frames: Frames, words: str) -> int:
    """Where the post with these words stands."""
    needle = words.encode()
    return next(at for at in records(frames) if needle in (_record(frames[at]).body or b""))


def _record(frame: Frame) -> RecordFrame:
    assert isinstance(frame, RecordFrame)
    return frame


# -- what somebody may do to a file


def change_a_letter(frames: Frames) -> Frames:
    at = post_in(frames, "post number 7")
    frame = _record(frames[at])
    assert frame.body is not None
    frames[at] = frame._replace(body=frame.body.replace(b"number 7", b"number 8"))
    return frames


def change_a_signature_byte(frames: Frames) -> Frames:
    at = post_in(frames, "post number 7")
    frame = _record(frames[at])
    frames[at] = frame._replace(entry=frame.entry[:-9] + bytes((frame.entry[-9] ^ 1,)) + frame.entry[-8:])
    return frames


def change_the_newest_signature(frames: Frames) -> Frames:
    at = records(frames)[-1]
    frame = _record(frames[at])
    frames[at] = frame._replace(entry=frame.entry[:-1] + bytes((frame.entry[-1] ^ 1,)))
    return frames


def drop_one(frames: Frames) -> Frames:
    del frames[post_in(frames, "post number 7")]
    return frames


def drop_the_newest(frames: Frames) -> Frames:
    del frames[records(frames)[-1]]
    return frames


def swap_two(frames: Frames) -> Frames:
    one, two = post_in(frames, "post number 3"), post_in(frames, "post number 7")
    frames[one], frames[two] = frames[two], frames[one]
    return frames


def drop_an_operation(frames: Frames) -> Frames:
    at = max(at for at, frame in enumerate(frames) if isinstance(frame, RecordFrame) and frame.place == "operation")
    del frames[at]
    return frames


def drop_a_body(frames: Frames) -> Frames:
    at = post_in(frames, "post number 7")
    frames[at] = _record(frames[at])._replace(body=None)
    return frames


def say_one_twice(frames: Frames) -> Frames:
    at = post_in(frames, "post number 7")
    return [*frames[: at + 1], frames[at], *frames[at + 1 :]]


def change_a_statement(frames: Frames) -> Frames:
    at = next(at for at, frame in enumerate(frames) if isinstance(frame, ExtraFrame))
    frame = frames[at]
    assert isinstance(frame, ExtraFrame)
    frames[at] = frame._replace(block=frame.block[:-1] + bytes((frame.block[-1] ^ 1,)))
    return frames


def change_a_picture(frames: Frames) -> Frames:
    at = next(at for at, frame in enumerate(frames) if isinstance(frame, BlockFrame))
    frame = frames[at]
    assert isinstance(frame, BlockFrame)
    frames[at] = BlockFrame(frame.block[:-1] + bytes((frame.block[-1] ^ 1,)))
    return frames


def change_the_kind(frames: Frames) -> Frames:
    at = post_in(frames, "post number 7")
    frame = _record(frames[at])
    frames[at] = frame._replace(entry=frame.entry.replace(b"\x64kind\x64post", b"\x64kind\x64note"))
    return frames


def id_of(frame: Frame) -> Cid:
    return parse_entry(_record(frame).entry).cid


# Each with the check that has to name it.
CHANGES: dict[str, tuple[Change, str]] = {
    "a letter": (change_a_letter, "body"),
    "a signature byte": (change_a_signature_byte, "signature"),
    "the newest signature": (change_the_newest_signature, "signature"),
    "one entry dropped": (drop_one, "missing"),
    "the newest dropped": (drop_the_newest, "missing"),
    "two entries swapped": (swap_two, "order"),
    "an operation dropped": (drop_an_operation, "identity"),
    "a body dropped": (drop_a_body, "count"),
    "an entry twice": (say_one_twice, "order"),
    "a picture": (change_a_picture, "blob"),
    "a statement": (change_a_statement, "statement"),
    "a kind": (change_the_kind, "signature"),
}


# -- files made to cost whoever checks them more than they weigh

FLOOD = 400


def flood_beside(path: Path, target: Path) -> Path:
    """Entries beside a log that nobody signed, some of them under one that is signed."""

    def change(frames: Frames) -> Frames:
        one, two, three = (_record(frames[at]) for at in _longest(frames)[-3:])
        bad = [one._replace(place="beside", entry=one.entry[:-8] + bytes((at % 256,)) * 8) for at in range(FLOOD)]
        chain = [*map(_unsigned, (one, two)), three]
        return [*frames, *bad, *(each._replace(place="beside") for each in chain)]

    return write_again(path, target, change)


def _unsigned(frame: RecordFrame) -> RecordFrame:
    """The same header under a signature of nobody, so another entry: nothing names it any more."""
    return frame._replace(entry=frame.entry[:-1] + bytes((frame.entry[-1] ^ 1,)))


def _longest(frames: Frames) -> list[int]:
    """Where the entries of the log that has most of them stand."""
    logs: dict[PublicKey, list[int]] = {}
    for at in records(frames):
        logs.setdefault(parse_entry(_record(frames[at]).entry).header.key, []).append(at)
    return max(logs.values(), key=len)


def too_large_parts(path: Path, target: Path) -> Path:
    """Records whose entry or body is larger than any can be."""

    def change(frames: Frames) -> Frames:
        frame = _record(frames[records(frames)[-1]])
        return [*frames, frame._replace(entry=bytes(1_025), body=None), frame._replace(body=bytes(65_537))]

    return write_again(path, target, change)


def grown_piece(path: Path, target: Path) -> Path:
    """A last piece of few bytes that unpacks to many, in frames that could be read."""
    data = write_again(path, target).read_bytes()
    told, _ = frames_of(path=target)
    number = len(told.pieces) + 1
    frame = encode_frame(BlockFrame(bytes(MAX_FRAME_BYTES - 100)))
    text = b64encode(gzip.compress(7 * frame, 9, mtime=0))
    start = data.index(CONTENTS_TAG.partition(b"%")[0])
    end = data.index(END_TAG, start) + len(END_TAG)
    fitting = replace(told, pieces=(*told.pieces, Piece(sha256(text).digest(), 7)), blocks=told.blocks + 7)
    contents = b64encode(fitting.encode())
    tag = CONTENTS_TAG % sha256(contents).hexdigest().encode()
    target.write_bytes(data[:start] + PIECE_TAG % number + text + END_TAG + tag + contents + END_TAG + data[end:])
    return target


def torn_runs(path: Path, target: Path) -> Path:
    """A list of contents that says of every second entry that it is not there."""

    def lie(contents: Contents) -> Contents:
        logs = tuple(
            replace(log, runs=tuple((seq, seq) for seq in range(log.runs[0][0], log.runs[-1][1] + 9, 2)))
            for log in contents.logs
        )
        return replace(contents, logs=logs, blobs=contents.blobs * 2)

    return write_again(path, target, contents=lie)


FLOODS: dict[str, Callable[[Path, Path], Path]] = {
    "beside": flood_beside,
    "too large": too_large_parts,
    "grown": grown_piece,
    "torn runs": torn_runs,
}
