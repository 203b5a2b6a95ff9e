"""Records for programs (JSON) and for people (text on a terminal)."""

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import click

from unhush.node.names import clean_name, clean_text, short_id

if TYPE_CHECKING:
    from unhush.identity.cid import Cid
    from unhush.node import Person, Shown
    from unhush.node.views import KeptBy, MediaInfo, NotGiven


# Lines of a quoted post beneath the post that quotes it.
_QUOTED_LINES: Final = 4


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
        "media": [json_of_media(item) for item in shown.media],
        "mentions": [str(who) for who in shown.mentions],
        "edited": shown.edited_ms,
        "version": str(shown.version) if shown.version else None,
        "quote": {"entry": str(shown.quote.entry), "account": str(shown.quote.account)} if shown.quote else None,
        "quoted": json_of(shown.quoted) if shown.quoted else None,
        "target": str(shown.target) if shown.target else None,
        "emoji": shown.emoji,
        "reposted": json_of(shown.reposted) if shown.reposted else None,
        "counts": {
            "replies": shown.tally.replies,
            "reposts": shown.tally.reposts,
            "quotes": shown.tally.quotes,
            "reactions": [
                {"emoji": each.emoji, "people": each.people, "mine": each.is_mine} for each in shown.tally.reactions
            ],
        },
        "reposted_by_you": shown.tally.is_reposted,
        "shun": shown.shun,
        "withheld": json_of_not_given(shown.withheld) if shown.withheld is not None else None,
        "kept_by": json_of_kept_by(shown.kept_by) if shown.kept_by is not None else None,
    }


def json_of_kept_by(kept_by: "KeptBy") -> dict[str, Any]:
    """How many keepers hold a record; ``words`` is the same as people say it."""
    return {
        "proven": kept_by.proven,
        "unproven": kept_by.unproven,
        "on_this_device_only": kept_by.on_this_device_only,
        "words": kept_by.words,
    }


def json_of_not_given(withheld: "NotGiven") -> dict[str, Any]:
    """``here``: by this node; otherwise ``by`` is who says so, if anybody is known to."""
    return {
        "here": withheld.is_here,
        "by": str(withheld.by) if withheld.by is not None else None,
        "reason": withheld.reason or None,
    }


def json_of_media(item: "MediaInfo") -> dict[str, Any]:
    """A blob that a post carries; ``local`` says whether all of it is here."""
    return {
        "cid": str(item.cid),
        "mime": item.mime,
        "size": item.size,
        "alt": item.alt,
        "width": item.width,
        "height": item.height,
        "local": item.is_local,
    }


def text_of(shown: "Shown", *, indent: str = "", is_folded: bool = False) -> str:
    """A record as a person reads it, with nothing in it that could steer the terminal.

    ``is_folded``: what bears a warning, or is by somebody blocked, is not unfolded here.
    """
    name = name_of(shown)
    if shown.kind == "repost" and shown.reposted is not None:
        head = f"{name} reposted · {time_text(shown.time_ms)}"
        return f"{indent}{head}\n{text_of(shown.reposted, indent=indent + '  ', is_folded=is_folded)}"
    mark = " · reply" if shown.reply else ""
    if shown.edited_ms is not None:
        mark += f" · edited {time_text(shown.edited_ms)}"
    if shown.standing == "contested":
        mark += " · contested: another record stands at its place"
    mark += _kept_text(shown)
    lines = [f"{name} · {time_text(shown.time_ms)}{mark}"]
    if shown.title:
        lines.append(click.style(clean_name(shown.title), bold=True))
    if shown.warning:
        lines.append(click.style(f"[{clean_name(shown.warning)}]", italic=True))
    # Set in, so that no text can pass for the head of another record.
    if is_folded and shown.shun == "blocked":
        lines.append("  (by somebody you blocked; to read it: unhush show ID)")
    elif is_folded and shown.warning:
        lines.append("  (folded; to read it: unhush show ID)")
    else:
        lines.extend("  " + line for line in _body(shown).splitlines())
        lines.extend("  " + _media_text(item) for item in shown.media)
        lines.extend("  | " + line for line in _quoted(shown))
    lines.extend(["  " + tally] if (tally := _tally_text(shown)) else [])
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
        return _not_given_text(shown.withheld) if shown.withheld is not None else "(the text has not arrived)"
    if shown.kind in ("post", "edit"):
        return clean_text(shown.text)
    return f"({act_text(shown)})"


def _not_given_text(withheld: "NotGiven") -> str:
    if withheld.is_here:
        return f"(withheld here: {clean_name(withheld.reason)})"
    if withheld.by is None:
        return "(withheld by whoever gave it; no reason is known here)"
    who = display_name(withheld.name, withheld.by)
    return f"(withheld by {who}: {clean_name(withheld.reason) or 'no reason is given'})"


def _kept_text(shown: "Shown") -> str:
    """Who keeps it; of what others wrote only if anybody says so."""
    by = shown.kept_by
    if by is None:
        return " · on this device only" if shown.is_local else ""
    return f" · {by.words}" if shown.is_own or by.proven or by.unproven else ""


def act_text(shown: "Shown") -> str:
    """What a record that is no post does, in a few words."""
    to = f" {shown.target}" if shown.target else ""
    match shown.kind:
        case "react":
            return f"reacted {clean_name(shown.emoji or '')} to{to}"
        case "repost" | "follow" | "keeper" | "block" | "delete":
            return f"{shown.kind}{to}"
        case kind:
            return kind


def name_of(shown: "Shown") -> str:
    return click.style(display_name(shown.petname or shown.name, shown.account), bold=True)


def _quoted(shown: "Shown") -> list[str]:
    """The first lines of what a post quotes."""
    if shown.quote is None:
        return []
    if shown.quoted is None:
        return [f"(what it quotes, {shown.quote.entry}, is not here)"]
    if shown.quoted.warning or shown.quoted.shun == "blocked":
        return [f"(folded: {shown.quote.entry})"]
    lines = _body(shown.quoted).splitlines()
    more = ["…"] if lines[_QUOTED_LINES:] else []
    return [f"{name_of(shown.quoted)}: {shown.quote.entry}", *lines[:_QUOTED_LINES], *more]


def _tally_text(shown: "Shown") -> str:
    """Counts in one line; nothing, if there is nothing to count."""
    tally = shown.tally
    said = [
        *(f"{clean_name(each.emoji)} {each.people}{' (you)' if each.is_mine else ''}" for each in tally.reactions),
        _counted(tally.replies, "reply", "replies"),
        _counted(tally.reposts, "repost", "reposts") + (" (you)" if tally.is_reposted else ""),
        _counted(tally.quotes, "quote", "quotes"),
    ]
    return " · ".join(each for each in said if each)


def _counted(count: int, one: str, more: str) -> str:
    return f"{count} {one if count == 1 else more}" if count else ""


def some(count: int, one: str, many: str = "") -> str:
    """So many of something, with its plural; that of most words is made with an s."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _media_text(item: "MediaInfo") -> str:
    what = "image" if item.mime.startswith("image/") else "file"
    alt = clean_name(item.alt) or "nobody says what it shows"
    return f"[{what}: {alt}]" + ("" if item.is_local else " (not here yet)")


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
        "avatar": str(person.avatar) if person.avatar else None,
        "followers": person.followers,
        "muted": person.is_muted,
        "blocked": person.is_blocked,
    }
