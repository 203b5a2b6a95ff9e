"""Pictures that are made to hurt: each a file of at most 5 MiB, and what is wrong with it."""

import io
import struct
import zlib
from functools import cache
from typing import Final

from PIL import Image

_PNG: Final = b"\x89PNG\r\n\x1a\n"


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_header(width: int, height: int, *, depth: int = 8, colour: int = 2) -> bytes:
    return _PNG + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))


def png(width: int, height: int, data: bytes, *, depth: int = 8, colour: int = 2) -> bytes:
    return png_header(width, height, depth=depth, colour=colour) + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")


def saved(picture: Image.Image, form: str, **settings: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **settings)
    return file.getvalue()


@cache
def zeros(size: int) -> bytes:
    """``size`` zero bytes, squeezed some two hundred times, without ever holding them."""
    packer = zlib.compressobj(1)
    step = bytes(2**20)
    return b"".join(packer.compress(step) for _ in range(size // 2**20)) + packer.flush()


def gif(width: int, height: int, frames: int, frame: tuple[int, int] = (1, 1)) -> bytes:
    """An animation whose frames say less than they ask for."""
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(3) + b"\xff" * 3
    one = b"\x21\xf9\x04\x00\x01\x00\x00\x00" + b"," + struct.pack("<HHHHB", 0, 0, *frame, 0) + b"\x02\x02\x44\x01\x00"
    return head + one * frames + b";"


def jpeg_of(width: int, height: int) -> bytes:
    """A small photograph that says it is a large one."""
    data = bytearray(saved(Image.new("RGB", (16, 16), "red"), "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def webp_of(width: int, height: int) -> bytes:
    """A canvas of that size, and one small frame on it."""
    small = saved(Image.new("RGB", (2, 2)), "WEBP", lossless=True)[12:]
    canvas = b"VP8X" + struct.pack("<I", 10) + bytes(4) + (width - 1).to_bytes(3, "little")
    body = b"WEBP" + canvas + (height - 1).to_bytes(3, "little") + small
    return b"RIFF" + struct.pack("<I", len(body)) + body


@cache
def bombs() -> dict[str, bytes]:
    photograph = saved(Image.effect_noise((400, 300), 50).convert("RGB"), "JPEG")
    drawing = saved(Image.effect_noise((400, 300), 50), "PNG")
    many = [Image.new("1", (2000, 2000), number % 2) for number in range(20)]
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    tiff = saved(Image.new("RGB", (10, 10)), "TIFF")
    bitmap = saved(Image.new("RGB", (10, 10)), "BMP")
    return {
        "png of 50,000 × 50,000": png(50_000, 50_000, zeros(2**20)),
        "png of 2^31 a side": png(2**31 - 1, 2**31 - 1, b""),
        "png one pixel high and 2^30 wide": png(2**30, 1, zeros(2**20)),
        "png of no pixels": png(0, 0, b""),
        "png of 75 megabytes in 400 kilobytes": png(5_000, 5_000, zeros(75 * 2**20)),
        "png with a comment that unpacks to a quarter of a GiB": png_header(8, 8)
        + png_chunk(b"zTXt", b"Comment\x00\x00" + zeros(2**28))
        + png_chunk(b"IDAT", b"")
        + png_chunk(b"IEND", b""),
        "png of 200,000 empty pieces": png_header(4_000, 4_000) + png_chunk(b"IDAT", b"") * 200_000,
        "png with a piece that says it has 4 GiB": png_header(100, 100) + struct.pack(">I", 2**32 - 1) + b"IDAT",
        "png cut short": drawing[: len(drawing) // 2],
        "png with a wrong sum": drawing[:60] + bytes([drawing[60] ^ 255]) + drawing[61:],
        "jpeg of 65,535 × 65,535": jpeg_of(65_535, 65_535),
        "jpeg just too large": jpeg_of(4_097, 4_096),
        "jpeg cut short": photograph[: len(photograph) // 2],
        "jpeg of a head alone": photograph[:20],
        "jpeg with tiff behind": b"\xff\xd8\xff" + tiff,
        "gif of 65,535 × 65,535": gif(65_535, 65_535, 1),
        "gif of 200,000 frames": gif(1, 1, 200_000),
        "gif whose second frame is 65,535 × 65,535": gif(1, 1, 1)[:-1] + gif(1, 1, 1, (65_535, 65_535))[19:],
        "gif of 80 megapixels in 20 frames": saved(many[0], "GIF", save_all=True, append_images=many[1:]),
        "webp of 16,383 × 16,383": webp_of(16_383, 16_383),
        "webp of 2^24 a side": webp_of(2**24, 2**24),
        "webp that ends after its head": b"RIFF\xff\xff\xff\xffWEBPVP8 ",
        "svg": svg,
        "svg behind a png mark": _PNG + svg,
        "web page behind a gif mark": b"GIF89a<html><script>alert(1)</script>",
        "tiff": tiff,
        "bitmap": bitmap,
        "pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
        "zip": b"PK\x03\x04" + bytes(100),
        "avif": b"\x00\x00\x00\x1cftypavif" + bytes(100),
        "nothing": b"",
    }
