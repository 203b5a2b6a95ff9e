"""What a file is, by its first bytes: no name and no claim is believed.

Only what a browser draws without running anything is on the list. SVG, HTML
and PDF are documents and are not.
"""

from typing import Final

# Enough for the longest mark below.
MARK_BYTES: Final = 12


def find_image_type(head: bytes) -> str | None:
    """The media type of a picture that begins like this; None for everything else."""
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return None
