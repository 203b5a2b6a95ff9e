"""Acts: records that do something to another record or to an account, and nothing more."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from unhush.identity.cid import Cid
from unhush.identity.codec import Value
from unhush.storage.kinds.fields import check_link, check_text, find_link, get_link, get_text

MAX_EMOJI_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Delete:
    """Takes a record of the same account back."""

    of: Cid

    kind: ClassVar[str] = "delete"

    def __post_init__(self) -> None:
        check_link("of", self.of)

    @classmethod
    def parse(cls, fields: Mapping[str, Value]) -> "Delete":
        return cls(get_link(fields, "of"))

    def fields(self) -> dict[str, Value]:
        return {"of": self.of}


@dataclass(frozen=True, slots=True)
class Repost:
    """Shows a record to one's own followers; ``account`` only says whom to ask for it."""

    of: Cid
    account: Cid

    kind: ClassVar[str] = "repost"

    def __post_init__(self) -> None:
        check_link("of", self.of)
        check_link("account", self.account)

    @classmethod
    def parse(cls, fields: Mapping[str, Value]) -> "Repost":
        return cls(get_link(fields, "of"), get_link(fields, "account"))

    def fields(self) -> dict[str, Value]:
        return {"of": self.of, "account": self.account}


@dataclass(frozen=True, slots=True)
class React:
    """An emoji at a record; ``saw`` is the edit its author had before them."""

    to: Cid
    account: Cid
    emoji: str
    saw: Cid | None = None

    kind: ClassVar[str] = "react"

    def __post_init__(self) -> None:
        check_link("to", self.to)
        check_link("account", self.account)
        check_text("emoji", self.emoji, MAX_EMOJI_BYTES)
        if self.saw is not None:
            check_link("saw", self.saw)

    @classmethod
    def parse(cls, fields: Mapping[str, Value]) -> "React":
        return cls(
            get_link(fields, "to"), get_link(fields, "account"), get_text(fields, "emoji"), find_link(fields, "saw")
        )

    def fields(self) -> dict[str, Value]:
        fields: dict[str, Value] = {"to": self.to, "account": self.account, "emoji": self.emoji}
        return fields | {"saw": self.saw} if self.saw is not None else fields


@dataclass(frozen=True, slots=True)
class Follow:
    who: Cid

    kind: ClassVar[str] = "follow"

    def __post_init__(self) -> None:
        check_link("who", self.who)

    @classmethod
    def parse(cls, fields: Mapping[str, Value]) -> "Follow":
        return cls(get_link(fields, "who"))

    def fields(self) -> dict[str, Value]:
        return {"who": self.who}


@dataclass(frozen=True, slots=True)
class Keeper:
    """I ask this account to keep mine, and take its word that it does."""

    who: Cid

    kind: ClassVar[str] = "keeper"

    def __post_init__(self) -> None:
        check_link("who", self.who)

    @classmethod
    def parse(cls, fields: Mapping[str, Value]) -> "Keeper":
        return cls(get_link(fields, "who"))

    def fields(self) -> dict[str, Value]:
        return {"who": self.who}


@dataclass(frozen=True, slots=True)
class Block:
    """A block that its author tells the world; most stay at home (``storage/shunned.py``)."""

    who: Cid

    kind: ClassVar[str] = "block"

    def __post_init__(self) -> None:
        check_link("who", self.who)

    @classmethod
    def parse(cls, fields: Mapping[str, Value]) -> "Block":
        return cls(get_link(fields, "who"))

    def fields(self) -> dict[str, Value]:
        return {"who": self.who}
