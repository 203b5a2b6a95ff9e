"""Devices, cuts and alarms for programs (JSON) and for people: what an account's state means, and what to do."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from unhush.cli.shown import some, time_text
from unhush.node.names import clean_name

if TYPE_CHECKING:
    from unhush.identity.cid import Cid
    from unhush.identity.keys import PublicKey
    from unhush.node.views import DeviceInfo

# Eight letters after the k: 40 bits tell the devices of one account apart.
_SHORT: Final = 9
# What each alarm says, and what its owner does about it.
_ALARMS: Final = {
    "twice": (
        "the account was rotated twice to one generation, and only one of the two tables stands",
        "if that was you on two machines, rotate once more: unhush rotate; "
        "if not, somebody has your 24 words: tell people, and make a new account",
    ),
    "frozen": (
        "the account is frozen: no device can be added to it until it is rotated",
        "end that with: unhush rotate",
    ),
    "flooded": (
        "more new devices were named than one generation may, so none of them counts",
        "whoever did that has the root key; take it from them with: unhush rotate",
    ),
}


def alarm_lines(alarms: Iterable[str], *, is_own: bool) -> list[str]:
    """Each alarm in words; to the owner also what to do."""
    lines = []
    for alarm in alarms:
        what, remedy = _ALARMS.get(alarm, (alarm, "see: unhush identity log"))
        lines.append(f"{what}; {remedy if is_own else 'its owner can end that by a rotate'}")
    return lines


def health_lines(contested: int, unproven: int, cut_devices: int) -> list[str]:
    """What is not as it should be with an account's records, in words."""
    lines = []
    if contested:
        said = some(contested, "record is", "records are")
        lines.append(f"{said} contested: a device wrote two histories, and nothing shows which is true")
    if unproven:
        lines.append(f"{some(unproven, 'record is', 'records are')} not shown until what proves them has come")
    if cut_devices:
        lines.append(f"{some(cut_devices, 'device was', 'devices were')} cut off")
    return lines


def count_cut(devices: "Iterable[DeviceInfo]") -> int:
    return sum(device.state.value in ("cut", "void") for device in devices)


def display_device(name: str) -> str:
    return clean_name(name) or "(no name)"


def short_key(key: "PublicKey") -> str:
    """Enough of a key to tell devices apart; commands take it too."""
    return str(key)[:_SHORT]


def device_state(device: "DeviceInfo") -> str:
    """What a device may do, in words."""
    match device.state.value:
        case "open":
            return "open, added since the last rotate" if device.is_added else "open"
        case "cut" if device.cut is not None:
            return f"cut off after its first {some(device.cut[0] + 1, 'record')}"
        case "void":
            return "cut off, and nothing of it stays"
        case _ if device.is_added:
            return "added, and without a say until the next rotate"
        case _:
            return "not listed: it has no say"


def device_text(device: "DeviceInfo") -> str:
    """A device as a person reads it, on two lines."""
    counted = [
        some(device.in_force, "record"),
        f"{device.contested} contested" if device.contested else "",
        f"{device.unproven} unproven" if device.unproven else "",
        f"{device.void} void" if device.void else "",
        f"its log forks at {device.fork}" if device.fork is not None else "",
        f"last seen {time_text(device.newest_ms)}" if device.newest_ms is not None else "",
    ]
    here = " (this device)" if device.is_this else ""
    return (
        f"{display_device(device.name)}{here} · {short_key(device.key)} · {device_state(device)}\n"
        f"  {', '.join(each for each in counted if each)}"
    )


def json_of_device(device: "DeviceInfo") -> dict[str, Any]:
    return {
        "key": str(device.key),
        "name": device.name,
        "state": device.state.value,
        "this": device.is_this,
        "added": device.is_added,
        "cut": json_of_cut(device.cut),
        "in_force": device.in_force,
        "contested": device.contested,
        "unproven": device.unproven,
        "void": device.void,
        "fork": device.fork,
        "newest": device.newest_ms,
    }


def json_of_cut(cut: "tuple[int, Cid] | None") -> dict[str, Any] | None:
    """The last record that stays; a device of which nothing stays has the state ``void`` and no cut."""
    return {"seq": cut[0], "entry": str(cut[1])} if cut is not None else None
