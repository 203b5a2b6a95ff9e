"""The passphrase in the keyring of the person's desktop, if the extra is installed: ``pip install unhush[keyring]``.

A keyring is somebody else's program behind a bus: it may be missing, locked or
broken in ways that raise anything at all. None of that may stop a command which
can ask elsewhere, so everything here fails softly.
"""

from pathlib import Path
from typing import Any, Final

_SERVICE: Final = "unhush"


def find_passphrase(home: Path) -> str | None:
    """The passphrase kept for a home; None if there is none, or no keyring."""
    keyring = _load()
    if keyring is None:
        return None
    try:
        found = keyring.get_password(_SERVICE, _entry(home))
    except Exception:  # noqa: BLE001  # see above
        return None
    return found if isinstance(found, str) and found else None


def put_passphrase(home: Path, passphrase: str) -> bool:
    """Keep it there; whether the keyring took it."""
    keyring = _load()
    if keyring is None:
        return False
    try:
        keyring.set_password(_SERVICE, _entry(home), passphrase)
    except Exception:  # noqa: BLE001  # see above; and its message might repeat what it was given
        return False
    return True


def forget_passphrase(home: Path) -> bool:
    """Whether there was one and it is gone now."""
    keyring = _load()
    if keyring is None or find_passphrase(home) is None:
        return False
    try:
        keyring.delete_password(_SERVICE, _entry(home))
    except Exception:  # noqa: BLE001  # see above
        return False
    return True


def is_installed() -> bool:
    return _load() is not None


def _entry(home: Path) -> str:
    return str(home.resolve())


def _load() -> Any:
    try:
        import keyring
    except ImportError:
        return None
    return keyring
