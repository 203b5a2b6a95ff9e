"""Record kinds of version 1: bodies parsed into values, and values into bodies (PROTOCOL §4).

``parse_body`` raises ``MalformedRecord`` for a body that breaks its kind's
rules; such a record is kept and served, and shown as an unknown kind. Building
goes through the same values, so what we publish is what others accept. Unknown
fields are ignored here and kept in the stored bytes.
"""

from collections.abc import Mapping
from typing import Final, TypeAlias

from unhush.identity.codec import Value
from unhush.storage.kinds.acts import Block, Delete, Follow, Keeper, React, Repost
from unhush.storage.kinds.labels import Label, Rebuttal
from unhush.storage.kinds.posts import Edit, Imported, Media, Post, Quote, Reply
from unhush.storage.kinds.profiles import Profile

POST: Final = Post.kind
EDIT: Final = Edit.kind
DELETE: Final = Delete.kind
REPOST: Final = Repost.kind
REACT: Final = React.kind
FOLLOW: Final = Follow.kind
KEEPER: Final = Keeper.kind
BLOCK: Final = Block.kind
PROFILE: Final = Profile.kind
LABEL: Final = Label.kind
REBUTTAL: Final = Rebuttal.kind

Body: TypeAlias = Post | Edit | Delete | Repost | React | Follow | Keeper | Block | Profile | Label | Rebuttal

_KINDS: Final[Mapping[str, type[Body]]] = {
    body.kind: body for body in (Post, Edit, Delete, Repost, React, Follow, Keeper, Block, Profile, Label, Rebuttal)
}

__all__ = [
    "BLOCK",
    "DELETE",
    "EDIT",
    "FOLLOW",
    "KEEPER",
    "LABEL",
    "POST",
    "PROFILE",
    "REACT",
    "REBUTTAL",
    "REPOST",
    "Block",
    "Body",
    "Delete",
    "Edit",
    "Follow",
    "Imported",
    "Keeper",
    "Label",
    "Media",
    "Post",
    "Profile",
    "Quote",
    "React",
    "Rebuttal",
    "Reply",
    "Repost",
    "parse_body",
]


def parse_body(kind: str, fields: Mapping[str, Value]) -> Body | None:
    """The value of a body, None for a kind we do not know; raises ``MalformedRecord``."""
    known = _KINDS.get(kind)
    return known.parse(fields) if known is not None else None
