"""Records for programs (JSON) and for people (text on a terminal)."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from unhush.node.names import clean_name, clean_text, short_id

if TYPE_CHECKING:
    from unhush.identity.cid import Cid
    from unhush.node import Person, Shown


def json_of(shown: "Shown") -> dict[str, Any]:
    """A record as one JSON object; ``time`` is where it stands in timelines, Unix milliseconds."""
    reply = shown.reply
    return {
        "id": str(shown.id),
        "account": str(shown.account),
        "aid": shown.aid,
        "name": shown.name,
        "petname": shown.petname,
        "kind": shown.kind,
        "time": shown.time_ms,
        "title": shown.title,
        "text": shown.text,
        "lang": shown.lang,
        "warning": shown.warning,
        "tags": list(shown.tags),
        "reply": {
            "root": str(reply.root),
            "parent": str(reply.parent),
            "root_account": str(reply.root_account),
            "parent_account": str(reply.parent_account),
        }
        if reply
        else None,
        "own": shown.is_own,
        "deleted": shown.is_deleted,
        "body": shown.has_body,
        "standing": shown.standing,
        "local": shown.is_local,
    }


def text_of(shown: "Shown", *, indent: str = "") -> str:
    """A record as a person reads it, with nothing in it that could steer the terminal."""
    name = click.style(display_name(shown.petname or shown.name, shown.account), bold=True)
    mark = " · reply" if shown.reply else ""
    if shown.standing == "contested":
        mark += " · contested: another record stands at its place"
    if shown.is_local:
        mark += " · on this device only"
    lines = [f"{name} · {time_text(shown.time_ms)}{mark}"]
    if shown.title:
        lines.append(click.style(clean_name(shown.title), bold=True))
    if shown.warning:
        lines.append(click.style(f"[{clean_name(shown.warning)}]", italic=True))
    # Set in, so that no text can pass for the head of another record.
    lines.extend("  " + line for line in _body(shown).splitlines())
    lines.append(click.style(str(shown.id), dim=True))
    return "\n".join(indent + line for line in lines) + "\n"


def time_text(time_ms: int) -> str:
    """A time as the person's clock shows it."""
    return datetime.fromtimestamp(time_ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M")


def _body(shown: "Shown") -> str:
    if shown.standing == "void":
        return "(void: the account no longer stands behind the device that wrote this)"
    if shown.standing == "unproven":
        return "(unproven: the records that would show whether this still counts have not arrived)"
    if shown.is_deleted:
        return "(deleted by its author)"
    if not shown.has_body:
        return "(the text has not arrived)"
    return clean_text(shown.text) if shown.kind == "post" else f"({shown.kind})"


def display_name(name: str | None, account: "Cid") -> str:
    """A name to call somebody by; the end of the account id if there is none."""
    return clean_name(name or "") or f"…{short_id(account)}"


def json_of_person(person: "Person") -> dict[str, Any]:
    return {
        "account": str(person.account),
        "name": person.name,
        "petname": person.petname,
        "bio": person.bio,
        "own": person.is_own,
        "followed": person.is_followed,
        "posts": person.posts,
        "alarms": list(person.alarms),
        "contested": person.contested,
        "unproven": person.unproven,
        "cut_devices": person.cut_devices,
    }
