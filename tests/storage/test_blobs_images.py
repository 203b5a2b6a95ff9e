"""Pictures: written anew without what came along with them, and nothing in one can hurt who opens it."""

import io
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from PIL import Image, ImageCms, ImageDraw, PngImagePlugin
from tests.support.bombs import bombs, png, png_chunk, saved, zeros

from unhush.storage.blobs import image_process, images
from unhush.storage.blobs.formats import find_image_type
from unhush.storage.blobs.images import MAX_IMAGE_BYTES, draw_small, remake_image
from unhush.storage.errors import BlobTooLarge, ImageRefused

MOVING = ("duration", "timestamp")  # what Pillow says of every WebP
SECRETS = (b"48.8583", b"GPS", b"PhoneMaker", b"Exif", b"the comment", b"xmp", b"ICC_PROFILE", b"iCCP", b"acsp", b"XMP")
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>xmp 48.8583</x:xmpmeta>"


def picture(width: int = 60, height: int = 40) -> Image.Image:
    """Black, with a red corner at the top left."""
    made = Image.new("RGB", (width, height))
    ImageDraw.Draw(made).rectangle((0, 0, width // 3, height // 3), fill="red")
    return made


def notes(orientation: int = 1) -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F] = "PhoneMaker"
    exif[0x0112] = orientation
    exif[0x8825] = {1: "N", 2: (48.0, 51.0, 29.88), 29: "48.8583"}
    return exif


def profile(space: str = "sRGB") -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(space)).tobytes()


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def is_red(pixel: object) -> bool:
    assert isinstance(pixel, tuple)
    return pixel[0] > 180 and pixel[1] < 80 and pixel[2] < 80


# -- what comes out


@pytest.mark.parametrize(
    ("form", "mime"), [("JPEG", "image/jpeg"), ("PNG", "image/png"), ("WEBP", "image/webp"), ("GIF", "image/png")]
)
def test_a_picture_stays_the_picture_it_was(form: str, mime: str) -> None:
    made = remake_image(saved(picture(), form))

    again = opened(made.data)
    assert (made.mime, made.width, made.height) == (mime, 60, 40)
    assert again.size == (60, 40)
    assert is_red(again.convert("RGB").getpixel((5, 5)))
    assert again.convert("RGB").getpixel((55, 35)) in [(number, number, number) for number in range(6)]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_nothing_that_came_along_with_a_picture_is_in_what_is_kept(form: str) -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Comment", "the comment")
    settings: dict[str, dict[str, object]] = {
        "JPEG": {"comment": b"the comment", "xmp": XMP, "dpi": (72, 72)},
        "PNG": {"pnginfo": texts},
        "WEBP": {"xmp": XMP},
    }
    data = saved(picture(), form, exif=notes(), icc_profile=profile(), **settings[form])
    assert sum(secret in data for secret in SECRETS) >= 3  # it was there to begin with

    made = remake_image(data)

    for kept in (made.data, made.thumb):
        assert [secret for secret in SECRETS if secret in kept] == []
        assert set(opened(kept).info) <= {
            "jfif",
            "jfif_version",
            "jfif_unit",
            "jfif_density",
            "loop",
            "background",
            *MOVING,
        }
        assert not opened(kept).getexif()


def test_bytes_behind_a_picture_are_not_kept() -> None:
    made = remake_image(saved(picture(), "JPEG") + b"<script>alert(1)</script>" + bytes(1_000))

    assert b"script" not in made.data


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_the_camera_was_held(orientation: int) -> None:
    """Where the red corner is to be after turning, by the definition of the tag."""
    right, bottom = {1: (0, 0), 2: (1, 0), 3: (1, 1), 4: (0, 1), 5: (0, 0), 6: (1, 0), 7: (1, 1), 8: (0, 1)}[
        orientation
    ]

    made = remake_image(saved(picture(), "JPEG", exif=notes(orientation), quality=95))

    size = (60, 40) if orientation < 5 else (40, 60)
    assert (made.width, made.height) == size
    for data in (made.data, made.thumb):
        image = opened(data).convert("RGB")
        assert image.size == size
        corners = {
            (x, y): image.getpixel((x * (size[0] - 4) + 1, y * (size[1] - 4) + 1)) for x in (0, 1) for y in (0, 1)
        }
        assert [corner for corner, pixel in corners.items() if is_red(pixel)] == [(right, bottom)]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_kind_of_pixel_is_taken(mode: str) -> None:
    made = remake_image(saved(picture().convert("L" if mode == "I;16" else "RGB").convert(mode), "PNG"))

    assert opened(made.data).mode in ("L", "RGB", "RGBA")


def test_what_is_transparent_stays_so() -> None:
    clear = picture().convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))

    made = remake_image(saved(clear, "PNG"))

    assert opened(made.data).getchannel("A").getpixel((30, 0)) < 10  # type: ignore[operator]  # one number
    assert opened(made.thumb).mode == "RGBA"


def test_colours_of_another_space_are_told_in_srgb() -> None:
    """Print colours with their own profile, and a profile that is none: both come out as plain RGB."""
    for data in (
        saved(picture().convert("CMYK"), "JPEG"),
        saved(picture(), "JPEG", icc_profile=b"no profile at all"),
        saved(picture(), "PNG", icc_profile=profile()),
    ):
        made = opened(remake_image(data).data)
        assert made.mode == "RGB"
        assert is_red(made.getpixel((5, 5)))


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
def test_an_animation_goes_on_moving(form: str) -> None:
    frames = [Image.new("RGB", (30, 20), colour) for colour in ("red", "lime", "blue")]

    made = remake_image(saved(frames[0], form, save_all=True, append_images=frames[1:], duration=200))

    again = opened(made.data)
    assert made.mime == "image/webp"
    assert again.n_frames == 3  # type: ignore[attr-defined]  # of animations
    again.seek(1)
    assert again.convert("RGB").getpixel((9, 9))[1] > 200  # type: ignore[index]  # a pixel of three colours
    assert getattr(opened(made.thumb), "n_frames", 1) == 1


def test_the_second_picture_in_a_photograph_is_no_animation() -> None:
    data = saved(picture(), "MPO", save_all=True, append_images=[Image.new("RGB", (60, 40), "blue")])

    made = remake_image(data)

    assert made.mime == "image/jpeg"
    assert is_red(opened(made.data).getpixel((5, 5)))


@pytest.mark.parametrize("size", [(4_096, 4_096), (1, 1), (16_383, 1)])
def test_the_largest_and_smallest_pictures_are_taken_and_the_small_one_is_small(size: tuple[int, int]) -> None:
    made = remake_image(saved(Image.new("L", size, 7), "PNG"))

    assert (made.width, made.height) == size
    assert max(opened(made.thumb).size) <= image_process.THUMB_SIDE


def test_a_drawing_that_would_be_too_long_is_kept_with_a_little_loss() -> None:
    noise = Image.frombytes("P", (1_900, 1_900), os.urandom(1_900 * 1_900))
    noise.putpalette([100 + byte % 40 for byte in os.urandom(768)])
    data = saved(noise, "PNG")
    assert len(data) < MAX_IMAGE_BYTES < len(saved(noise.convert("RGB"), "PNG", compress_level=1))

    made = remake_image(data)

    assert made.mime == "image/webp"
    assert len(made.data) <= MAX_IMAGE_BYTES


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF"])
def test_a_small_picture_can_be_had_alone(form: str) -> None:
    moving = {"save_all": True, "append_images": [Image.new("RGB", (900, 600))]} if form == "GIF" else {}
    small = opened(draw_small(saved(picture(900, 600), form, **moving)))

    assert small.size == (640, 427)
    assert getattr(small, "n_frames", 1) == 1
    assert is_red(small.convert("RGB").getpixel((5, 5)))


# -- what is refused


def memory_of_this_process() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no memory in /proc")


def test_no_bomb_is_taken_hangs_or_costs_this_process_memory() -> None:
    made = bombs()
    assert len(made) >= 20
    remake_image(saved(picture(), "PNG"))  # what is loaded once is not the bombs' doing
    before = memory_of_this_process()
    most = before
    spent_s = {}
    for name, bomb in made.items():
        assert len(bomb) <= MAX_IMAGE_BYTES, name
        began = time.monotonic()
        with pytest.raises(ImageRefused) as raised:
            remake_image(bomb)
        assert str(raised.value), name
        spent_s[name] = time.monotonic() - began
        most = max(most, memory_of_this_process())

    assert most - before <= 30 * 2**20
    assert max(spent_s.values()) < images.TIMEOUT_S


def test_a_file_that_is_too_long_is_refused_before_anything_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)

    with pytest.raises(BlobTooLarge, match="5 MiB"):
        remake_image(saved(picture(), "PNG") + bytes(MAX_IMAGE_BYTES))


@pytest.mark.parametrize("place", ["note", "pixels"])
def test_what_unpacks_without_end_in_a_small_picture_is_not_unpacked(place: str) -> None:
    data = saved(picture(), "PNG")
    squeezed = zeros(2**28)
    note = data[:33] + png_chunk(b"zTXt", b"note\x00\x00" + squeezed) + data[33:]
    pixels = png(60, 40, squeezed)
    before = memory_of_this_process()

    if place == "note":
        with pytest.raises(ImageRefused):
            remake_image(note)
    else:
        assert len(remake_image(pixels).data) < 1_000  # what goes beyond the last line is left
    assert memory_of_this_process() - before <= 30 * 2**20


def a_program(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "program.py"
    path.write_text(text)
    return path


SAYS: dict[str, str] = {
    "nothing": "",
    "noise": "sys.stdout.buffer.write(bytes(range(256)) * 99)",
    "a head without a body": "sys.stdout.buffer.write(struct.pack('<c16sIIII', b'D', b'image/png', 9, 9, 9, 9))",
    "more than there can be": "sys.stdout.buffer.write(bytes(20 * 2**20))",
    "a web page": "sys.stdout.buffer.write(struct.pack('<c16sIIII', b'D', b'text/html', 9, 9, 6, 12)"
    " + b'<html>' + b'RIFF....WEBP')",
    "a web page as picture": "sys.stdout.buffer.write(struct.pack('<c16sIIII', b'D', b'image/png', 9, 9, 6, 12)"
    " + b'<html>' + b'RIFF....WEBP')",
    "a size of no pixels": "sys.stdout.buffer.write(struct.pack('<c16sIIII', b'D', b'image/gif', 0, 9, 6, 12)"
    " + b'GIF89a' + b'RIFF....WEBP')",
}


@pytest.mark.parametrize("what", SAYS)
def test_a_process_that_was_taken_over_says_nothing_we_believe(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = a_program(tmp_path, f"import struct, sys\nsys.stdin.buffer.read()\n{SAYS[what]}\n")
    monkeypatch.setattr(images, "_PROGRAM", program)

    with pytest.raises(ImageRefused):
        remake_image(saved(picture(), "PNG"))


@pytest.mark.parametrize("how", ["reads nothing", "says nothing"])
def test_a_process_that_hangs_is_ended(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading = "sys.stdin.buffer.read()" if how == "says nothing" else ""
    program = a_program(tmp_path, f"import sys, time\n{reading}\ntime.sleep(600)\n")
    monkeypatch.setattr(images, "_PROGRAM", program)
    monkeypatch.setattr(images, "TIMEOUT_S", 0.5)
    noise = saved(Image.frombytes("RGB", (700, 700), os.urandom(1_470_000)), "PNG")  # more than a pipe holds

    with pytest.raises(ImageRefused, match="time or memory"):
        remake_image(noise)


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("open('/etc/hostname').read()", "OSError"),
        ("open('/tmp/unhush-test', 'w')", "OSError"),
        ("__import__('socket').socket()", "OSError"),
        ("os.pipe()", "OSError"),
        ("bytearray(2**30)", "MemoryError"),
    ],
)
def test_the_process_has_given_up_what_a_picture_does_not_need(what: str, error: str) -> None:
    code = (
        "import os, runpy, socket, sys\n"
        f"program = runpy.run_path({str(images._PROGRAM)!r})\n"
        "program['shut_doors']()\n"
        f"try:\n    {what}\nexcept {error} as refused:\n    print('refused')\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)

    assert ran.stdout == "refused\n", ran.stderr


def test_the_process_sees_no_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNHUSH_SECRET", "the passphrase")
    monkeypatch.setattr(
        images,
        "_PROGRAM",
        a_program(tmp_path, "import os, sys\nsys.stdout.write('R' + str(sorted(os.environ)) + os.getcwd())\n"),
    )

    with pytest.raises(ImageRefused) as raised:
        remake_image(saved(picture(), "PNG"))

    assert "UNHUSH" not in str(raised.value)
    assert "PATH" not in str(raised.value)
    assert str(raised.value).endswith("/")


def test_both_ends_mean_the_same_bytes() -> None:
    assert images._ANSWER.format == image_process.ANSWER.format
    assert (images._DONE, images._REFUSED) == (image_process.DONE, image_process.REFUSED)
    assert (images.MAX_IMAGE_BYTES, images.MAX_SIDE) == (image_process.MAX_INPUT_BYTES, image_process.MAX_SIDE)
    assert image_process.MAX_OUTPUT_BYTES == images.MAX_IMAGE_BYTES


def test_pictures_can_be_opened_from_several_threads() -> None:
    data, results = saved(picture(), "PNG"), []

    def work() -> None:
        results.append(remake_image(data).data)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(results) == 6
    assert len(set(results)) == 1


@pytest.mark.parametrize(
    ("head", "mime"),
    [
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"GIF87a", "image/gif"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBP", "image/webp"),
        (b"RIFF\x00\x00\x00\x00WAVE", None),
        (b"<svg ", None),
        (b"<!doctype html>", None),
        (b"%PDF-1.7", None),
        (b"II*\x00", None),
        (b"", None),
    ],
)
def test_a_type_is_what_the_first_bytes_say(head: bytes, mime: str | None) -> None:
    assert find_image_type(head) == mime
