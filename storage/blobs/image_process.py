"""Open one picture and write it anew: the program of the process that does it.

It is run by its path, reads a picture from its input and answers on its output
(``images.py`` is the other end), and imports nothing of ours. Decoders are the
code most often broken by a hostile file, so this process can do nothing else:
before the first byte is read it has given up opening files and sockets,
starting programs, and more memory and time than a picture takes.

What is written anew is pixels: turned the way they are looked at, their colours
brought to sRGB, and nothing that came along with them (place, camera, comments,
profiles, previews).
"""

import ctypes
import io
import resource
import struct
import sys
import warnings
from typing import Final

from PIL import (
    GifImagePlugin,
    Image,
    ImageCms,
    ImageFile,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

# Everything is loaded before the doors are shut; the names keep the linter from thinking it idle.
_LOADED: Final = (GifImagePlugin, JpegImagePlugin, MpoImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin)

MAX_INPUT_BYTES: Final = 5 * 2**20
MAX_OUTPUT_BYTES: Final = 5 * 2**20
MAX_PIXELS: Final = 16 * 2**20  # 4,096 × 4,096
MAX_SIDE: Final = 16_383  # what WebP can say
MAX_FRAMES: Final = 256
MAX_FRAME_PIXELS: Final = 32 * 2**20  # of all frames together: eight seconds of 500 × 300 at 24 a second, and some
THUMB_SIDE: Final = 640
# 16 Mpx take 64 MiB with four channels; three copies at a time, the encoder's own, and the libraries.
MEMORY_BYTES: Final = 768 * 2**20
CPU_S: Final = 20

# Input type → Pillow's name for it; nothing else is ever tried.
FORMATS: Final = {"image/jpeg": "JPEG", "image/png": "PNG", "image/gif": "GIF", "image/webp": "WEBP"}
# Answer: status, type, width, height, length of the picture, length of the small one; then both. Or a status and a
# sentence.
ANSWER: Final = struct.Struct("<c16sIIII")
DONE: Final = b"D"
REFUSED: Final = b"R"

_ORIENTATION: Final = 0x0112
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# The best that stays below the bound; somebody who squeezed a picture harder than that loses little more.
_QUALITIES: Final = (88, 75, 50)
_ANIMATION_QUALITY: Final = 80
_THUMB_QUALITY: Final = 80


class Refusal(Exception):
    """Why a picture is not taken; the sentence is for the person who gave it."""


def main() -> None:
    media_type, size = sys.argv[1:]
    rehearse()
    shut_doors()
    data = sys.stdin.buffer.read(MAX_INPUT_BYTES + 1)
    try:
        answer = SIZES[size](data, media_type)
    except Refusal as refusal:
        answer = REFUSED + str(refusal).encode()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        answer = REFUSED + f"it has more than {MAX_PIXELS // 2**20} megapixels".encode()
    except UnidentifiedImageError:
        answer = REFUSED + b"it is broken"
    except MemoryError:
        answer = REFUSED + b"it takes more memory than a picture may"
    except Exception as exc:  # noqa: BLE001  # Pillow raises a dozen kinds for broken files; all mean the same
        answer = REFUSED + f"it is broken: {exc}"[:200].encode(errors="replace")
    sys.stdout.buffer.write(answer)
    sys.stdout.buffer.flush()


def rehearse() -> None:
    """Once through everything with a picture of our own, to load now what cannot be loaded later."""
    Image.preinit()
    one, other = (Image.new("RGB", (2, 2), colour) for colour in ("red", "blue"))
    notes = Image.Exif()
    notes[_ORIENTATION] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for form, media_type in (("JPEG", "image/jpeg"), ("PNG", "image/png"), ("WEBP", "image/webp")):
        file = io.BytesIO()
        one.save(file, form, exif=notes, icc_profile=profile)
        remake(file.getvalue(), media_type)
    file = io.BytesIO()
    one.save(file, "GIF", save_all=True, append_images=[other])
    remake(file.getvalue(), "image/gif")


def shut_doors() -> None:
    """Give up what a picture does not need, for good."""
    for limit, value in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, 0),  # input and output stay open; no file or socket can be opened beside them
    ):
        hard = resource.getrlimit(limit)[1]
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (most, most))
    libc = ctypes.CDLL(None)
    if hasattr(libc, "prctl"):  # Linux
        libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
        libc.prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE: no memory in core files, none for a debugger


def remake(data: bytes, media_type: str) -> bytes:
    """The answer for a picture; raises ``Refusal`` and whatever Pillow does."""
    with opened(data, media_type) as source:
        # A photograph may bring a second one along (depth, brightness); that is no animation.
        if media_type != "image/jpeg" and getattr(source, "is_animated", False):
            return remake_animation(source)
        picture = decoded(source)
    made, made_type = encoded(picture, media_type)
    return packed(made_type, picture.size, made, thumb_of(picture))


def draw_small(data: bytes, media_type: str) -> bytes:
    """The same for a small picture alone; of an animation it shows the first frame."""
    with opened(data, media_type) as source:
        picture = decoded(source)
    small = thumb_of(picture)
    return packed("image/webp", picture.size, small, small)


def opened(data: bytes, media_type: str) -> Image.Image:
    if len(data) > MAX_INPUT_BYTES:
        raise Refusal(f"it has more than {MAX_INPUT_BYTES // 2**20} MiB")
    # We judge sizes ourselves, before anything is decoded; Pillow's own guard stands behind. Half a picture is none.
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    source = Image.open(io.BytesIO(data), formats=[FORMATS[media_type]])
    check_size(*source.size)
    return source


def decoded(source: Image.Image) -> Image.Image:
    source.load()
    check_size(*source.size)
    return upright(to_srgb(source), source)


def check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        most = f"{MAX_PIXELS // 2**20} megapixels, {MAX_SIDE:,} on a side"
        raise Refusal(f"it is {width:,} × {height:,} pixels; at most {most}")
    if not width * height:
        raise Refusal("it has no pixels")


def to_srgb(source: Image.Image) -> Image.Image:
    """A copy of the pixels in a plain mode, with nothing attached."""
    mode = source.mode
    has_alpha = mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in source.info
    if mode.startswith(("I", "F")):  # 16 bits a pixel; 8 are what is looked at
        picture = source.convert("I").point(lambda value: value / 256).convert("L")
    elif mode in ("1", "L") and not has_alpha:
        picture = source.convert("L")
    elif has_alpha:
        picture = source.convert("RGBA")
    else:
        picture = in_srgb(source) if mode in ("RGB", "CMYK") else source.convert("RGB")
    if mode == "RGBA" and has_alpha:
        picture = with_alpha_in_srgb(picture, source)
    bare = Image.new(picture.mode, picture.size)
    bare.paste(picture)
    return bare


def in_srgb(source: Image.Image) -> Image.Image:
    """Colours of another space, as phones write them, told in sRGB; the profile is not kept."""
    profile = source.info.get("icc_profile")
    if profile:
        try:
            converted = ImageCms.profileToProfile(
                source, io.BytesIO(profile), ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            converted = None  # a profile that is none changes nothing
        if converted is not None:
            return converted
    return source.convert("RGB")


def with_alpha_in_srgb(picture: Image.Image, source: Image.Image) -> Image.Image:
    colours = picture.convert("RGB")
    colours.info["icc_profile"] = source.info.get("icc_profile")
    result = in_srgb(colours).convert("RGBA")
    result.putalpha(picture.getchannel("A"))
    return result


def upright(picture: Image.Image, source: Image.Image) -> Image.Image:
    """Turned as the camera was held."""
    try:
        turn = _TURNS.get(source.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001  # as with the picture itself: notes that cannot be read say nothing
        return picture
    return picture.transpose(turn) if turn is not None else picture


def encoded(picture: Image.Image, media_type: str) -> tuple[bytes, str]:
    """The picture anew: photographs as photographs, drawings without loss if that is not too long."""
    if media_type in ("image/png", "image/gif"):
        made = saved(picture, "PNG")
        if len(made) <= MAX_OUTPUT_BYTES:
            return made, "image/png"
        media_type = "image/webp"
    for quality in _QUALITIES:
        made = saved(picture, FORMATS[media_type], quality=quality)
        if len(made) <= MAX_OUTPUT_BYTES:
            return made, media_type
    raise too_long()


def too_long() -> Refusal:
    return Refusal(f"written anew it has more than {MAX_OUTPUT_BYTES // 2**20} MiB")


def saved(picture: Image.Image, form: str, **settings: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **settings)
    return file.getvalue()


def remake_animation(source: Image.Image) -> bytes:
    """Every animation becomes a WebP, drawn frame by frame under one bound for all of them."""
    width, height = source.size
    frames = getattr(source, "n_frames", 1)
    if frames > MAX_FRAMES or frames * width * height > MAX_FRAME_PIXELS:
        most = f"{MAX_FRAMES} frames and {MAX_FRAME_PIXELS // 2**20} megapixels in all"
        raise Refusal(f"it is an animation of {frames:,} frames of {width:,} × {height:,}; at most {most}")
    pictures: list[Image.Image] = []
    lasting_ms: list[int] = []
    for index in range(frames):
        source.seek(index)
        check_size(*source.size)  # a frame may stand out of the first and make the whole larger
        bare = Image.new("RGBA", (width, height))
        bare.paste(source.convert("RGBA"))
        pictures.append(bare)
        lasting_ms.append(min(max(int(source.info.get("duration") or 100), 20), 60_000))
    file = io.BytesIO()
    pictures[0].save(
        file,
        "WEBP",
        save_all=True,
        append_images=pictures[1:],
        duration=lasting_ms,
        loop=0,
        quality=_ANIMATION_QUALITY,
        method=2,
    )
    made = file.getvalue()
    if len(made) > MAX_OUTPUT_BYTES:
        raise too_long()
    return packed("image/webp", (width, height), made, thumb_of(pictures[0]))


def thumb_of(picture: Image.Image) -> bytes:
    """The first look at it: 640 pixels on its longer side at most."""
    small = picture.convert("RGBA" if picture.mode == "RGBA" else "RGB")
    small.thumbnail((THUMB_SIDE, THUMB_SIDE))
    return saved(small, "WEBP", quality=_THUMB_QUALITY)


def packed(media_type: str, size: tuple[int, int], made: bytes, small: bytes) -> bytes:
    return ANSWER.pack(DONE, media_type.encode(), *size, len(made), len(small)) + made + small


SIZES: Final = {"whole": remake, "small": draw_small}


if __name__ == "__main__":
    main()
