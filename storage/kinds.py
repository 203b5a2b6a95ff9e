"""Record kinds of version 1: bodies parsed into values, and values into bodies (PROTOCOL §4).

``parse_body`` raises ``MalformedRecord`` for a body that breaks its kind's
rules; such a record is kept and served, and shown as an unknown kind. Building
goes through the same values, so what we publish is what others accept. Unknown
fields are ignored here and kept in the stored bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from unhush.identity.cid import Cid
from unhush.identity.codec import Value
from unhush.storage.errors import MalformedRecord

MAX_TEXT_BYTES: Final = 49_152
MAX_TITLE_BYTES: Final = 300
MAX_LANG_BYTES: Final = 35  # the longest tag BCP 47 asks software to keep
MAX_TAGS: Final = 16
MAX_TAG_BYTES: Final = 64
MAX_MENTIONS: Final = 32
MAX_MEDIA: Final = 8
MAX_LINKS: Final = 8  # of a profile, and as many handles
MAX_NAME_BYTES: Final = 200
MAX_BIO_BYTES: Final = 5_000

POST: Final = "post"
PROFILE: Final = "profile"
FOLLOW: Final = "follow"
DELETE: Final = "delete"


@dataclass(frozen=True, slots=True)
class Reply:
    """Where a post answers; accounts only say whom to ask for the records."""

    root: Cid
    parent: Cid
    root_account: Cid
    parent_account: Cid

    def __post_init__(self) -> None:
        for link in (self.root, self.parent, self.root_account, self.parent_account):
            _check_link("reply", link)


@dataclass(frozen=True, slots=True)
class Post:
    text: str
    title: str | None = None
    lang: str | None = None
    reply: Reply | None = None
    tags: tuple[str, ...] = ()
    mentions: tuple[Cid, ...] = ()
    warning: str | None = None

    kind = POST

    def __post_init__(self) -> None:
        _check_text("text", self.text, MAX_TEXT_BYTES)
        for name, text, most in (
            ("title", self.title, MAX_TITLE_BYTES),
            ("lang", self.lang, MAX_LANG_BYTES),
            ("warning", self.warning, MAX_TITLE_BYTES),
        ):
            if text is not None:
                _check_text(name, text, most)
        if len(self.tags) > MAX_TAGS or len(self.mentions) > MAX_MENTIONS:
            raise MalformedRecord(f"a post has at most {MAX_TAGS} tags and {MAX_MENTIONS} mentions")
        for tag in self.tags:
            _check_text("tag", tag, MAX_TAG_BYTES)
        for mention in self.mentions:
            _check_link("mention", mention)

    def fields(self) -> dict[str, Value]:
        optional = {"title": self.title, "lang": self.lang, "warning": self.warning}
        fields: dict[str, Value] = {"text": self.text}
        fields |= {name: text for name, text in optional.items() if text is not None}
        if self.tags:
            fields["tags"] = list(self.tags)
        if self.mentions:
            fields["mentions"] = list(self.mentions)
        if self.reply is not None:
            fields["reply"] = {
                "root": self.reply.root,
                "parent": self.reply.parent,
                "root_account": self.reply.root_account,
                "parent_account": self.reply.parent_account,
            }
        return fields


@dataclass(frozen=True, slots=True)
class Profile:
    name: str
    bio: str = ""

    kind = PROFILE

    def __post_init__(self) -> None:
        _check_text("name", self.name, MAX_NAME_BYTES)
        _check_text("bio", self.bio, MAX_BIO_BYTES)

    def fields(self) -> dict[str, Value]:
        return {"name": self.name, "bio": self.bio, "links": [], "handles": []}


@dataclass(frozen=True, slots=True)
class Follow:
    who: Cid

    kind = FOLLOW

    def __post_init__(self) -> None:
        _check_link("who", self.who)

    def fields(self) -> dict[str, Value]:
        return {"who": self.who}


@dataclass(frozen=True, slots=True)
class Delete:
    of: Cid

    kind = DELETE

    def __post_init__(self) -> None:
        _check_link("of", self.of)

    def fields(self) -> dict[str, Value]:
        return {"of": self.of}


Body: TypeAlias = Post | Profile | Follow | Delete


def parse_body(kind: str, fields: Mapping[str, Value]) -> Body | None:
    """The value of a body, None for a kind we do not know; raises ``MalformedRecord``."""
    match kind:
        case "post":
            return _parse_post(fields)
        case "profile":
            return _parse_profile(fields)
        case "follow":
            return Follow(_link(fields, "who"))
        case "delete":
            return Delete(_link(fields, "of"))
        case _:
            return None


def _parse_post(fields: Mapping[str, Value]) -> Post:
    text = _text(fields, "text")
    if text is None:
        raise MalformedRecord("a post has a text")
    tags, mentions = _list(fields, "tags", MAX_TAGS), _list(fields, "mentions", MAX_MENTIONS)
    if not all(isinstance(item, dict) for item in _list(fields, "media", MAX_MEDIA)):
        raise MalformedRecord("an item of media is a map")
    return Post(
        text,
        title=_text(fields, "title"),
        lang=_text(fields, "lang"),
        reply=_parse_reply(fields["reply"]) if "reply" in fields else None,
        tags=tuple(_as_text("tag", tag) for tag in tags),
        mentions=tuple(_as_link("mention", mention) for mention in mentions),
        warning=_text(fields, "warning"),
    )


def _parse_profile(fields: Mapping[str, Value]) -> Profile:
    name = _text(fields, "name")
    if name is None:
        raise MalformedRecord("a profile has a name")
    _list(fields, "links", MAX_LINKS)
    _list(fields, "handles", MAX_LINKS)
    return Profile(name, _text(fields, "bio") or "")


def _parse_reply(value: Value) -> Reply:
    if not isinstance(value, dict):
        raise MalformedRecord("reply is a map of root, parent and their accounts")
    return Reply(*(_link(value, name) for name in ("root", "parent", "root_account", "parent_account")))


def _text(fields: Mapping[str, Value], name: str) -> str | None:
    return _as_text(name, fields[name]) if name in fields else None


def _list(fields: Mapping[str, Value], name: str, most: int) -> list[Value]:
    value = fields.get(name, [])
    if not isinstance(value, list) or len(value) > most:
        raise MalformedRecord(f"{name} is no list of at most {most}")
    return value


def _link(fields: Mapping[str, Value], name: str) -> Cid:
    return _as_link(name, fields.get(name))


def _as_text(name: str, value: Value) -> str:
    if not isinstance(value, str):
        raise MalformedRecord(f"{name} is no text")
    return value


def _as_link(name: str, value: Value) -> Cid:
    if not isinstance(value, Cid):
        raise MalformedRecord(f"{name} is no link")
    return value


def _check_link(name: str, link: Cid) -> None:
    if not link.is_dag_cbor:
        raise MalformedRecord(f"{name} links to a raw block, not to a record")


def _check_text(name: str, text: str, most: int) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError as exc:
        raise MalformedRecord(f"{name} is not valid Unicode text") from exc
    if size > most:
        raise MalformedRecord(f"{name} has {size:,} bytes, at most {most:,} are allowed")
