"""``verify``, ``backup``, ``compact``, ``index rebuild``: looking after a home."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from unhush.cli.codes import UNSOUND
from unhush.cli.context import FILE, Context, OurCommand, OurGroup, WrongUse, expanded, pass_context
from unhush.cli.progress import counting, counting_of
from unhush.cli.shown import some

if TYPE_CHECKING:
    from unhush.node.home.maintenance import Mended
    from unhush.storage.verify import Report


@click.command(cls=OurCommand, name="verify")
@click.argument("file", type=FILE, required=False)
@click.option(
    "--deep", is_flag=True, help="Also every signature, every index and every blob; hashes by other code too."
)
@click.option("--repair", is_flag=True, help="Make anew what is damaged; stop everything that uses the home first.")
@click.option(
    "--strict", is_flag=True, help="Of a lifeboat: 6 also if the page around the data is not the one we write."
)
@pass_context
def verify_command(context: Context, file: Path | None, deep: bool, repair: bool, strict: bool) -> int:
    """Check everything kept here against hashes, signatures and chains; or a FILE: a lifeboat, a CAR, evidence.

    Forks, holes and bodies that others wrote wrongly or took back are counted and are no damage; only damage makes
    the exit code 6.
    """
    from unhush.node.home.maintenance import repair_home, verify_home

    if file is not None:
        if deep or repair:
            raise WrongUse("--deep and --repair are for what is kept here, not for a FILE.")
        return _verify_file(context, expanded(file), is_strict=strict)
    if strict:
        raise WrongUse("--strict is for a FILE.")
    if repair:
        return _show_mended(context, repair_home(context.config(), on_progress=counting(context)))
    report = verify_home(context.config(), deep=deep, on_progress=counting(context))
    text = _summary(report)
    context.emit(_value(report), f"{text} All is well." if report.is_clean else text)
    _say_problems(context, report)
    if report.is_damaged:
        context.say("unhush: something here is damaged; mend it with: unhush verify --repair")
        return UNSOUND
    return 0


def _verify_file(context: Context, file: Path, *, is_strict: bool) -> int:
    """Needs no home: the file is judged by itself."""
    from unhush.node.home.checking import check_file

    report = check_file(file, counting(context))
    context.emit(report.to_json(), report.sentence())
    for remark in report.remarks():
        context.say(f"  {remark}")
    return 0 if report.ok and (report.is_exact or not is_strict) else UNSOUND


def _show_mended(context: Context, mended: "Mended") -> int:
    repaired, after = mended.repaired, mended.after
    value = _value(after) | {
        "repaired": repaired is not None or mended.rebuilt,
        "lost": repaired.lost if repaired is not None else 0,
        "damaged_database": str(repaired.aside) if repaired is not None else None,
    }
    if repaired is not None:
        text = (
            f"The database was made anew: {some(repaired.kept, 'record is', 'records are')} kept, "
            f"{repaired.lost} could not be read or proven; peers give those again. "
            f"The damaged file is {repaired.aside}: delete it when you miss nothing. "
        )
    else:
        text = "The indexes were made anew. " if mended.rebuilt else "Nothing wanted repair. "
    context.emit(value, text + _summary(after))
    _say_problems(context, after)
    return UNSOUND if after.is_damaged else 0


def _summary(report: "Report") -> str:
    apart = [
        some(count, one, many)
        for count, one, many in (
            (report.malformed, "malformed body", "malformed bodies"),
            (report.dropped - report.withheld, "body taken back", "bodies taken back"),
            (report.withheld, "body withheld", "bodies withheld"),
            (len(report.stale), "damaged index", "damaged indexes"),
            (report.bad_blobs, "damaged blob", "damaged blobs"),
        )
        if count
    ]
    forked = some(report.forks, "forked log")
    first = f"{some(report.entries, 'record')}: {report.bad:,} bad, {report.missing:,} missing, {forked}"
    return ", ".join([first, *apart]) + "."


def _value(report: "Report") -> dict[str, object]:
    return {
        "entries": report.entries,
        "bad": report.bad,
        "missing": report.missing,
        "forks": report.forks,
        "malformed": report.malformed,
        "dropped": report.dropped,
        "withheld": report.withheld,
        "stale": list(report.stale),
        "bad_blobs": report.bad_blobs,
    }


def _say_problems(context: Context, report: "Report") -> None:
    for problem in report.problems:
        context.say(f"  {problem}")
    for name in report.stale:
        context.say(f"  the index of {name} is not what the journal gives")


@click.command(cls=OurCommand, name="backup")
@click.argument("file", type=FILE)
@pass_context
def backup_command(context: Context, file: Path) -> None:
    """Write everything of this home but its keys into a new FILE, also while a node runs.

    The words, or another device, are what brings the account back; see: unhush import backup.
    """
    with context.open() as node:
        made = node.backup(expanded(file), counting_of(context, "bytes written"))
    context.emit(
        {"file": str(made.file), "bytes": made.bytes, "blobs": made.blobs},
        f"{made.file} holds everything but your keys ({made.bytes:,} bytes, {some(made.blobs, 'blob')}).",
    )


@click.command(cls=OurCommand, name="compact")
@pass_context
def compact_command(context: Context) -> None:
    """Make the database file as small as it can be; stop everything that uses the home first."""
    from unhush.node.home.maintenance import compact_home

    done = compact_home(context.config())
    context.emit(
        {"bytes_before": done.bytes_before, "bytes_after": done.bytes_after},
        f"The database takes {done.bytes_after:,} bytes now; it took {done.bytes_before:,}.",
    )


@click.group(cls=OurGroup, name="index")
def index_command() -> None:
    """The indexes, which follow from the records alone."""


@index_command.command(name="rebuild")
@pass_context
def rebuild_command(context: Context) -> None:
    """Make every index anew from the records; works while a node runs."""
    with context.open() as node:
        shown = node.rebuild_indexes(counting_of(context, "records looked at"))
    context.emit({"shown": shown}, f"{some(shown, 'record is', 'records are')} shown.")
