"""The gateway in the foreground, or one server alone."""

from __future__ import annotations

import os
import shlex

import click

from mcpgateway import __version__
from mcpgateway.cli.console import DONE, only_here, say, show
from mcpgateway.cli.context import Globals
from mcpgateway.cli.entry import asks_for_help
from mcpgateway.cli.lazy import RawCommand
from mcpgateway.hints import PROGRAM, cli
from mcpgateway.shim.startup import argv
from mcpgateway.system.process.interrupts import hold

HELP, VERSION = ("--help", "-h"), "--version"


@click.command(cls=RawCommand, context_settings={"help_option_names": list(HELP)})
@click.option("--port", "-p", metavar="N", help="TCP port on loopback (default: 9100).")
@click.option("--config", "-c", metavar="FILE", help="Configuration file, YAML or JSON.")
@click.option("--env-file", metavar="FILE", help="File of values instead of .env in the home.")
@click.option(
    "--source",
    metavar="FILE",
    help="A client's file to read servers from, instead of ~/.claude.json; repeatable.",
)
@click.option("--listen", metavar="ENDPOINT", help="A further Twisted endpoint to listen on; repeatable.")
@click.option("--log-level", metavar="LEVEL", help="debug, info, warn, error or critical.")
@click.option("--adopt", is_flag=True, help="Enrol the files of this machine's clients.")
@click.option("--no-adopt", is_flag=True, help="Change no client's file, whatever the configuration says.")
@click.option(
    "--managed",
    is_flag=True,
    help="A service manager starts it again: clients' files use the gateway meanwhile.",
)
@click.option(
    "--no-auth", is_flag=True, help="Programs of yours on this machine need no token, whatever they change."
)
@click.option("--demo", is_flag=True, help="Serve the two demo servers too.")
@click.option("--welcome", is_flag=True, help="Print where the servers are; log only warnings and errors.")
@click.option(VERSION, is_flag=True, help="Say which release this is.")
@click.pass_context
def serve(context: click.Context) -> int:
    """Run the gateway in the foreground, and log to stdout; or serve one server alone, without any file.

    Where a gateway of the home runs and answers, that one goes on, and this is no error.
    """
    globals_: Globals = context.obj
    if names_one_server(context.args):
        from mcpgateway.cli.commands.running import serve_one

        return serve_one.carry_out(context)
    if asks_for_help(context.args):
        from mcpgateway.cli.commands.running import serve_one

        show(context.get_help())
        show("\n" + serve_one.help_of(context))
        return DONE
    if VERSION in context.args:
        say(f"mcpgateway {__version__}")
        return DONE
    _refuse_unknown(context)
    only_here(globals_, "serve")
    if not _yields(globals_):
        words = argv(globals_.named_home or None, context.args)
        hold()  # the plugin of twistd lets it through
        os.execv(words[0], words)  # noqa: S606 - without a shell
    return DONE


def names_one_server(words: list[str]) -> bool:
    """Return whether the words behind ``serve`` are a command behind ``--``, a URL, or ``--stdio``."""
    own = words[: words.index("--")] if "--" in words else words
    return len(own) < len(words) or "--stdio" in own or any("://" in each and each[0] != "-" for each in own)


def _refuse_unknown(context: click.Context) -> None:
    """Refuse options that the daemon does not have, before Twisted refuses them with its own help.

    :raise click.UsageError: an unknown option, one without its value, or a word that is no option.
    """
    if context.args and not context.args[0].startswith("-"):
        command = shlex.join(context.args)
        raise click.UsageError(f"the command of a server stands behind --: {PROGRAM} serve -- {command}")
    parser = context.command.make_parser(context)
    _, rest, _ = parser.parse_args(list(context.args))
    if rest:
        raise click.UsageError(f"serve: takes options only, and not {rest[0]}; {cli('serve --help')}")


def _yields(globals_: Globals) -> bool:
    from mcpgateway.cli.client import GatewayClient
    from mcpgateway.cli.gateway_process import gateway_pid
    from mcpgateway.cli.start import answers

    pid = gateway_pid(globals_.home)
    if not pid or not answers(GatewayClient(globals_)):
        return False
    say(f"The gateway of {globals_.home} is already running (pid {pid}); {cli('stop')} ends it.")
    return True
