"""Posts and their edits: text, what it answers or quotes, and the blobs that go with it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from dataclasses import fields as dataclass_fields
from typing import ClassVar, Final

from unhush.identity.cid import Cid
from unhush.identity.codec import Value
from unhush.storage.errors import MalformedRecord
from unhush.storage.kinds.fields import (
    MAX_TEXT_BYTES,
    MAX_URL_BYTES,
    as_link,
    as_map,
    as_text,
    check_int,
    check_link,
    check_text,
    find_int,
    find_text,
    get_int,
    get_link,
    get_list,
    get_text,
)

MAX_TITLE_BYTES: Final = 300  # and of a warning
MAX_LANG_BYTES: Final = 35  # the longest tag BCP 47 asks software to keep
MAX_TAGS: Final = 16
MAX_TAG_BYTES: Final = 64
MAX_MENTIONS: Final = 32
MAX_MEDIA: Final = 8
MAX_MIME_BYTES: Final = 255  # two names of 127 and a slash (RFC 6838)
MAX_ALT_BYTES: Final = 5_000  # as a bio; PROTOCOL names no bound
MAX_SOURCE_BYTES: Final = 300  # of something imported, and of its id there
_MAX_INT: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Reply:
    """Where a post answers; accounts only say whom to ask for the records."""

    root: Cid
    parent: Cid
    root_account: Cid
    parent_account: Cid

    def __post_init__(self) -> None:
        for link in (self.root, self.parent, self.root_account, self.parent_account):
            check_link("reply", link)

    @classmethod
    def parse(cls, value: Value) -> "Reply":
        fields = as_map("reply", value)
        return cls(*(get_link(fields, name) for name in ("root", "parent", "root_account", "parent_account")))

    def fields(self) -> dict[str, Value]:
        return {
            "root": self.root,
            "parent": self.parent,
            "root_account": self.root_account,
            "parent_account": self.parent_account,
        }


@dataclass(frozen=True, slots=True)
class Quote:
    """The record a post shows beneath itself; ``account`` only says whom to ask for it."""

    entry: Cid
    account: Cid

    def __post_init__(self) -> None:
        check_link("quote", self.entry)
        check_link("quote", self.account)

    @classmethod
    def parse(cls, value: Value) -> "Quote":
        fields = as_map("quote", value)
        return cls(get_link(fields, "entry"), get_link(fields, "account"))

    def fields(self) -> dict[str, Value]:
        return {"entry": self.entry, "account": self.account}


@dataclass(frozen=True, slots=True)
class Media:
    """A blob and what to know before fetching it; ``cid`` is a raw block or a manifest of chunks. Sizes are claims."""

    cid: Cid
    mime: str
    size: int  # bytes
    alt: str
    width: int | None = None  # pixels
    height: int | None = None

    def __post_init__(self) -> None:
        check_text("mime", self.mime, MAX_MIME_BYTES)
        check_text("alt", self.alt, MAX_ALT_BYTES)
        check_int("size", self.size, 0, _MAX_INT)
        for pixels in (self.width, self.height):
            if pixels is not None:
                check_int("width or height", pixels, 1, _MAX_INT)

    @classmethod
    def parse(cls, value: Value) -> "Media":
        fields = as_map("an item of media", value)
        return cls(
            as_link("cid", fields.get("cid")),
            get_text(fields, "mime"),
            get_int(fields, "size"),
            get_text(fields, "alt"),
            find_int(fields, "width"),
            find_int(fields, "height"),
        )

    def fields(self) -> dict[str, Value]:
        fields: dict[str, Value] = {"cid": self.cid, "mime": self.mime, "size": self.size, "alt": self.alt}
        pixels = {"width": self.width, "height": self.height}
        return fields | {name: number for name, number in pixels.items() if number is not None}


@dataclass(frozen=True, slots=True)
class Imported:
    """Where a post was published before; nobody vouches for it."""

    source: str  # what kind of place: a name of software or of a host
    url: str
    id: str  # its name there
    created: int  # Unix ms

    def __post_init__(self) -> None:
        check_text("source", self.source, MAX_SOURCE_BYTES)
        check_text("url", self.url, MAX_URL_BYTES)
        check_text("id", self.id, MAX_SOURCE_BYTES)
        check_int("created", self.created, 0, _MAX_INT)

    @classmethod
    def parse(cls, value: Value) -> "Imported":
        fields = as_map("imported", value)
        return cls(
            get_text(fields, "source"), get_text(fields, "url"), get_text(fields, "id"), get_int(fields, "created")
        )

    def fields(self) -> dict[str, Value]:
        return {"source": self.source, "url": self.url, "id": self.id, "created": self.created}


@dataclass(frozen=True, slots=True)
class Post:
    """A title makes it an article."""

    text: str
    title: str | None = None
    lang: str | None = None
    reply: Reply | None = None
    tags: tuple[str, ...] = ()
    mentions: tuple[Cid, ...] = ()
    warning: str | None = None
    quote: Quote | None = None
    media: tuple[Media, ...] = ()
    imported: Imported | None = None

    kind: ClassVar[str] = "post"

    def __post_init__(self) -> None:
        check_text("text", self.text, MAX_TEXT_BYTES)
        if self.title is not None:
            check_text("title", self.title, MAX_TITLE_BYTES)
        if self.lang is not None:
            check_text("lang", self.lang, MAX_LANG_BYTES)
        if self.warning is not None:
            check_text("warning", self.warning, MAX_TITLE_BYTES)
        if len(self.tags) > MAX_TAGS or len(self.mentions) > MAX_MENTIONS or len(self.media) > MAX_MEDIA:
            raise MalformedRecord(
                f"a post has at most {MAX_TAGS} tags, {MAX_MENTIONS} mentions and {MAX_MEDIA} items of media"
            )
        for tag in self.tags:
            check_text("tag", tag, MAX_TAG_BYTES)
        for mention in self.mentions:
            check_link("mention", mention)

    @classmethod
    def parse(cls, fields: Mapping[str, Value]) -> "Post":
        return cls(
            get_text(fields, "text"),
            find_text(fields, "title"),
            find_text(fields, "lang"),
            Reply.parse(fields["reply"]) if "reply" in fields else None,
            tuple([as_text("tag", tag) for tag in get_list(fields, "tags", MAX_TAGS)]) if "tags" in fields else (),
            tuple([as_link("mention", who) for who in get_list(fields, "mentions", MAX_MENTIONS)])
            if "mentions" in fields
            else (),
            find_text(fields, "warning"),
            Quote.parse(fields["quote"]) if "quote" in fields else None,
            tuple([Media.parse(item) for item in get_list(fields, "media", MAX_MEDIA)]) if "media" in fields else (),
            Imported.parse(fields["imported"]) if "imported" in fields else None,
        )

    @staticmethod
    def of_checked_text(text: str) -> "Post":
        """As the constructor for words alone whose size is certain, in a fifth of the time: most posts are that."""
        made = object.__new__(Post)
        for put, value in _NOTHING_ELSE:
            put(made, value)
        _SET_TEXT(made, text)
        return made

    def fields(self) -> dict[str, Value]:
        optional = {"title": self.title, "lang": self.lang, "warning": self.warning}
        fields: dict[str, Value] = {"text": self.text}
        fields |= {name: text for name, text in optional.items() if text is not None}
        if self.tags:
            fields["tags"] = list(self.tags)
        if self.mentions:
            fields["mentions"] = list(self.mentions)
        if self.media:
            fields["media"] = [item.fields() for item in self.media]
        for name, part in (("reply", self.reply), ("quote", self.quote), ("imported", self.imported)):
            if part is not None:
                fields[name] = part.fields()
        return fields


_SET_TEXT: Final = Post.__dict__["text"].__set__  # past the guard of the frozen value
_NOTHING_ELSE: Final = tuple(
    (Post.__dict__[each.name].__set__, each.default) for each in dataclass_fields(Post) if each.name != "text"
)


@dataclass(frozen=True, slots=True)
class Edit:
    """Another version of a post; ``of`` names the original, never an edit. What is answered and quoted stays."""

    of: Cid
    post: Post

    kind: ClassVar[str] = "edit"

    def __post_init__(self) -> None:
        check_link("of", self.of)
        if self.post.reply is not None or self.post.quote is not None:
            raise MalformedRecord("an edit cannot change what a post answers or quotes")

    @classmethod
    def parse(cls, fields: Mapping[str, Value]) -> "Edit":
        own = {name: value for name, value in fields.items() if name not in ("reply", "quote")}
        return cls(get_link(fields, "of"), Post.parse(own))

    def fields(self) -> dict[str, Value]:
        return {"of": self.of, **self.post.fields()}

    def version_of(self, original: Post) -> Post:
        """What is shown in place of the original."""
        return replace(self.post, reply=original.reply, quote=original.quote)
