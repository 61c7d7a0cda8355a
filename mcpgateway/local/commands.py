"""The verbs of ``mcpgateway config``, and their options."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import NoReturn

from mcpgateway.errors import ConfigError
from mcpgateway.host.settings import LoadOptions


class Parser(ArgumentParser):
    """Says what is wrong in one line, with the exit code of every mistake."""

    def error(self, message: str) -> NoReturn:
        """End the program."""
        sys.stderr.write(f"{self.prog}: {message}\n")
        raise SystemExit(1)


def run(argv: list[str]) -> int:
    """Carry out one command; its exit code."""
    arguments = _parser().parse_args(argv)
    carry_out: Callable[[Namespace, LoadOptions], int] = arguments.carry_out
    options = LoadOptions(arguments.config, home=arguments.home or "", env_file=arguments.env_file)
    try:
        return carry_out(arguments, options)
    except ConfigError as why:
        sys.stderr.write(f"mcpgateway config: {why}\n")
        return 1
    except BrokenPipeError:
        # Whoever reads has seen enough; what is left unsaid must not be said at the end either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> Parser:
    parser = Parser(prog="mcpgateway", allow_abbrev=False)
    config = parser.add_subparsers(required=True, metavar="config").add_parser(
        "config", description="Look at the configuration, check it, and change it.", allow_abbrev=False
    )
    verbs = config.add_subparsers(required=True, metavar="VERB", parser_class=Parser)

    def verb(name: str, says: str, carry_out: Callable[[Namespace, LoadOptions], int]) -> ArgumentParser:
        made = verbs.add_parser(name, help=says, description=says, allow_abbrev=False)
        made.add_argument("--home", metavar="DIRECTORY", help="the gateway's own files")
        made.add_argument("--config", metavar="FILE", help="the configuration file")
        made.add_argument("--env-file", metavar="FILE", help="the file of values instead of .env in the home")
        made.set_defaults(carry_out=carry_out)
        return made

    check = verb("check", "say all that is wrong with the configuration", _check)
    check.add_argument("file", nargs="?", metavar="FILE", help="a file to check in place of the usual ones")
    check.add_argument("--json", action="store_true", help="for programs")
    show = verb("show", "show what counts, and where each value comes from", _show)
    show.add_argument("--server", metavar="NAME", help="one server only")
    show.add_argument("--json", action="store_true", help="for programs")
    verb("schema", "print the JSON Schema of configuration files, for editors", _schema)
    init = verb("init", "write a configuration file that explains every setting", _init)
    init.add_argument("--force", action="store_true", help="replace the file that is there")
    explain = verb("explain", "say what a key is for", _explain)
    explain.add_argument(
        "key", metavar="KEY", help="such as gateway.limits.spawns, servers.NAME.share or share"
    )
    taken = verb("import", "take over the servers of other programs' files", _import)
    taken.add_argument("files", nargs="+", metavar="FILE")
    taken.add_argument(
        "--into", metavar="FILE", help="the file to write to (default: the configuration file)"
    )
    taken.add_argument("--dry-run", action="store_true", help="print what the file would be")
    approved = verb("approve", "let the servers of a repository's .mcp.json run, as it is now", _approve)
    approved.add_argument("path", metavar="PATH", help="the repository, or its .mcp.json")
    approved.add_argument("--digest", metavar="SHA256", help="only if the file has this digest")
    approved.add_argument("--yes", action="store_true", help="do not ask")
    approved.add_argument("--revoke", action="store_true", help="approve of it no more")
    return parser


# Each loads what it needs and no more: the smallest of them is asked for by programs, and often.


def _check(arguments: Namespace, options: LoadOptions) -> int:
    from attrs import evolve

    from mcpgateway.local.check import check

    if arguments.file is not None:
        options = evolve(options, config=arguments.file)
    return check(options, os.environ, as_json=arguments.json)


def _show(arguments: Namespace, options: LoadOptions) -> int:
    from mcpgateway.local.show import show

    return show(options, os.environ, server=arguments.server, as_json=arguments.json)


def _schema(arguments: Namespace, options: LoadOptions) -> int:
    import json

    from mcpgateway.config.jsonschema import json_schema

    sys.stdout.write(json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n")
    return 0


def _init(arguments: Namespace, options: LoadOptions) -> int:
    from mcpgateway.local.init import init

    return init(options, os.environ, force=arguments.force)


def _explain(arguments: Namespace, options: LoadOptions) -> int:
    from mcpgateway.local.explain import explain

    return explain(arguments.key)


def _import(arguments: Namespace, options: LoadOptions) -> int:
    from mcpgateway.local.taking import take_over

    return take_over(options, os.environ, arguments.files, into=arguments.into, is_dry=arguments.dry_run)


def _approve(arguments: Namespace, options: LoadOptions) -> int:
    from mcpgateway.local.approving import approve, revoke

    if not arguments.revoke:
        return approve(options, os.environ, arguments.path, digest=arguments.digest, is_sure=arguments.yes)
    if arguments.digest or arguments.yes:
        raise ConfigError("--revoke goes with neither --digest nor --yes")
    return revoke(options, os.environ, arguments.path)
