"""Media through the node: attached, published, shown as here or not here yet, and never with what a camera noted."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from tests.support.bombs import saved

from unhush.cli.main import run
from unhush.identity.cid import cid_of_raw
from unhush.node import Node, Post
from unhush.node.errors import BlobMissing, ImageRefused, MalformedRecord
from unhush.storage.blobs.sweeping import sweep
from unhush.storage.kinds import Media
from unhush.storage.schema import Table


def photograph(orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x8825] = {1: "N", 29: "48.8583"}
    return saved(Image.new("RGB", (60, 40), "red"), "JPEG", exif=exif)


def drawing(colour: str = "blue") -> bytes:
    return saved(Image.new("RGB", (30, 20), colour), "PNG")


def stored_bytes(home: Path) -> bytes:
    return b"".join(
        path.read_bytes() for folder in ("blobs", "thumbs") for path in (home / folder).rglob("*") if path.is_file()
    )


def grow_old(node: Node) -> None:
    for folder in ("blobs", "thumbs"):
        for path in (node.config.home / folder).rglob("*"):
            if path.is_file():
                os.utime(path, (0, 0))


def swept(node: Node, *, dry_run: bool = False) -> int:
    store = node._store
    with store._environment.read() as txn:
        return sweep(store.blobs, txn, older_than_s=3_600, dry_run=dry_run, thumbs=node.media._thumbs.folder).blocks


# -- posts


def test_a_post_shows_the_pictures_it_was_published_with(ann: Node, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(photograph(6))

    media = [ann.attach(tmp_path / "photo.jpg", "a red wall"), ann.attach(drawing())]
    shown = ann.post("Two pictures.", media)

    assert [(item.mime, item.alt, item.width, item.height) for item in shown.media] == [
        ("image/jpeg", "a red wall", 40, 60),
        ("image/png", "", 30, 20),
    ]
    for item in ann.timeline().items[0].media:
        assert item.is_local
        assert item.size == ann.media.size(item.cid)
        assert ann.media.type(item.cid) == item.mime
        assert ann.media.thumb(item.cid).startswith(b"RIFF")
    assert b"48.8583" in photograph(6)
    assert b"48.8583" not in stored_bytes(ann.config.home)
    assert b"Exif" not in stored_bytes(ann.config.home)


def test_a_reply_can_show_a_picture_and_a_post_can_be_a_picture_alone(ann: Node) -> None:
    root = ann.post("", [ann.attach(drawing(), "a blue field")])

    reply = ann.reply(root.id, "And mine.", [ann.attach(drawing("green"))])

    assert [item.alt for item in ann.thread(root.id).root.media] == ["a blue field"]  # type: ignore[union-attr]
    assert len(ann.show(reply.id).media) == 1


@pytest.mark.parametrize("data", [b"", b"<svg/>", b"\x89PNG\r\n\x1a\n", drawing()[:50]])
def test_what_is_no_picture_is_refused_and_leaves_nothing(ann: Node, data: bytes) -> None:
    with pytest.raises(ImageRefused):
        ann.attach(data)

    assert list(ann._store.blobs.iter_blocks()) == []


def test_a_file_that_cannot_be_read_is_named(ann: Node, tmp_path: Path) -> None:
    with pytest.raises(ImageRefused, match=r"nothing\.png"):
        ann.attach(tmp_path / "nothing.png")
    (tmp_path / "words.png").write_bytes(b"no picture")
    with pytest.raises(ImageRefused, match=r"words\.png: this file is no JPEG"):
        ann.attach(tmp_path / "words.png")


def test_an_alt_text_that_will_not_do_is_refused_before_anything_is_kept(ann: Node) -> None:
    with pytest.raises(MalformedRecord):
        ann.attach(drawing(), "a" * 100_000)

    assert list(ann._store.blobs.iter_blocks()) == []


def test_a_ninth_picture_is_refused_and_nothing_is_published(ann: Node) -> None:
    media = [ann.attach(drawing())] * 9
    before = ann.last_aid()

    with pytest.raises(MalformedRecord):
        ann.post("Too many.", media)

    assert ann.last_aid() == before


def test_what_is_not_here_cannot_be_published(ann: Node) -> None:
    gone = Media(cid_of_raw(b"elsewhere"), "image/png", 9, "")

    with pytest.raises(BlobMissing):
        ann.post(Post("Look.", media=(gone,)))


def test_a_deleted_post_shows_no_picture(ann: Node) -> None:
    shown = ann.post("Look.", [ann.attach(drawing())])

    ann.delete(shown.id)

    assert ann.show(shown.id).media == ()


def test_a_picture_that_has_not_come_is_told_by_its_words(
    ann: Node, new_node: Callable[[str], Node], tmp_path: Path
) -> None:
    bob = new_node("Bob")
    media = bob.attach(drawing(), "a blue field")
    bob.post("Look.", [media])
    bob.export_car(tmp_path / "bob.car")

    ann.follow(bob.account())
    ann.import_car(tmp_path / "bob.car")

    (item,) = ann.timeline().items[0].media
    assert (item.alt, item.is_local) == ("a blue field", False)
    with pytest.raises(BlobMissing):
        ann.media.thumb(item.cid)
    for block, _ in bob._store.blobs.iter_blocks():  # as if somebody had brought it
        ann._store.blobs.put_block(media.cid, bob._store.blobs.folder.read(block, max_bytes=2**20) or b"")
    assert ann.timeline().items[0].media[0].is_local
    assert ann.media.thumb(item.cid) == bob.media.thumb(item.cid)


def test_a_small_picture_that_was_lost_or_damaged_is_made_again(ann: Node) -> None:
    media = ann.attach(drawing())
    thumb = ann.media.thumb(media.cid)
    (path,) = [path for path in (ann.config.home / "thumbs").glob("??/*") if path.is_file()]

    path.write_bytes(path.read_bytes()[:-1])
    assert ann.media.thumb(media.cid) == thumb
    path.unlink()
    assert ann.media.thumb(media.cid) == thumb


def test_a_blob_that_is_no_picture_is_looked_at_once(ann: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    cid = cid_of_raw(b"GIF89a and nothing more")
    ann._store.blobs.put_block(cid, b"GIF89a and nothing more")
    with pytest.raises(ImageRefused):
        ann.media.thumb(cid)

    monkeypatch.setattr("unhush.node.pictures.media.draw_small", None)
    with pytest.raises(ImageRefused):
        ann.media.thumb(cid)


# -- portraits


def test_a_portrait_stays_when_the_rest_of_the_profile_changes_and_can_be_taken_away(ann: Node) -> None:
    media = ann.attach(drawing())

    assert ann.set_profile(avatar=media).avatar == media.cid
    assert ann.set_profile(bio="Tides and cables.").avatar == media.cid
    assert ann.portrait(ann.account()) == ann.media.thumb(media.cid)
    assert ann.drop_avatar().avatar is None
    assert ann.person(ann.account()).bio == "Tides and cables."
    assert ann.portrait(ann.account()) is None


def test_a_portrait_that_is_not_here_is_none(ann: Node) -> None:
    ann.set_profile(avatar=ann.attach(drawing()))
    for digest, _ in list(ann._store.blobs.iter_blocks()):
        ann._store.blobs.folder.remove(digest)
    for digest in list(ann.media._thumbs.folder.iter_digests()):
        ann.media._thumbs.folder.remove(digest)

    assert ann.portrait(ann.account()) is None


# -- sweeping


def test_a_sweep_takes_what_no_record_names_and_nothing_else(ann: Node) -> None:
    shown = ann.post("Look.", [ann.attach(drawing())])
    ann.set_profile(avatar=ann.attach(drawing("green")))
    left = ann.attach(drawing("red"))
    grow_old(ann)

    assert swept(ann, dry_run=True) == 2  # the picture, and the small one of it
    assert ann.media.has(left.cid)
    assert swept(ann) == 2
    assert not ann.media.has(left.cid)
    assert ann.show(shown.id).media[0].is_local
    assert ann.portrait(ann.account()) is not None
    assert swept(ann) == 0


def test_a_sweep_leaves_what_is_young(ann: Node) -> None:
    media = ann.attach(drawing())
    assert swept(ann) == 0

    grow_old(ann)
    ann.attach(drawing())  # the same again: it is young again
    assert swept(ann) == 0
    assert ann.post("Look.", [media]).media[0].is_local


def test_a_sweep_keeps_the_chunks_of_a_manifest_that_is_named_and_takes_those_of_one_that_is_not(ann: Node) -> None:
    blobs = ann._store.blobs
    with (ann.config.home / "named").open("wb+") as named, (ann.config.home / "other").open("wb+") as other:
        named.write(os.urandom(600_000))
        other.write(os.urandom(300_000))
        named.seek(0)
        other.seek(0)
        (kept, size), (gone, _) = blobs.put(named), blobs.put(other)
    ann.post(Post("A long file.", media=(Media(kept, "audio/ogg", size, ""),)))
    grow_old(ann)

    assert swept(ann) == 3  # a manifest and two chunks
    assert blobs.has(kept)
    assert not blobs.has(gone)


def test_a_sweep_keeps_what_is_left_of_a_damaged_block_while_somebody_wants_it(ann: Node) -> None:
    shown = ann.post("Look.", [ann.attach(drawing()), ann.attach(drawing("red"))])
    for path in (ann.config.home / "blobs").glob("??/*"):
        path.write_bytes(path.read_bytes() + b"?")
    assert len(list(ann._store.blobs.iter_damaged())) == 2
    aside = ann.config.home / "blobs" / "damaged"

    assert swept(ann) == 0
    assert len(list(aside.iterdir())) == 2
    ann.attach(drawing())  # a whole one has come
    assert swept(ann) == 1
    assert len(list(aside.iterdir())) == 1
    assert [item.is_local for item in ann.show(shown.id).media] == [True, False]


def test_what_the_fold_names_is_what_records_name(ann: Node) -> None:
    media = ann.attach(drawing())
    shown = ann.post("Look.", [media])

    with ann._store._environment.read() as txn:
        (key,) = [key for key, _ in txn.scan(Table.BLOB_REFS, media.cid.digest)]
    assert int.from_bytes(key[32:], "big") == shown.aid


# -- the command line


def test_the_command_line_posts_shows_and_saves_pictures(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    home = ["--home", str(tmp_path / "eve")]
    (tmp_path / "photo.jpg").write_bytes(photograph())
    (tmp_path / "plan.png").write_bytes(drawing())
    assert run([*home, "init", "--name", "Eve", "--no-passphrase"]) == 0
    photo, plan = str(tmp_path / "photo.jpg"), str(tmp_path / "plan.png")
    capfd.readouterr()

    assert run([*home, "post", "Look.", "--image", photo, "--alt", "a red wall", "--image", plan]) == 0
    record = capfd.readouterr().out.strip()
    assert run([*home, "timeline"]) == 0
    text = capfd.readouterr().out
    assert "[image: a red wall]" in text
    assert "not here" not in text
    assert run([*home, "show", record, "--json"]) == 0
    media = json.loads(capfd.readouterr().out)["media"]
    assert [(item["mime"], item["alt"], item["local"]) for item in media] == [
        ("image/jpeg", "a red wall", True),
        ("image/png", "", True),
    ]
    out = tmp_path / "saved.png"
    assert run([*home, "media", "save", record, "2", "-o", str(out)]) == 0
    assert Image.open(out).size == (30, 20)
    before = out.read_bytes()
    capfd.readouterr()
    assert run([*home, "media", "save", record, "1", "-o", str(out)]) == 1
    assert f"{out} is there already; nothing was changed" in capfd.readouterr().err
    assert out.read_bytes() == before
    assert run([*home, "media", "save", record, "1", "-o", str(out), "--force"]) == 0
    assert Image.open(out).format == "JPEG"
    assert run([*home, "media", "save", record, "3", "-o", str(tmp_path / "more")]) == 3
    assert run([*home, "profile", "set", "--avatar", plan]) == 0
    assert run([*home, "profile", "set", "--no-avatar"]) == 0
    assert run([*home, "post", "Look.", *["--image", plan] * 9]) == 2
    assert run([*home, "post", "Look.", "--alt", "of nothing"]) == 2
    assert run([*home, "post", "Look.", "--image", str(tmp_path / "eve" / "words.txt")]) == 1
    assert "JPEG, PNG, GIF or WebP" in capfd.readouterr().err
