"""One server alone, in the foreground: at a URL, or on stdin and stdout."""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import click

from mcpgateway.cli.commands.servers.edit import URLS, program_of, values_of
from mcpgateway.cli.commands.servers.servers import COMES, RUNS, WORKS
from mcpgateway.cli.console import DONE, fail, only_here, paragraph, spinner, styled
from mcpgateway.cli.lazy import ServedCommand, behind
from mcpgateway.cli.one_server import Alone, OneServer, Signalled, alone, relayed
from mcpgateway.cli.values import Expanding
from mcpgateway.hints import cli

HOST, PORT = "127.0.0.1", 8000
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - what a user names, and is asked to mean
LOOPBACK = ("127.0.0.1", "localhost", "::1")
RUNNERS = frozenset(
    "npx bunx pnpm pnpx yarn npm dlx exec uvx uv run pipx node bun deno python python3 sh bash docker".split()
)
VERSION = re.compile(r"(?<=.)(@|==|\[).*$")
WORD = re.compile(r"[\w@./~-]+")
SUFFIX = re.compile(r"\.(py|m?js|ts|sh)$")
PLAIN_HOSTS = frozenset(("mcp", "www", "api"))
USUAL_NAME = "server"
STDERR_LINES = 20
LEVELS = ("debug", "info", "warn", "warning", "error", "critical")


@click.command("serve", cls=ServedCommand)
@click.argument("target", metavar="[URL | -- COMMAND ...]", required=False)
@click.option("--stdio", is_flag=True, help="Offer the server on stdin and stdout, not at a URL.")
@click.option(
    "--port",
    "-p",
    metavar="N",
    type=click.IntRange(0, 65535),
    help=f"TCP port (default: {PORT}); 0: a free one.",
)
@click.option(
    "--host",
    metavar="ADDRESS",
    default=HOST,
    show_default=True,
    help="Where to listen; others than loopback need a token.",
)
@click.option("--name", metavar="NAME", help="The server's name in the URL (default: that of its package).")
@click.option(
    "-e",
    "--env",
    multiple=True,
    metavar="NAME[=VALUE]",
    help="A variable, besides those of this shell; may be repeated.",
)
@click.option("--env-file", metavar="FILE", help="Variables, as NAME=VALUE lines.")
@click.option(
    "-H",
    "--header",
    "headers",
    multiple=True,
    metavar="'NAME: VALUE'",
    help="A header for every request to a URL; may be repeated.",
)
@click.option("--cwd", type=click.Path(), metavar="DIRECTORY", help="Where the command runs (default: here).")
@click.option(
    "--share", metavar="SCOPE", help="How widely one process is shared: auto, global, session and others."
)
@click.option("--timeout", metavar="TIME", help="How long one call may take, such as 2m.")
@click.option(
    "--allow-host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="A name of this machine in other machines' URLs; may be repeated.",
)
@click.option(
    "--allow-origin",
    "origins",
    multiple=True,
    metavar="ORIGIN",
    help="A web page's origin that may use the server; may be repeated.",
)
@click.option("--public-url", metavar="URL", help="The gateway's own URL behind a proxy.")
@click.option(
    "--log-level",
    type=click.Choice(LEVELS),
    metavar="LEVEL",
    default="error",
    show_default=True,
    help="What stderr shows of the log: debug, info, warn, error or critical.",
)
@click.pass_context
def serve_one(context: click.Context, /, *, target: str | None, stdio: bool, **options: Any) -> int:
    """Serve one server alone, without any file: a command behind --, or a server at a URL.

    Clients use the URL that is printed (Streamable HTTP), or /sse beside it. Ctrl-C ends the server. The directory
    that the gateway needs meanwhile is a temporary one; no client's file and no other gateway is touched.
    """
    only_here(context.obj, "serve")
    if context.obj.as_json:
        raise click.UsageError("serve: --json does not apply")
    server = _server(context, target, options, is_stdio=stdio)
    try:
        with alone(server) as gateway:
            return _served(gateway, server, options["host"], is_stdio=stdio)
    except Signalled:
        return DONE


def carry_out(context: click.Context) -> int:
    """Serve the one server that the words behind ``serve`` name."""
    with serve_one.make_context("serve", list(context.args), parent=context.parent) as made:
        code: int = serve_one.invoke(made)
        return code


def help_of(context: click.Context) -> str:
    """Return the help for one server alone."""
    return serve_one.get_help(click.Context(serve_one, context.parent, "serve"))


# The words


def _server(
    context: click.Context, target: str | None, options: Mapping[str, Any], *, is_stdio: bool
) -> OneServer:
    words = behind(context)
    if target is not None and not target.startswith(URLS):
        meant = f"it stands behind --, as in: {cli('serve -- npx -y SERVER')}"
        raise click.UsageError(f"serve: found {target!r}; expected a URL, or a command: {meant}")
    if words and target:
        raise click.UsageError("serve: a server is given twice: by its URL and behind --")
    if not words and not target:
        raise click.UsageError("serve: name the server: its URL, or a command behind --")
    if options["headers"] and words:
        raise click.UsageError("serve: --header goes with a URL")
    if (options["env"] or options["env_file"] or options["cwd"]) and target:
        raise click.UsageError("serve: --env, --env-file and --cwd go with a command")
    expanding = Expanding(os.environ, is_on=False)
    entry: dict[str, Any] = {}
    if words:
        entry |= {
            "command": program_of(words[0]),
            "args": words[1:],
            "env_policy": "full",
            "cwd": os.getcwd(),
        }
    else:
        entry["url"] = target
    entry |= values_of(entry, expanding, options)
    entry |= {key: options[key] for key in ("share", "timeout") if options[key] is not None}
    name = _checked(options["name"]) if options["name"] else named_after(words, target or "")
    return OneServer(name, entry, _settings(options, is_stdio=is_stdio), options["log_level"])


def _settings(options: Mapping[str, Any], *, is_stdio: bool) -> dict[str, Any]:
    host, port = options["host"], options["port"]
    if is_stdio and (port is not None or host != HOST):
        raise click.UsageError("serve: --port and --host do not go with --stdio")
    usual = 0 if is_stdio else PORT
    host = HOST if host == "localhost" else host
    made: dict[str, Any] = {"http_port": usual if port is None else port, "bind_address": host}
    if host not in LOOPBACK:
        made["allow_remote"] = True
        made["allowed_hosts"] = [*options["hosts"], socket.gethostname() if host in EVERYWHERE else host]
    if options["origins"]:
        made["allowed_origins"] = list(options["origins"])
    if options["public_url"]:
        made["public_url"] = options["public_url"]
    return made


def _checked(name: str) -> str:
    from mcpgateway.config.names import RESERVED_BEFORE_MCP, slug

    if slug(name) != name:
        raise click.UsageError(f"serve: --name: found {name!r}; expected letters, digits, and any of _ -")
    if name in RESERVED_BEFORE_MCP:
        raise click.UsageError(f"serve: --name: /{name} is a path of the gateway; choose another")
    return name


def named_after(words: Sequence[str], url: str) -> str:
    """Return a name for a server: that of its package, program or host."""
    from mcpgateway.config.names import RESERVED_BEFORE_MCP
    from mcpgateway.config.recipes import name_of

    if url:
        labels = (urlsplit(url).hostname or "").split(".")
        word = next((each for each in labels if each not in PLAIN_HOSTS and not each.isdigit()), "")
    else:
        plain = [each for each in words if not each.startswith("-") and os.path.basename(each) not in RUNNERS]
        word = SUFFIX.sub("", VERSION.sub("", (plain or words)[0]))
        word = word if WORD.fullmatch(word) else ""  # such as the text of a shell
    name = name_of(word) if word else USUAL_NAME
    return USUAL_NAME if name in RESERVED_BEFORE_MCP else name


# The life


def _served(gateway: Alone, server: OneServer, host: str, *, is_stdio: bool) -> int:
    with spinner(f"starting {server.name}"):
        gateway.begin()
        found = gateway.start()
        while found.get("status") in COMES:
            found = gateway.start()
    _check(gateway, server, found)
    if is_stdio:
        if sys.stdin.isatty():
            paragraph(
                f"{server.name} waits for the messages of an MCP client on stdin; Ctrl-D ends it", err=True
            )
        return relayed(gateway, server.name)
    _tell(gateway, server, found, host)
    return gateway.wait()


def _check(gateway: Alone, server: OneServer, found: Mapping[str, Any]) -> None:
    """Check that the server works, or waits for a sign-in.

    :raise Trouble: it does neither.
    """
    state = str(found.get("status") or "")
    if state in RUNS | WORKS:
        return
    if found.get("login_url"):
        paragraph(f"{server.name} wants a sign-in: {found['login_url']}", err=True)
        return
    lines = [str(each) for each in gateway.why().get("stderr") or ()]
    fail(str(found.get("last_error") or f"{server.name} is {state}"), "\n".join(lines[-STDERR_LINES:]))


def _tell(gateway: Alone, server: OneServer, found: Mapping[str, Any], host: str) -> None:
    shown = "127.0.0.1" if host in EVERYWHERE else f"[{host}]" if ":" in host else host
    base = f"http://{shown}:{gateway.port}/{server.name}"
    paragraph(f"{server.name} is served at ", styled(f"{base}/mcp", bold=True))
    paragraph(f"  Clients that know only SSE use {base}/sse")
    if host not in LOOPBACK:
        paragraph(f"  Clients on other machines send the header Authorization: Bearer {gateway.token}")
