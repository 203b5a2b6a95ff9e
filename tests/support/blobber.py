"""A process that takes blobs in: ``home import`` until it is killed, ``home again`` what is there already,
``home limited`` where files may not grow."""

import io
import os
import resource
import sys
from itertools import count
from pathlib import Path
from typing import Final

from unhush.storage.blobs.blobs import Blobs
from unhush.storage.blobs.manifest import CHUNK_BYTES
from unhush.storage.errors import StoreFull

AGAIN: Final = 150


def content(number: int) -> bytes:
    return f"blob {number}".encode() * 100


def main() -> None:
    home, way = sys.argv[1:]
    blobs = Blobs(Path(home))
    if way == "limited":
        resource.setrlimit(resource.RLIMIT_FSIZE, (CHUNK_BYTES // 2, CHUNK_BYTES // 2))
        try:
            blobs.put(io.BytesIO(bytes(2 * CHUNK_BYTES)))
        except StoreFull as error:
            print(type(error).__name__, flush=True)
        return
    if way == "again":
        for number in range(AGAIN):
            cid, _ = blobs.put(io.BytesIO(content(number)))
            print(cid, flush=True)
        return
    for number in count():
        cid, size = blobs.put(io.BytesIO(os.urandom(CHUNK_BYTES * (number % 3) + 1_000)))
        print(cid.bytes.hex(), size, flush=True)


if __name__ == "__main__":
    main()
