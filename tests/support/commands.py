"""The commands of the program, as a tree."""

import click

from mcpgateway.cli.main import program


def commands(group=program, key_path=()):
    """All commands that a user may see, by their names."""
    context = click.Context(group, info_name="mcpgateway", resilient_parsing=True)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command.hidden:
            continue
        yield (*key_path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*key_path, name))
