"""Labels: what somebody says a record or an account is, and what others answer to that."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from unhush.identity.cid import Cid
from unhush.identity.codec import Value
from unhush.storage.kinds.fields import MAX_TEXT_BYTES, check_link, check_text, find_text, get_link, get_text

MAX_VALUE_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class Label:
    """``on`` is an entry or an account."""

    on: Cid
    value: str
    reason: str | None = None

    kind: ClassVar[str] = "label"

    def __post_init__(self) -> None:
        check_link("on", self.on)
        check_text("value", self.value, MAX_VALUE_BYTES)
        if self.reason is not None:
            check_text("reason", self.reason, MAX_TEXT_BYTES)

    @classmethod
    def parse(cls, fields: Mapping[str, Value]) -> "Label":
        return cls(get_link(fields, "on"), get_text(fields, "value"), find_text(fields, "reason"))

    def fields(self) -> dict[str, Value]:
        fields: dict[str, Value] = {"on": self.on, "value": self.value}
        return fields | {"reason": self.reason} if self.reason is not None else fields


@dataclass(frozen=True, slots=True)
class Rebuttal:
    """An answer to a label."""

    label: Cid
    text: str

    kind: ClassVar[str] = "rebuttal"

    def __post_init__(self) -> None:
        check_link("label", self.label)
        check_text("text", self.text, MAX_TEXT_BYTES)

    @classmethod
    def parse(cls, fields: Mapping[str, Value]) -> "Rebuttal":
        return cls(get_link(fields, "label"), get_text(fields, "text"))

    def fields(self) -> dict[str, Value]:
        return {"label": self.label, "text": self.text}
