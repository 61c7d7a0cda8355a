"""Variables and headers of servers: giving and taking them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import click

from mcpgateway.cli.commands.servers.change import changing, check_headers
from mcpgateway.cli.commands.servers.servers import of_name
from mcpgateway.cli.completion_values import header_names, variable_names
from mcpgateway.cli.values import headers, of_file, pairs

env_file_option: Callable[[Any], Any] = click.option(
    "--env-file",
    type=click.Path(allow_dash=True),
    metavar="FILE",
    help="Take variables from the NAME=VALUE lines of a file; - is stdin. Values stay out of the command line.",
)


def _variables(assignments: tuple[str, ...], env_file: str | None) -> dict[str, Any]:
    if len(assignments) == 2 and not any("=" in each for each in assignments):
        name, value = assignments
        if value not in os.environ:
            assignments = (f"{name}={value}",)  # as `servers set NAME KEY VALUE` takes them
    values = {**(of_file(env_file) if env_file else {}), **pairs(assignments, "set-env")}
    if not values:
        raise click.UsageError("name a variable, or an --env-file")
    return {"add_env": values, "keep_secrets": True}


def words(name: str, metavar: str, completes: Any = None, *, required: bool = True) -> Callable[[Any], Any]:
    """Declare an argument that takes several words.

    :param completes: completes each word in a shell; None where it may be anything.
    """
    return click.argument(name, metavar=metavar, nargs=-1, required=required, shell_complete=completes)


set_env = changing(
    "set-env",
    "Give a server variables. If it runs, it is restarted.\n\n"
    "VARIABLE VALUE sets one, and VARIABLE without a value takes it from this command's environment, or else from"
    " stdin: on a terminal it is asked for, and not shown. So no secret has to stand in the command line. The value of"
    " a secret is written to the gateway's own .env, and the entry refers to it.",
    of_name,
    words("assignments", "[VARIABLE[=VALUE]]...", variable_names, required=False),
    env_file_option,
    body=_variables,
)
unset_env = changing(
    "unset-env",
    "Take variables away from a server. If it runs, it is restarted.",
    of_name,
    words("names", "VARIABLE...", variable_names),
    body=lambda names: {"remove_env": list(names)},
)
set_header = changing(
    "set-header",
    "Give a server headers, which are sent with every request, and try it with them.\n\n"
    "Values are taken and kept as by set-env; a header may be written 'HEADER: VALUE', too.",
    of_name,
    words("assignments", "HEADER[=VALUE]...", header_names),
    body=lambda assignments: {"add_headers": headers(assignments, "set-header"), "keep_secrets": True},
    after=check_headers,
)
unset_header = changing(
    "unset-header",
    "Take headers away from a server.",
    of_name,
    words("names", "HEADER...", header_names),
    body=lambda names: {"remove_headers": list(names)},
)
