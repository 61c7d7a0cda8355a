"""Texts for agents: print them, install them for clients, and remove them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from mcpgateway.cli.completion_values import agent_names
from mcpgateway.cli.console import DONE, FAILED, answer, answer_list, fail, say, shortened, show
from mcpgateway.cli.context import Globals
from mcpgateway.cli.files import careful, files_at_work, machine_of
from mcpgateway.cli.lazy import SuggestingGroup
from mcpgateway.hints import cli

if TYPE_CHECKING:
    from mcpgateway.clientfiles.instructions.written import TextReport

TEMPLATE_LIMIT = 65_536
EXAMPLES = f"""\b
Examples:
  {cli("instructions show")}                             print the text
  {cli("instructions install")}                          write it for all clients here
  {cli("instructions install --client codex --project")}
  {cli("instructions install --client claude-plugin")}   a plugin of Claude Code
  {cli("instructions uninstall")}                        remove all that was written
  {cli("instructions setup")}                            have an agent set up the gateway
"""
Command = Callable[..., Any]


@click.group(
    cls=SuggestingGroup,
    bare="show",
    epilog=EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"]},
)
def instructions() -> None:
    """Tell agents about the gateway: in files that they read, and by commands for their users.

    Texts that are installed are kept up to date with the gateway, until they are removed.
    """


@instructions.command("show")
@click.pass_obj
def show_(globals_: Globals) -> None:
    """Print the text for agents."""
    from mcpgateway.clientfiles.instructions.wanted import block_of

    _print(globals_, careful(lambda: block_of(machine_of(globals_), frozenset(), "")))


@instructions.command()
@click.pass_obj
def setup(globals_: Globals) -> None:
    """Print a prompt for an agent that is to set up the gateway."""
    from mcpgateway.clientfiles.instructions import texts

    _print(globals_, texts.setup())


def _print(globals_: Globals, text: str) -> None:
    answer(globals_, {"text": text}, lambda: show(text, nl=False))


def _known(context: click.Context, parameter: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    from mcpgateway.clientfiles.instructions.agents import PLUGIN, clients

    for each in names:
        if each not in (known := (*clients(), PLUGIN)):
            raise click.UsageError(f"--client {each}: expected one of {', '.join(known)}")
    return names


def chooses(command: Command) -> Command:
    """Add the options that select clients and a scope."""
    command = click.option(
        "--project",
        "is_project",
        is_flag=True,
        help="The files of the project here, in place of those for all of your projects.",
    )(command)
    return click.option(
        "--client",
        "names",
        metavar="NAME",
        multiple=True,
        shell_complete=agent_names,
        callback=_known,
        help="One client, or claude-plugin, a plugin of Claude Code; may be given again.",
    )(command)


@instructions.command()
@chooses
@click.option(
    "--servers", "is_each", is_flag=True, help="A command for each server, too, such as /use-github."
)
@click.option(
    "--template",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="Its text, with ${server_name} and ${server_url}.",
)
@click.pass_obj
def install(
    globals_: Globals, names: Sequence[str], *, is_project: bool, is_each: bool, template: str | None
) -> int:
    """Write a text and commands for agents into the files that clients read, and keep them up to date.

    Without --client, for all clients on this machine that take them. A file of yours gets a block between two marks; a
    file that is yours alone, or that you edit, stays as it is.
    """
    from mcpgateway.clientfiles import files
    from mcpgateway.clientfiles.instructions import wanted, written
    from mcpgateway.clientfiles.instructions.agents import PLUGIN, clients
    from mcpgateway.system.files import read_text

    machine = machine_of(globals_)
    found = [each.dialect.name for each in files.detect(machine.environ)]
    chosen = names or [each for each in clients() if each in found]
    if not chosen:
        fail(
            "no client is found on this machine that takes instructions",
            f"{cli('instructions install --client NAME')} names one",
        )
    if is_project and PLUGIN in chosen:
        raise click.UsageError("instructions install: the plugin is for all projects; leave out --project")
    text = careful(lambda: read_text(template, TEMPLATE_LIMIT)) if template else "" if is_each else None
    project = _project(is_project=is_project)
    texts = [wanted.InstalledTexts(each, project, text) for each in chosen]
    with files_at_work("writing"):
        reports = careful(lambda: written.install(machine, texts))
    code = _tell(globals_, reports)
    if PLUGIN in chosen and not globals_.as_json:
        where = shortened(wanted.plugin_directory(machine))
        say("In Claude Code, these two install the plugin:")
        say(f"  /plugin marketplace add {where}")
        say("  /plugin install mcpgateway@mcpgateway")
    return code


@instructions.command()
@chooses
@click.pass_obj
def uninstall(globals_: Globals, names: Sequence[str], *, is_project: bool) -> int:
    """Remove the texts and commands of agents; files are as they were before.

    Without options, all of them in all projects.
    """
    from mcpgateway.clientfiles.instructions import written

    project = _project(is_project=is_project)
    with files_at_work("restoring"):
        reports = careful(
            lambda: written.uninstall(
                machine_of(globals_),
                lambda each: (not names or each.client in names) and project in ("", each.project),
            )
        )
    return _tell(globals_, reports)


@instructions.command("list")
@click.pass_obj
def list_(globals_: Globals) -> None:
    """List the files that have texts for agents, and their states."""
    from mcpgateway.clientfiles.instructions import written

    found = careful(lambda: written.listed(machine_of(globals_)))
    none = f"There are none; {cli('instructions install')} writes them."
    answer_list(globals_, [each.as_json() for each in found], lambda: _tell_each(found, none))


def _project(*, is_project: bool) -> str:
    from mcpgateway.clientfiles.files import project_around

    return careful(lambda: project_around(os.getcwd(), os.environ)) if is_project else ""


def _tell(globals_: Globals, reports: Sequence[TextReport]) -> int:
    from mcpgateway.clientfiles.instructions.written import TextState

    changed = [each for each in reports if each.state is not TextState.CURRENT]
    value = {"files": [each.as_json() for each in reports]}
    answer(globals_, value, lambda: _tell_each(changed, "All files are up to date."))
    return FAILED if any(each.error for each in reports) else DONE


def _tell_each(reports: Sequence[TextReport], none: str) -> None:
    for each in reports:
        who = f" ({', '.join(each.clients)})" if each.clients else ""
        say(
            f"{shortened(each.path)}{who}: {each.error or each.state.value}", fg="red" if each.error else None
        )
    if not reports:
        say(none)
