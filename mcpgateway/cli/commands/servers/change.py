"""Changes of a server's keys: in the gateway's configuration, or in the original that the gateway keeps."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from mcpgateway.cli.client import GatewayClient, NoGateway
from mcpgateway.cli.commands.servers.servers import API, RUNS, SERVER, STOP_S, of_name, operate
from mcpgateway.cli.completion_values import LOCAL
from mcpgateway.cli.console import (
    DONE,
    FAILED,
    Trouble,
    answer,
    confirm,
    emit,
    fail,
    in_json,
    only_here,
    paragraph,
    say,
    shortened,
)
from mcpgateway.cli.context import Globals
from mcpgateway.cli.files import careful, machine_of
from mcpgateway.cli.queries import ask
from mcpgateway.hints import cli

if TYPE_CHECKING:
    from mcpgateway.cli.local.edit_original import OriginalChange
    from mcpgateway.clientfiles.machine import Machine

TRY_S = 10.0  # for a server with new headers
LEFT = "the draft has no change, so nothing is written"
OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--original",
        is_flag=True,
        help="Write it into the file of the client that defines the server, instead of over it; shows the change, and"
        " asks.",
    ),
    click.option("--yes", "-y", is_flag=True, help="With --original: without asking."),
    click.option(
        "--project",
        type=click.Path(file_okay=False),
        metavar="DIRECTORY",
        help="The server that this project defines under NAME, where several do.",
    ),
)


def changing(
    word: str,
    says: str,
    *parameters: Callable[[Any], Any],
    body: Callable[..., dict[str, Any]],
    after: Callable[[Globals, str, Mapping[str, Any]], None] | None = None,
) -> click.Command:
    """Make a command that changes keys of a server.

    :param says: the help text.
    :param parameters: the command's arguments and options.
    :param body: makes the change, as the REST API has it, from all of them but ``name``.
    :param after: called with the name of the server and the change that a gateway has made.
    """

    @click.pass_obj
    def carry_out(
        globals_: Globals,
        /,
        *,
        name: str,
        project: str | None,
        original: bool = False,
        yes: bool = False,
        **options: Any,
    ) -> int:
        directory = os.path.realpath(project) if project else ""
        bare = [each for each in options.get("assignments", ()) if "=" not in each]
        if not original and not directory and len(bare) == 1:
            ask(globals_, SERVER, name=name)  # an unknown name is told before a value is asked for
        sent = body(**options)
        if original:
            only_here(globals_, f"servers {word} --original")

            sent.pop("keep_secrets", None)  # its client reads the values there

            def plan(machine: Machine) -> OriginalChange:
                from mcpgateway.cli.local import edit_original

                return edit_original.plan(machine, name, directory, sent)

            def alike(machine: Machine, change: OriginalChange) -> list[OriginalChange]:
                from mcpgateway.cli.local import edit_original

                return [] if directory else edit_original.alike(machine, change, sent)

            return _into_original(globals_, name, plan, alike, is_sure=yes)
        served = _served(globals_, name, directory) if directory else name
        try:
            _change(globals_, served, sent)
        except Trouble as why:
            words = options.get("assignments") or options.get("keys") or ()
            raise _corrected(why, word, served, words) from None
        if after is not None and not globals_.as_json:
            after(globals_, served, sent)
        return DONE

    made: Any = _with(carry_out, (*parameters, *OPTIONS))
    return click.command(word, help=says)(made)


def check_headers(globals_: Globals, name: str, sent: Mapping[str, Any]) -> None:
    """Warn of an authorization without a scheme, and try the server with its new headers."""
    for header, value in sent["add_headers"].items():
        if header.lower() == "authorization" and value and " " not in value.strip() and "${" not in value:
            paragraph(
                f"warning: the value of {header} has no scheme before it, such as Bearer; where the server"
                f" wants one, {cli('servers set-header {} {}', name, header)} takes the value anew: Bearer TOKEN"
            )
    if ask(globals_, SERVER, name=name).get("status") == "disabled":
        return
    operate(globals_, name, "start", TRY_S, waits="trying")


def _with(made: Any, parameters: Sequence[Callable[[Any], Any]]) -> Any:
    for each in reversed(parameters):
        made = each(made)
    return made


def _change(globals_: Globals, name: str, sent: dict[str, Any]) -> None:
    found = ask(globals_, SERVER, method="PATCH", body=sent, limit_s=STOP_S, is_admin=True, name=name)
    answer(globals_, found, lambda: _tell(globals_, name, found))


def _tell(globals_: Globals, name: str, found: dict[str, Any]) -> None:
    """Report a change of a server, and what becomes of its process."""
    keys = ", ".join(map(str, found.get("changed") or ()))
    if not keys:
        paragraph(f"{name} is unchanged: it is so already.")
        return
    paragraph(f"{name} is changed.")
    _tell_process(keys, ask(globals_, SERVER, name=name), restarts=bool(found.get("restarts")))
    if found.get("hint"):
        paragraph(f"  {' '.join(map(shortened, str(found['hint']).split(' ')))}")


def _tell_process(keys: str, server: Mapping[str, Any], *, restarts: bool) -> None:
    """Print what becomes of the process of a server whose keys are changed."""
    what = "process" if server.get("transport") in LOCAL else "connection"
    if restarts:
        paragraph(f"  {keys}: its {what} is replaced, and a new one answers the next call.")
    elif server.get("status") in RUNS:
        paragraph(f"  {keys}: counts at once, and its {what} goes on.")
    elif server.get("status") != "disabled":
        paragraph(f"  {keys}: counts from now on; its next call starts it.")


def _edit(globals_: Globals, /, *, name: str, project: str | None, original: bool, yes: bool) -> int:
    """Edit the keys of a server in $VISUAL or $EDITOR, with the further keys of such a server as comments.

    The entry of a server in a client's file is not changed: the keys that you write here, in the gateway's own
    configuration, replace those of the entry. With --original the entry itself is edited, as its client has it without
    the gateway. Where the text has an error, nothing is saved, and you can edit it again.
    """
    from mcpgateway.cli.commands.configuration.config import done, edit_again, load_options

    only_here(globals_, "servers edit")
    if globals_.as_json:
        raise click.UsageError("a program cannot edit: servers set changes single keys")
    directory = os.path.realpath(project) if project else ""
    if original:

        def plan(machine: Machine) -> OriginalChange:
            from mcpgateway.cli.local import edit_original

            return edit_original.edited(machine, name, directory, edit_again)

        return _into_original(globals_, name, plan, is_sure=yes, same=LEFT)
    served = _served(globals_, name, directory) if directory else name

    def work() -> int:
        from mcpgateway.cli.local.edit_server import edit as carry_out
        from mcpgateway.cli.local.node_edits import where_it_counts

        server = _as_it_runs(globals_, served)
        made = carry_out(served, load_options(globals_), os.environ, edit_again)
        if not made.keys:
            paragraph(f"{served} is unchanged: {LEFT}.")
            return DONE
        paragraph(f"{served} is changed in {shortened(made.file)}.")
        if server is None:
            paragraph(f"  No gateway runs here: {cli('start')} serves it.")
        else:
            _tell_process(
                ", ".join(made.keys), server, restarts=server.get("status") in RUNS and made.restarts
            )
            if where := where_it_counts(globals_.home, os.environ):
                paragraph(f"  {where}")
        for each in made.warnings:
            paragraph(f"warning: {each}")
        return DONE

    return done(work)


edit = click.command("edit", help=_edit.__doc__)(_with(click.pass_obj(_edit), (of_name, *OPTIONS)))


def _as_it_runs(globals_: Globals, name: str) -> Mapping[str, Any] | None:
    """Return a server as the gateway has it; empty where it does not know it, and None where no gateway runs."""
    try:
        reply = GatewayClient(globals_).ask(SERVER.format(name=quote(name, safe="")))
    except NoGateway:
        return None
    return reply.value if reply.status < HTTPStatus.BAD_REQUEST and isinstance(reply.value, dict) else {}


def _corrected(why: Trouble, verb: str, name: str, words: Sequence[str]) -> Trouble:
    """Return an error of a change with the command that is meant as its hint, where that is known.

    :param words: the keys, with their values where those were on the command line.
    """
    for word in words:
        key, equals, value = word.partition("=")
        hint = ""
        if key == "name" and equals and "name: is not changed" in why.message:
            hint = cli("servers rename {} {}", name, value)
        elif equals and (
            f".{key}: found text; expected a list" in why.message or f"{key} a list" in why.message
        ):
            hint = cli("servers set {} {}", name, f"{key}={in_json(_words(value), indent=None)}")
        elif verb == "set" and any(f"'{each}' is no key" in why.message for each in key.split(".")):
            from mcpgateway.config.edit.config_keys import meant_command  # only for a mistake

            hint = meant_command(verb, word, name)
        if hint:
            return Trouble(why.message, hint, why.code)
    return why


def _words(text: str) -> list[str]:
    """Return the words of a list that is typed with spaces or commas between them, as `servers add --args` takes it."""
    return text.split() if " " in text.strip() else [each.strip() for each in text.split(",") if each.strip()]


def _served(globals_: Globals, name: str, directory: str) -> str:
    """Return the name under which the gateway serves the server of a project."""
    found = [
        str(each["name"])
        for each in ask(globals_, API)
        if each.get("project") == directory and name in (each.get("name"), each.get("title"))
    ]
    if not found:
        fail(f"no server of {shortened(directory)} is called {name}")
    return found[0]


def _into_original(
    globals_: Globals,
    name: str,
    plan: Callable[[Machine], OriginalChange],
    alike: Callable[[Machine, OriginalChange], list[OriginalChange]] = lambda _, __: [],
    *,
    is_sure: bool,
    same: str = "it is so already",
) -> int:
    """Show a change of an original, ask, and write it; return the exit code.

    :param alike: returns the same change of the originals that other clients have of the server.
    """
    from mcpgateway.cli.local import edit_original

    machine = machine_of(globals_)
    edit = careful(lambda: plan(machine))
    others = careful(lambda: alike(machine, edit))
    path = shortened(edit.found.site.path)
    if not (edit.is_change or others):
        say(f"{name} is unchanged: {same}.")
        return DONE
    if not globals_.as_json:
        for line in (*edit.lines, *(line for each in others for line in each.lines)):
            say(line, is_foreign=True)
    if not is_sure:
        if globals_.as_json or not sys.stdin.isatty():
            fail(f"{name} is not changed: nobody can be asked", "--yes changes the file without asking")
        written = [path] if edit.is_other else []
        written += [shortened(each.place.file) for each in edit.uncovered]
        written += [shortened(each.found.site.path) for each in others]
        if not confirm(f"Write this into {' and '.join(dict.fromkeys(written))}?", err=True):
            fail("nothing was changed", code=FAILED)
    for each in (edit, *others):
        careful(partial(edit_original.carry_out, machine, each))
    _tell_written(globals_, name, edit, others)
    return DONE


def _tell_written(
    globals_: Globals, name: str, edit: OriginalChange, others: Sequence[OriginalChange]
) -> None:
    if globals_.as_json:
        files = [each.found.site.path for each in (edit, *others)]
        emit({"name": name, "status": "updated", "file": files[0], "files": files})
        return
    changed = [shortened(each.found.site.path) for each in (edit, *others) if each.is_other]
    if changed:
        paragraph(
            f"{name} is changed in {' and '.join(changed)}; a stop gives the entry back with the change."
        )
    for cover in edit.uncovered:
        keys, path = ", ".join(cover.keys), shortened(edit.found.site.path)
        paragraph(
            f"  {keys} is taken out of {shortened(cover.place.file)}, so that the value of {path} is in force."
        )
