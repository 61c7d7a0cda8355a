"""Commands that show, check and change the configuration: they work on the files here, without a gateway."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from mcpgateway.cli.completion_values import config_assignments, config_keys, server_names
from mcpgateway.cli.console import DONE, confirm, emit, fail, only_here, paragraph
from mcpgateway.cli.console import show as show_text
from mcpgateway.cli.context import Globals
from mcpgateway.cli.lazy import SuggestingGroup
from mcpgateway.cli.pager import paged
from mcpgateway.cli.queries import TableQuery, sharing, text
from mcpgateway.cli.values import pairs
from mcpgateway.hints import cli

if TYPE_CHECKING:
    from mcpgateway.system.settings import LoadOptions

FILE = click.Path()


@click.group(cls=SuggestingGroup, subcommand_metavar="VERB", invoke_without_command=True)
@click.pass_context
def config(context: click.Context) -> None:
    """Look at the configuration, check it, and change it."""
    globals_: Globals = context.obj
    only_here(globals_, "config")
    if context.invoked_subcommand is None:
        show_text(context.get_help())


APPROVALS = TableQuery(
    "/api/v1/approvals",
    {
        "STATE": text("state"),
        "FILE": text("path"),
        "SERVERS": lambda each: ", ".join(server["name"] for server in each["servers"]),
    },
    key="items",
    none="No file of a repository defines servers here.",
    cuts="FILE",
)


def _verb(name: str, says: str, *parameters: Callable[[Any], Any]) -> Callable[[Callable[..., int]], Any]:
    """Declare a verb with its own parameters, and the common ones."""

    def made(carry_out: Callable[..., int]) -> click.Command:
        command: Any = carry_out
        command = click.option(
            "--env-file", type=FILE, metavar="FILE", help="The file of values instead of .env in the home."
        )(command)
        command = click.option("--config", type=FILE, metavar="FILE", help="The configuration file.")(command)
        for each in reversed(parameters):
            command = each(command)
        return config.command(name, help=says, short_help=says)(command)

    return made


def done(work: Callable[[], int]) -> int:
    """Run code of the gateway, with the exit code and errors of a command."""
    from mcpgateway.errors import ConfigError

    try:
        return work()
    except ConfigError as why:
        fail(str(why), why.hint)
    except BrokenPipeError:
        # The reader has closed the pipe; the rest must not be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return DONE


def _corrected(verb: str, words: Sequence[str], work: Callable[[], int]) -> int:
    """Change keys; the command with the key that is meant is the hint of an error about one that does not exist."""
    from mcpgateway.config.edit.config_keys import config_key_path, meant_command
    from mcpgateway.errors import Unfit

    for word in words:
        try:
            config_key_path(word.partition("=")[0])
        except Unfit as why:
            top, *rest = word.split(".", 2)
            server = rest[0] if top == "servers" and len(rest) == 2 else ""
            is_whole = top == "servers" and not server
            fail(why.message, "" if is_whole else meant_command(verb, rest[-1] if server else word, server))
    return done(work)


def _with_output(globals_: Globals, work: Callable[[], int]) -> int:
    """Run code whose output is for people; with --json, print an object with its lines."""
    if not globals_.as_json:
        return done(work)
    from contextlib import redirect_stdout
    from io import StringIO

    out = StringIO()
    with redirect_stdout(out):
        code = done(work)
    emit({"ok": code == DONE, "said": out.getvalue().splitlines()})
    return code


def load_options(globals_: Globals, config: str | None = None, env_file: str | None = None) -> LoadOptions:
    """Return the options with which the files of the gateway are read here, as the running one reads them."""
    from mcpgateway.clientfiles.reader import enrolled_files
    from mcpgateway.system.settings import LoadOptions

    options = LoadOptions(config, home=globals_.named_home, env_file=env_file, enrolled=enrolled_files)
    if config is not None:
        return options
    from mcpgateway.clientfiles.machine import as_it_runs

    return as_it_runs(options, globals_.home)


@_verb(
    "check",
    "Say all that is wrong with the configuration, or with FILE in place of the usual files.",
    click.argument("file", required=False, type=FILE, metavar="[FILE]"),
)
@click.pass_obj
def check(globals_: Globals, *, file: str | None, config: str | None, env_file: str | None) -> int:
    """Find what is wrong."""

    def work() -> int:
        from mcpgateway.cli.local.check import check as carry_out

        options = load_options(globals_, config if file is None else file, env_file)
        return carry_out(options, os.environ, as_json=globals_.as_json)

    return done(work)


@_verb(
    "show",
    "Show what counts, and where each value comes from.",
    click.option("--server", metavar="NAME", shell_complete=server_names, help="One server only."),
)
@click.pass_obj
def show(globals_: Globals, *, server: str | None, config: str | None, env_file: str | None) -> int:
    """Show the configuration."""

    def work() -> int:
        from mcpgateway.cli.local.show import show as carry_out

        options = load_options(globals_, config, env_file)
        return carry_out(options, os.environ, server=server, as_json=globals_.as_json)

    with paged(is_on=globals_.is_paged and not globals_.as_json):
        return done(work)


@_verb("schema", "Print the JSON Schema of configuration files, for editors.")
@click.pass_obj
def schema(globals_: Globals, *, config: str | None, env_file: str | None) -> int:
    """Print the schema."""

    def work() -> int:
        from mcpgateway.config.schema import json_schema

        emit(json_schema())
        return DONE

    return done(work)


@_verb(
    "init",
    "Write a configuration file that explains every setting.",
    click.option("--force", is_flag=True, help="Replace the file that is there."),
)
@click.pass_obj
def init(globals_: Globals, *, force: bool, config: str | None, env_file: str | None) -> int:
    """Write a file."""

    def work() -> int:
        from mcpgateway.cli.local.init import init as carry_out
        from mcpgateway.clientfiles.reader import enrolled_files
        from mcpgateway.system.settings import LoadOptions

        options = LoadOptions(config, home=globals_.named_home, env_file=env_file, enrolled=enrolled_files)
        return carry_out(options, os.environ, force=force)

    return _with_output(globals_, work)


@_verb(
    "explain",
    "Say what a key is for, such as gateway.limits.spawns, servers.NAME.share or share, and its value and where"
    " that comes from.",
    click.argument("key", metavar="KEY", shell_complete=config_keys),
)
@click.pass_obj
def explain(globals_: Globals, *, key: str, config: str | None, env_file: str | None) -> int:
    """Explain a key."""

    def work() -> int:
        from mcpgateway.cli.local.explain import explain as carry_out

        options = load_options(globals_, config, env_file)
        return carry_out(
            key, options, os.environ, functools.partial(_at_work, globals_), as_json=globals_.as_json
        )

    return done(work)


def _at_work(globals_: Globals, server: str) -> str:
    from urllib.parse import quote

    from mcpgateway.cli.client import GatewayClient, NoGateway

    try:
        reply = GatewayClient(globals_).ask(f"/api/v1/servers/{quote(server, safe='')}/why")
    except NoGateway:
        return ""
    if reply.status != 200 or not (shared := sharing(reply.value)):
        return ""
    asked = ", ".join(reply.value.get("asked") or ["nothing"])
    return f"at work: {shared}; it has asked its clients: {asked}"


_KEY = click.argument("key", metavar="KEY", shell_complete=config_keys)


@_verb(
    "get",
    "Print the value of a key, such as gateway.http_port or servers.NAME.timeout.",
    click.argument("key", metavar="KEY", required=False, shell_complete=config_keys),
)
@click.pass_obj
def get(globals_: Globals, *, key: str | None, config: str | None, env_file: str | None) -> int:
    """Print a value."""
    if key is None:
        raise click.UsageError(
            f"config get: Missing argument 'KEY'; {cli('config show')} shows all keys that are set"
        )

    def work() -> int:
        from mcpgateway.cli.local.own_keys import get as carry_out

        return carry_out(key, load_options(globals_, config, env_file), os.environ, as_json=globals_.as_json)

    return done(work)


@_verb(
    "set",
    "Give keys values, in the file that has them or in the configuration file. A value that is JSON is taken as that."
    " KEY without a value takes it from stdin, where it stays out of the command line.",
    click.argument(
        "assignments", metavar="KEY[=VALUE]...", nargs=-1, required=True, shell_complete=config_assignments
    ),
)
@click.pass_obj
def set_(globals_: Globals, *, assignments: tuple[str, ...], config: str | None, env_file: str | None) -> int:
    """Write values; ``KEY VALUE`` is taken as ``KEY=VALUE``."""
    is_pair = len(assignments) == 2 and not any("=" in each for each in assignments)
    words = (f"{assignments[0]}={assignments[1]}",) if is_pair else assignments
    values = pairs(words, "config set")

    def work() -> int:
        from mcpgateway.cli.local.own_keys import set_keys as carry_out

        return carry_out(
            values, load_options(globals_, config, env_file), os.environ, as_json=globals_.as_json
        )

    return _corrected("set", words, work)


@_verb("unset", "Take a key out of the files of the gateway, so that its default counts.", _KEY)
@click.pass_obj
def unset(globals_: Globals, *, key: str, config: str | None, env_file: str | None) -> int:
    """Take a key out."""

    def work() -> int:
        from mcpgateway.cli.local.own_keys import unset as carry_out

        return carry_out(key, load_options(globals_, config, env_file), os.environ, as_json=globals_.as_json)

    return _corrected("unset", (key,), work)


@_verb("path", "Print the path of the configuration file.")
@click.pass_obj
def path(globals_: Globals, *, config: str | None, env_file: str | None) -> int:
    """Print the path."""

    def work() -> int:
        from mcpgateway.cli.local.own_keys import path as carry_out

        return carry_out(load_options(globals_, config, env_file), os.environ, as_json=globals_.as_json)

    return done(work)


@_verb("edit", "Open the configuration file in $EDITOR, and take the edited text if it has no error.")
@click.pass_obj
def edit(globals_: Globals, *, config: str | None, env_file: str | None) -> int:
    """Edit the file."""
    if globals_.as_json:
        raise click.UsageError("a program cannot edit: config set changes single keys")

    def work() -> int:
        from mcpgateway.cli.local.own_keys import edit as carry_out

        return carry_out(load_options(globals_, config, env_file), os.environ, edit_again)

    return done(work)


def edit_again(errors: str) -> bool:
    """Print the errors of an edited text, and ask whether to edit it again; false where nobody can be asked."""
    if not sys.stdin.isatty():
        return False
    paragraph(errors, err=True)
    return confirm("Edit it again?", default=True, err=True)


@_verb(
    "import",
    "Take over the servers of other programs' files.",
    click.argument("files", nargs=-1, required=True, type=FILE, metavar="FILE..."),
    click.option(
        "--into", type=FILE, metavar="FILE", help="The file to write to (default: the configuration file)."
    ),
    click.option("--dry-run", is_flag=True, help="Print what the file would be."),
)
@click.pass_obj
def import_(
    globals_: Globals,
    *,
    files: tuple[str, ...],
    into: str | None,
    dry_run: bool,
    config: str | None,
    env_file: str | None,
) -> int:
    """Take servers over."""

    def work() -> int:
        from mcpgateway.cli.local.node_edits import where_it_counts
        from mcpgateway.clientfiles.import_servers import take_over

        options = load_options(globals_, config, env_file)
        where = functools.partial(where_it_counts, options.home, os.environ)
        return take_over(options, os.environ, files, into=into, is_dry=dry_run, where=where)

    return _with_output(globals_, work)


@config.command("approvals")
@click.pass_obj
def approvals(globals_: Globals) -> None:
    """List the repositories' files that define servers, those that wait for your approval first."""
    APPROVALS.run(globals_)


@_verb(
    "approve",
    "Let the servers of a repository's .mcp.json run, as it is now.",
    click.argument("path", type=FILE, metavar="PATH"),
    click.option("--digest", metavar="SHA256", help="Only if the file has this digest."),
    click.option("--yes", "-y", is_flag=True, help="Do not ask."),
    click.option(
        "--refuse",
        "other",
        flag_value="refuse",
        help="Refuse it as it is: nothing asks for it until it changes.",
    ),
    click.option(
        "--revoke", "other", flag_value="revoke", help="Approve of it no more, or refuse it no more."
    ),
)
@click.pass_obj
def approve(
    globals_: Globals,
    *,
    path: str,
    digest: str | None,
    yes: bool,
    other: str | None,
    config: str | None,
    env_file: str | None,
) -> int:
    """Approve of a repository."""
    if other and (digest or yes):
        raise click.UsageError(f"--{other} goes with neither --digest nor --yes")
    if globals_.as_json and not (yes or other):
        raise click.UsageError("a program cannot be asked: --json goes with --yes")

    def work() -> int:
        from mcpgateway.cli.local import approve as approving

        options = load_options(globals_, config, env_file)
        if other:
            answer = approving.revoke if other == "revoke" else approving.refuse
            return answer(options, os.environ, path)
        return approving.approve(options, os.environ, path, digest=digest, is_sure=yes)

    return _with_output(globals_, work)
