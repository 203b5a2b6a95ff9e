"""``doctor``: how this home and its network are, in words."""

from typing import Final

import click

from unhush.cli.codes import ATTENTION
from unhush.cli.context import Context, OurCommand, pass_context

_MARKS: Final = {"fine": "ok", "note": "note", "attention": "act"}


@click.command(cls=OurCommand, name="doctor")
@pass_context
def doctor_command(context: Context) -> int:
    """Say whether others reach this node, what else is well, and what to do about what is not.

    Asks the running node, which asks its peers; without one it says what it cannot know. The exit code is 7 if
    something should be done.
    """
    from unhush.node.doctor import examine, is_well

    with context.open() as node:
        findings = examine(node)
    for finding in findings:
        value = {
            "topic": finding.topic,
            "grade": finding.grade.value,
            "text": finding.text,
            "advice": finding.advice or None,
        }
        line = f"{_MARKS[finding.grade.value]:<6}{finding.topic:<10}{finding.text}"
        context.emit(value, line + (f"\n{'':<16}→ {finding.advice}" if finding.advice else ""))
    return 0 if is_well(findings) else ATTENTION
