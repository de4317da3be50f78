"""The reference page of the commands."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from sensetig.reference.markdown import table

_COMMANDS = """# Command reference

<!-- Built from the commands by `sensetig reference`: change those, not this file. -->

The commands of `sensetig`, as `sensetig COMMAND --help` prints them. The collectors, which run as
`python -m collectors NAME`, are in the [settings reference](settings.md).
"""


def render_commands(program: click.Group, name: str) -> str:
    """The page of commands, in Markdown.

    Args:
        program: the group that holds all commands.
        name: its name on the command line.
    """
    context = click.Context(program, info_name=name, **program.context_settings)
    parts = [_COMMANDS]
    for command in program.list_commands(context):
        parts.extend(_command(program, command, context))
    return "\n".join(parts)


def _command(group: click.Group, name: str, parent: click.Context) -> Iterator[str]:
    """The section of a command, followed by those of its subcommands."""
    command = group.get_command(parent, name)
    assert command is not None
    context = click.Context(command, parent=parent, info_name=name, **command.context_settings)
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield f"{'##' if parent.parent is None else '###'} {context.command_path}\n"
    yield inspect.cleandoc(command.help or "").replace("\b\n", "") + "\n"
    yield f"```\n{usage}\n```\n"
    records = [option.get_help_record(context) for option in command.params if isinstance(option, click.Option)]
    options = [[f"`{record[0]}`", record[1].replace("  [", " [")] for record in records if record is not None]
    if options:
        yield from table(("option", "meaning"), options)
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            yield from _command(command, each, context)
