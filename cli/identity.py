"""``id`` and ``identity``: who may speak for an account, its words, its seals, and what was ever signed about it."""

from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unhush.cli import keyrings
from unhush.cli.asking import can_ask, can_ask_hidden, confirm
from unhush.cli.context import FILE, Context, OurGroup, WrongUse, expanded, pass_context
from unhush.cli.founding import ask_three
from unhush.cli.passing import pass_on
from unhush.cli.secrets import PassphraseSource, SigningCommand, WordsSource, ask_new_passphrase, words_option
from unhush.cli.shown import display_name, time_text
from unhush.cli.standing import alarm_lines, device_state, display_device, json_of_cut, json_of_device, short_key

if TYPE_CHECKING:
    from unhush.node import Node
    from unhush.node.views import OperationInfo


@click.group(cls=OurGroup, name="id")
def id_command() -> None:
    """Your account: show it, check its words, seal its keys."""


@id_command.command(name="show")
@click.option("--qr", is_flag=True, help="The account id as a QR code too, to be read from the screen.")
@pass_context
def show_command(context: Context, qr: bool) -> None:
    """Show your account: its id, its fingerprint in eight words, this device."""
    with context.open() as node:
        account = node.account()
        status, is_sealed = node.status(), node.devices.is_sealed()
        root_problem = node.root_problem()
        identity = node.devices.identity(account)
    this = next((device for device in identity.devices if device.is_this), None)
    name = display_name(status.name, account)
    value = {
        "account": str(account),
        "name": status.name,
        "fingerprint": list(identity.fingerprint),
        "generation": identity.generation,
        "table": str(identity.table),
        "root": str(identity.root),
        "closed": identity.is_closed,
        "device": json_of_device(this) if this is not None else None,
        "sealed": is_sealed,
        "keeps_root": status.keeps_root,
        "root_problem": root_problem or None,
        "alarms": list(identity.alarms),
        "complete": identity.is_complete,
        "problem": status.problem or None,
        "words_waiting": status.words_waiting,
    }
    lines = [
        f"name         {name}",
        f"account      {account}",
        f"fingerprint  {' '.join(identity.fingerprint)}",
        f"generation   {identity.generation}"
        + (" (never rotated)" if identity.generation == 0 else "")
        + (", closed: no device can be added to it" if identity.is_closed else ""),
        f"this device  {display_device(this.name)} {short_key(this.key)}, {device_state(this)}"
        if this is not None
        else "this device  none of the account's",
        f"its key      {'sealed with a passphrase' if is_sealed else 'not sealed; to seal it: unhush id passphrase'}",
        f"root key     {_root_text(root_problem, is_kept=status.keeps_root)}",
        f"words        still wait in {status.words_waiting}; once on paper: {context.here('unhush id check')}"
        if status.words_waiting
        else "",
        f"problem      {status.problem}" if status.problem else "",
        *(f"alarm        {line}" for line in alarm_lines(identity.alarms, is_own=True)),
    ]
    text = "\n".join(line for line in lines if line)
    context.emit(value, f"{text}\n\n{draw_qr(str(account))}" if qr else text)


def _root_text(problem: str, *, is_kept: bool) -> str:
    if problem:
        return f"kept here and cannot be used: {problem}"
    return "kept here, sealed" if is_kept else "not kept here: the 24 words sign for devices"


def draw_qr(text: str) -> str:
    import segno

    drawn = StringIO()
    segno.make(text, micro=False).terminal(out=drawn, border=2, compact=True)
    return drawn.getvalue().rstrip("\n")


@id_command.command(name="check")
@words_option
@pass_context
def check_command(context: Context, words: WordsSource) -> None:
    """Check that you have the recovery words: then the file that holds them is erased.

    While the words wait in a file, three of them are asked for, so have your paper at hand. Otherwise all
    24 are asked for, and you learn whether they are this account's.
    """
    with context.open() as node:
        node.account()
        if words.given is not None or node.devices.words_wait_at() is None:
            _check_all(node, words)
        else:
            _check_three(node)
        erased = node.devices.forget_waiting_words()
    value = {"words": "right", "erased": str(erased) if erased is not None else None}
    text = "These are the words of this account." if erased is None else f"Right. {erased} was overwritten and removed."
    context.emit(value, text)
    if erased is not None:
        context.say(
            "A disk may keep old blocks for a while, and backups keep what they hold: to be sure, encrypt the disk."
        )


def _check_all(node: "Node", source: WordsSource) -> None:
    waiting = node.devices.words_wait_at()
    if waiting is not None and source.given not in (None, "-"):
        given = expanded(Path(source.given or ""))
        if given.exists() and given.samefile(waiting):
            raise WrongUse(f"{waiting} is the file that waits to be erased: check what you wrote down instead.")
    node.devices.check_words(source.get().text())


def _check_three(node: "Node") -> None:
    from unhush.node.errors import BadWords, WordsNeeded

    if not can_ask_hidden():
        raise WordsNeeded("three of your words would be asked for, and there is nobody to ask; so all 24 are needed")
    waiting = node.devices.waiting_words()
    assert waiting is not None, "the caller looked"
    wrong = ask_three(waiting.text().split())
    if wrong is not None:
        raise BadWords(f"word {wrong} is another one; nothing was erased: compare your paper with the file, try again")


@id_command.command(name="passphrase", cls=SigningCommand)
@click.option("--new-passphrase-file", type=FILE, help="A file, yours alone to read, with the new passphrase.")
@click.option("--no-passphrase", is_flag=True, help="Take the seal off.")
@click.option(
    "--keyring/--no-keyring", default=None, help="Keep the passphrase in the desktop's keyring, or no longer."
)
@pass_context
def passphrase_command(
    context: Context, new_passphrase_file: Path | None, no_passphrase: bool, keyring: bool | None
) -> int:
    """Set or change the passphrase that seals the keys of this home.

    With --keyring or --no-keyring alone it stays as it is, and only the keyring learns or forgets it.
    """
    if new_passphrase_file is not None and no_passphrase:
        raise WrongUse("Either a new passphrase or none: --new-passphrase-file and --no-passphrase exclude each other.")
    if keyring and no_passphrase:
        raise WrongUse("Without a passphrase there is nothing for the keyring.")
    if keyring and not keyrings.is_installed():
        raise WrongUse(
            "There is no keyring support here: the Python package keyring has to be installed beside unhush."
        )
    with context.open() as node:
        was_sealed = node.devices.is_sealed()
        if keyring is False and new_passphrase_file is None and not no_passphrase:
            return _leave_keyring(context, node.config.home)
        node.unlock()  # the old one is asked for, and tried, before the new
        if keyring and was_sealed and new_passphrase_file is None:
            return _enter_keyring(context, node)
        passphrase = None if no_passphrase else _new_passphrase(new_passphrase_file)
        node.devices.change_passphrase(None if passphrase is None else lambda: passphrase)
        kept = _tell_keyring(node.config.home, passphrase, wanted=keyring)
    context.emit(
        {"sealed": passphrase is not None, "keyring": kept},
        "The keys of this home are sealed with the new passphrase."
        if passphrase is not None
        else "The key of this device is no longer sealed: whoever can read this disk can write as you.",
    )
    if passphrase is not None:
        before = "sealed with the old passphrase" if was_sealed else "unsealed"
        context.say(
            f"The key as it was, {before}, may survive in freed blocks of the disk and in backups. "
            "If somebody may have those, a new key is safer: unhush device renew, then revoke the old one."
        )
    if keyring and not kept:
        context.say("The passphrase was changed, but the keyring did not take it: you will be asked for it.")
        return 1
    return 0


def _new_passphrase(file: Path | None) -> str:
    from unhush.node.account.secrets import read_passphrase

    if file is not None:
        return read_passphrase(file)
    if not can_ask_hidden():
        raise WrongUse("Nobody can be asked for a new passphrase: name --new-passphrase-file or --no-passphrase.")
    typed = ask_new_passphrase("The new passphrase")
    if typed is None:
        raise WrongUse(
            "An empty passphrase seals nothing, so nothing was changed; to take the seal off: --no-passphrase"
        )
    return typed


def _enter_keyring(context: Context, node: "Node") -> int:
    """The passphrase stays; the keyring is told it."""
    source = node.config.passphrase
    assert isinstance(source, PassphraseSource), "every open home has one"
    assert source.last is not None, "it has just opened the key"
    if not keyrings.put_passphrase(node.config.home, source.last):
        context.emit({"sealed": True, "keyring": False}, "The keyring did not take the passphrase.")
        return 1
    context.emit({"sealed": True, "keyring": True}, "The passphrase is in the keyring.")
    return 0


def _leave_keyring(context: Context, home: Path) -> int:
    was_there = keyrings.forget_passphrase(home)
    context.emit(
        {"keyring": False, "removed": was_there},
        "The passphrase is no longer in the keyring."
        if was_there
        else "There was no passphrase of this home in the keyring.",
    )
    return 0


def _tell_keyring(home: Path, passphrase: str | None, *, wanted: bool | None) -> bool:
    """Let the keyring hold the new passphrase, if it held the old one or should from now on; whether it does."""
    held = keyrings.find_passphrase(home) is not None
    if passphrase is not None and (wanted or (held and wanted is None)):
        return keyrings.put_passphrase(home, passphrase)
    if held:
        keyrings.forget_passphrase(home)
    return False


@id_command.group(name="root", cls=OurGroup)
def root_command() -> None:
    """Keep the root key on this machine, or forget it."""


@root_command.command(name="keep", cls=SigningCommand)
@words_option
@pass_context
def keep_command(context: Context, words: WordsSource) -> None:
    """Keep the root key here, sealed by the passphrase: then devices are added and revoked without the words."""
    with context.open() as node:
        node.account()
        if not node.devices.is_sealed():
            from unhush.node.errors import KeyFileError

            raise KeyFileError("a root key is kept sealed or not at all; set a passphrase first: unhush id passphrase")
        node.devices.keep_root(words.get())
    context.emit({"keeps_root": True}, "The root key is kept here, sealed. Only a rotate needs your words now.")


@root_command.command(name="forget")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_context
def forget_command(context: Context, yes: bool) -> None:
    """Remove the root key from this machine; your 24 words can bring it back."""
    with context.open() as node:
        node.account()
        if node.status().keeps_root and not yes:
            confirm(
                "Without it, adding and revoking devices needs your 24 words. Remove it?",
                otherwise="This removes the root key, which only the 24 words bring back: give --yes.",
            )
        node.devices.forget_root()
    context.emit({"keeps_root": False}, "The root key is no longer on this machine.")


@click.group(cls=OurGroup, name="identity")
def identity_command() -> None:
    """Freeze the account, or read its stored operations."""


@identity_command.command(name="freeze", cls=SigningCommand)
@words_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_context
def freeze_command(context: Context, words: WordsSource, yes: bool) -> None:
    """Stop all adding of devices until the next rotate: at once, when the root key may be in other hands.

    Devices that were added since the last rotate have no say until you rotate, for a thief can have added them.
    """
    with context.open() as node:
        identity = node.devices.identity(node.account())
        silenced = [device for device in identity.devices if device.is_added and device.state.value == "open"]
        if any(device.is_this for device in silenced) and not yes:
            confirm(
                "This device itself was added since the last rotate: it will publish nothing until you rotate. Freeze?",
                otherwise="This device would publish nothing until you rotate; to freeze all the same: --yes",
            )
        elif silenced and can_ask() and not yes:
            named = ", ".join(display_device(device.name) for device in silenced)
            confirm(f"Added since the last rotate, and without a say until the next: {named}. Freeze?", otherwise="")
        words.sign(node.devices.freeze)
        pass_on(context, node)
    context.emit(
        {"frozen": True, "silenced": [json_of_device(device) for device in silenced]},
        "The account is frozen: no device can be added until you rotate. Next: unhush rotate",
    )
    if silenced and not context.is_json:
        named = ", ".join(f"{display_device(device.name)} ({short_key(device.key)})" for device in silenced)
        context.say(f"No say until you rotate, and say there what becomes of them: {named}")


@identity_command.command(name="log")
@click.argument("account", required=False)
@pass_context
def log_command(context: Context, account: str | None) -> None:
    """Every stored operation of ACCOUNT, or of your own: what counts, what does not, and why."""
    with context.open() as node:
        whose = node.person(account).account if account is not None else node.account()
        is_own = whose == node.status().account
        identity = node.devices.identity(whose)
        operations = node.devices.operations(whose)
    value = {
        "account": str(whose),
        "generation": identity.generation,
        "table": str(identity.table),
        "alarms": list(identity.alarms),
        "operations": [_json_of_operation(each) for each in operations],
    }
    lines = [_operation_text(each) for each in operations]
    lines += [f"alarm: {line}" for line in alarm_lines(identity.alarms, is_own=is_own)]
    context.emit(value, "\n".join(lines))


def _json_of_operation(operation: "OperationInfo") -> dict[str, Any]:
    return {
        "id": str(operation.id),
        "kind": operation.kind,
        "time": operation.time_ms,
        "signer": str(operation.signer),
        "on": str(operation.on) if operation.on is not None else None,
        "device": str(operation.device) if operation.device is not None else None,
        "name": operation.name,
        "cut": json_of_cut(operation.cut),
        "generation": operation.generation,
        "counts": operation.counts,
        "why": operation.why,
    }


def _operation_text(operation: "OperationInfo") -> str:
    verb = operation.kind.partition(".")[2]
    what = f"to generation {operation.generation}" if operation.generation else "the beginning of the account"
    if verb == "freeze":
        what = "the whole account"
    if operation.device is not None:
        what = f"{display_device(operation.name)} {operation.device}" if operation.name else str(operation.device)
    counts = "counts" if operation.counts else "does not count"
    return f"{verb:<8}{time_text(operation.time_ms)}  {what}\n        {counts}: {operation.why}\n        {operation.id}"
