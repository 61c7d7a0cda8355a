"""Credentials: taken from a KeePass database, and listed; never shown."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import click

from mcpgateway.cli.console import DONE, FAILED, answer, answer_list, emit, fail, say, table
from mcpgateway.cli.context import Globals
from mcpgateway.cli.files import careful
from mcpgateway.cli.lazy import SuggestingGroup
from mcpgateway.hints import cli

if TYPE_CHECKING:
    from mcpgateway.cli.local.credentials import ServerCredentials
    from mcpgateway.credentials.commands import CredentialResult, ImportAnswer
    from mcpgateway.credentials.keepass import DatabaseKey
    from mcpgateway.credentials.records import Credential

FILE = click.Path()
LINE_LIMIT = 4096
LINE_END = 2
VERSION = 1
DRY, ENV_FILE, SERVER = "dry-run", "to-env-file", "to-server"
PATCH_S = 30.0
REFUSALS = (401, 403)


@click.group(cls=SuggestingGroup)
def credential() -> None:
    """Take passwords and tokens from a KeePass database to where servers find them, and list what servers have.

    No value is ever shown.
    """


OPENING = (
    click.option(
        "--password-file",
        type=FILE,
        metavar="FILE",
        default="",
        help="Read the password from the first line of a file.",
    ),
    click.option("--password-stdin", is_flag=True, help="Read it from the first line of stdin."),
    click.option("--key-file", type=FILE, metavar="FILE", default="", help="The key file of the database."),
    click.option(
        "--group",
        metavar="GROUP",
        default="",
        help="Only what is in this group, named by its name or its path, and in those below it.",
    ),
)
TARGETS = (
    click.option(
        "--to-env-file",
        type=FILE,
        metavar="FILE",
        help="Write them into this file (default: .env), which only you can read then.",
    ),
    click.option("--to-server", is_flag=True, help="Give them to the servers of the running gateway."),
    click.option("--dry-run", is_flag=True, help="Only say which names would be written."),
)


def _with(options: Sequence[Callable[[Any], Any]]) -> Callable[[Any], Any]:
    def added(command: Any) -> Any:
        for each in reversed(options):
            command = each(command)
        return command

    return added


@credential.command("import")
@click.option("--keepass", type=FILE, metavar="FILE", required=True, help="The KeePass database (.kdbx).")
@_with((*OPENING, *TARGETS))
@click.pass_context
def import_(context: click.Context, /, *, keepass: str, **options: Any) -> None:
    """Take the entries of a KeePass database over: each is named after a server.

    The password of the entry NAME becomes the variable NAME_PASSWORD, its user NAME_USER, and every field F of yours
    NAME_F. A field HDR_X is the header X.
    """
    context.exit(_import(context.obj, keepass, **options))


@credential.command("import-kdbx")
@click.argument("file", type=FILE)
@_with((*OPENING, *TARGETS))
@click.pass_context
def import_kdbx(context: click.Context, /, *, file: str, **options: Any) -> None:
    """Take the entries of a KeePass database over, as: credential import --keepass FILE."""
    context.exit(_import(context.obj, file, **options))


def _import(globals_: Globals, file: str, *, to_env_file: str | None, to_server: bool, dry_run: bool,
            **opening: Any) -> int:  # fmt: skip
    if to_server and to_env_file is not None:
        raise click.UsageError("--to-env-file and --to-server: name one of them")
    found = _credentials(file, **opening)
    mode = DRY if dry_run else SERVER if to_server else ENV_FILE
    value = {
        "version": VERSION,
        "mode": mode,
        "found": len(found),
        "servers": [each.shown() for each in found],
    }
    if dry_run:
        answer(globals_, value, lambda: _tell_found(found))
        return DONE
    results = _put(globals_, found, None if to_server else to_env_file or ".env")
    value["results"] = [each.shown() for each in results]
    answer(globals_, value, lambda: _tell_results(results))
    return FAILED if any(each.status in ("failed", "partial") for each in results) else DONE


def _credentials(file: str, *, group: str, **options: Any) -> tuple[Credential, ...]:
    from mcpgateway.credentials.keepass import records
    from mcpgateway.credentials.records import credentials_of

    return careful(lambda: credentials_of(records(file, _lock(**options), group)))


def _lock(*, key_file: str, password_stdin: bool, password_file: str) -> DatabaseKey:
    from mcpgateway.credentials.keepass import DatabaseKey

    if password_stdin and password_file:
        raise click.UsageError("--password-file and --password-stdin: name one of them")
    if password_stdin:
        return DatabaseKey(_first_line(sys.stdin.buffer.readline(LINE_LIMIT + LINE_END), "stdin"), key_file)
    if password_file:
        return DatabaseKey(_first_line(_line_of(password_file), password_file), key_file)
    if sys.stdin.isatty():
        password: str = click.prompt("Password", hide_input=True, default="", show_default=False, err=True)
        return DatabaseKey(password if password or not key_file else None, key_file)
    if not key_file:
        hint = "name where it is: --password-file or --password-stdin"
        fail("nobody is there to be asked for the password", hint)
    return DatabaseKey(None, key_file)


def _line_of(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.readline(LINE_LIMIT + LINE_END)
    except OSError as why:
        fail(f"the password cannot be read from {path}: {why.strerror}")


def _first_line(line: bytes, where: str) -> str:
    line = line.rstrip(b"\r\n")
    if len(line) > LINE_LIMIT:
        _no_password(where, f"its first line is longer than {LINE_LIMIT} bytes")
    try:
        return line.decode()
    except UnicodeDecodeError:
        _no_password(where, "its first line is not UTF-8")


def _no_password(where: str, why: str) -> NoReturn:
    fail(f"the password cannot be read from {where}: {why}")


def _put(
    globals_: Globals, found: tuple[Credential, ...], env_file: str | None
) -> tuple[CredentialResult, ...]:
    from mcpgateway.credentials.commands import to_env_file, to_server

    if env_file is None:
        return careful(lambda: to_server(found, _patching(globals_)))
    return careful(lambda: to_env_file(found, env_file))


def _patching(globals_: Globals) -> Callable[[str, Mapping[str, Any]], ImportAnswer]:
    from urllib.parse import quote

    from mcpgateway.cli.client import GatewayClient, NoGateway
    from mcpgateway.credentials.commands import ImportAnswer

    remote = GatewayClient(globals_)

    def patch(name: str, body: Mapping[str, Any]) -> ImportAnswer:
        path = f"/api/v1/servers/{quote(name, safe='')}"
        try:
            reply = remote.ask(path, method="PATCH", body=body, limit_s=PATCH_S)
        except NoGateway as why:
            remote.unreachable(why)
        value = reply.value if isinstance(reply.value, dict) else {}
        if reply.status in REFUSALS:
            fail(f"the gateway refuses: {value.get('error') or reply.status}", str(value.get("hint") or ""))
        return ImportAnswer(reply.status, str(value.get("error") or f"HTTP {reply.status}"))

    return patch


def _tell_found(found: tuple[Credential, ...]) -> None:
    rows = [(each.name, ", ".join(sorted(each.env)), ", ".join(sorted(each.headers))) for each in found]
    table(("SERVER", "VARIABLES", "HEADERS"), rows)


def _tell_results(results: tuple[CredentialResult, ...]) -> None:
    table(("SERVER", "RESULT", "DETAIL"), [(each.name, each.status, each.detail) for each in results])


def _tell_rows(rows: list[tuple[str, str, str]]) -> None:
    if rows:
        table(("SERVER", "NAME", "FROM"), rows)
    else:
        say("No server is given a credential.")
        say(f"  {cli('servers set-env NAME VARIABLE=VALUE')} gives one.", dim=True)


@credential.command("list")
@click.pass_obj
def list_(globals_: Globals) -> None:
    """List the variables and headers that servers are given, and where each comes from."""
    found = _held(globals_)
    rows = [(each.name, name, where) for each in found for name, where in each.env_vars.items()]
    rows += [(each.name, f"{name}:", where) for each in found for name, where in each.headers.items()]
    items = [{"name": each.name, "env_vars": each.env_vars, "headers": each.headers} for each in found]
    answer_list(
        globals_, items, lambda: _tell_rows(sorted(rows)), older={"version": VERSION, "servers": items}
    )


@credential.command("list-structured")
@click.pass_obj
def list_structured(globals_: Globals) -> None:
    """List the names alone, as JSON, for programs."""
    emit({"version": VERSION, "servers": [each.shown() for each in _held(globals_)]})


def _held(globals_: Globals) -> list[ServerCredentials]:
    from mcpgateway.cli.local.credentials import held
    from mcpgateway.clientfiles.machine import as_it_runs
    from mcpgateway.clientfiles.reader import enrolled_files
    from mcpgateway.system.settings import LoadOptions

    options = LoadOptions(home=globals_.named_home, enrolled=enrolled_files)
    return careful(lambda: list(held(as_it_runs(options, globals_.home), os.environ)))
