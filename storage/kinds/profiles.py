"""Profiles: who an account says it is; always the whole of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from unhush.identity.cid import Cid
from unhush.identity.codec import Value
from unhush.storage.errors import MalformedRecord
from unhush.storage.kinds.fields import (
    MAX_URL_BYTES,
    as_text,
    check_text,
    find_link,
    find_text,
    get_list,
    get_text,
)

MAX_NAME_BYTES: Final = 200
MAX_BIO_BYTES: Final = 5_000
MAX_LINKS: Final = 8  # and as many handles
MAX_HANDLE_BYTES: Final = 320  # the longest mail address; a name of a domain has 253


@dataclass(frozen=True, slots=True)
class Profile:
    """``avatar`` and ``banner`` are blobs; nobody has checked what ``links`` and ``handles`` claim."""

    name: str
    bio: str = ""
    avatar: Cid | None = None
    banner: Cid | None = None
    links: tuple[str, ...] = ()
    handles: tuple[str, ...] = ()

    kind: ClassVar[str] = "profile"

    def __post_init__(self) -> None:
        check_text("name", self.name, MAX_NAME_BYTES)
        check_text("bio", self.bio, MAX_BIO_BYTES)
        if max(len(self.links), len(self.handles)) > MAX_LINKS:
            raise MalformedRecord(f"a profile has at most {MAX_LINKS} links and {MAX_LINKS} handles")
        for link in self.links:
            check_text("link", link, MAX_URL_BYTES)
        for handle in self.handles:
            check_text("handle", handle, MAX_HANDLE_BYTES)

    @classmethod
    def parse(cls, fields: Mapping[str, Value]) -> "Profile":
        return cls(
            get_text(fields, "name"),
            find_text(fields, "bio") or "",
            find_link(fields, "avatar"),
            find_link(fields, "banner"),
            tuple(as_text("link", link) for link in get_list(fields, "links", MAX_LINKS)),
            tuple(as_text("handle", handle) for handle in get_list(fields, "handles", MAX_LINKS)),
        )

    def fields(self) -> dict[str, Value]:
        fields: dict[str, Value] = {
            "name": self.name,
            "bio": self.bio,
            "links": list(self.links),
            "handles": list(self.handles),
        }
        blobs = {"avatar": self.avatar, "banner": self.banner}
        return fields | {name: blob for name, blob in blobs.items() if blob is not None}
