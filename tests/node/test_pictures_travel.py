"""Pictures between nodes: they come with the posts that show them, from whoever has them."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from tests.support.bombs import saved
from tests.support.commands import await_until
from tests.support.nodes import introduce

from unhush.node import Node
from unhush.node.errors import BlobMissing
from unhush.storage.blobs.manifest import CHUNK_BYTES


def grainy(seed: int, side: int = 640) -> bytes:
    """A picture that no format makes small."""
    return saved(Image.frombytes("RGB", (side, side), random.Random(seed).randbytes(3 * side * side)), "PNG")


def flat(colour: str) -> bytes:
    return saved(Image.new("RGB", (30, 20), colour), "PNG")


def test_pictures_come_with_posts_also_when_their_author_is_gone(new_node: Callable[[str], Node]) -> None:
    ann, ben, cid = new_node("Ann"), new_node("Ben"), new_node("Cid")
    large, small = ann.attach(grainy(1), "grain"), ann.attach(flat("green"), "green")
    assert large.size > 3 * CHUNK_BYTES
    ann.post("Two pictures.", [large, small])
    ann.set_profile(avatar=ann.attach(flat("red")))
    for other in (ben, cid):
        other.follow(ann.account())
    for node in (ann, ben, cid):
        node.start_network()

    introduce(ben, ann)
    await_until(lambda: ben.media.has(large.cid) and ben.media.has(small.cid), "Ben has both pictures")
    await_until(lambda: ben.portrait(ann.account()) is not None, "and the portrait")
    ann.stop_network()
    introduce(cid, ben)
    await_until(lambda: cid.media.has(large.cid) and cid.media.has(small.cid), "Cid has them from Ben")

    assert b"".join(cid.media.iter_range(large.cid, 0, large.size)) == b"".join(
        ann.media.iter_range(large.cid, 0, large.size)
    )


def test_what_no_shown_record_names_is_not_given(new_node: Callable[[str], Node]) -> None:
    ann, ben = new_node("Ann"), new_node("Ben")
    taken_back, kept_to_myself, shown = ann.attach(flat("red")), ann.attach(flat("blue")), ann.attach(flat("green"))
    post = ann.post("Red.", [taken_back])
    ann.post("Green.", [shown])
    ben.follow(ann.account())
    ann.delete(post.id)
    ann.start_network()
    ben.start_network()
    introduce(ben, ann)
    await_until(lambda: ben.media.has(shown.cid), "the picture that is shown")

    running = ben._running
    assert running is not None
    assert not running.fetch_blob(taken_back.cid, ann.account(), 10.0)
    assert not running.fetch_blob(kept_to_myself.cid, ann.account(), 10.0)
    assert not ben.media.has(taken_back.cid)


def test_a_picture_goes_with_what_is_withheld_and_comes_back_with_it(new_node: Callable[[str], Node]) -> None:
    ann, ben = new_node("Ann"), new_node("Ben")
    red, green = ann.attach(grainy(7)), ann.attach(flat("green"))
    post = ann.post("Red and green.", [red, green])
    ann.post("Green.", [green])
    ben.follow(ann.account())
    ann.start_network()
    ben.start_network()
    introduce(ben, ann)
    await_until(lambda: ben.media.has(red.cid) and ben.media.has(green.cid), "both pictures")
    ben.media.thumb(red.cid)

    assert ben.withhold(post.id, "order of a court").pictures == 1

    assert [ben.media.has(each.cid) for each in (red, green)] == [False, True]
    with pytest.raises(BlobMissing):
        ben.media.thumb(red.cid)
    running = ben._running
    assert running is not None
    assert not running.fetch_blob(red.cid, ann.account(), 10.0), "asked for just before"
    assert list(ben._store.blobs.folder.iter_digests()) == [green.cid.digest]
    assert not ben.fetch_media(red.cid)

    ben.unwithhold(post.id)
    await_until(lambda: ben.show(post.id).has_body, "the post is here again")
    await_until(lambda: ben.media.has(red.cid), "its picture too, though nobody looks")


def test_a_picture_that_was_damaged_comes_again_when_somebody_looks(new_node: Callable[[str], Node]) -> None:
    ann, ben = new_node("Ann"), new_node("Ben")
    picture = ann.attach(flat("green"))
    ann.post("Green.", [picture])
    ben.follow(ann.account())
    ann.start_network()
    ben.start_network()
    introduce(ben, ann)
    await_until(lambda: ben.media.has(picture.cid), "the picture")
    ben._store.blobs.remove(picture.cid)

    # Whoever fetched it first may not have noticed yet that it is gone again, and then says that it did not come.
    await_until(lambda: ben.fetch_media(picture.cid), "it is here again")
    assert ben.media.has(picture.cid)


def test_without_a_network_nothing_is_waited_for(new_node: Callable[[str], Node], tmp_path: Path) -> None:
    ann = new_node("Ann")
    picture = ann.attach(flat("green"))
    ann.post("Green.", [picture])
    ann._store.blobs.remove(picture.cid)

    assert not ann.fetch_media(picture.cid)
