"""The files for service managers: packaged templates, filled in for this installation and this home."""

from __future__ import annotations

import os
import plistlib
import re
import sys
from collections.abc import Mapping, Sequence

from attrs import frozen

from mcpgateway.errors import ConfigError
from mcpgateway.system import paths
from mcpgateway.system.service_files import LAUNCHD, SYSTEMD, sealed
from mcpgateway.system.settings import CONFIG_VARIABLES, ENV_FILE_VARIABLES

# Variables of the gateway's environment that name files; a service manager does not pass them on.
VARIABLES = (*CONFIG_VARIABLES, *ENV_FILE_VARIABLES, "CLAUDE_CONFIG_DIR")


@frozen
class ServiceSettings:
    """The settings of the service's files.

    :ivar home: the gateway's own directory.
    :ivar python: the interpreter that runs the gateway.
    :ivar environ: the variables that the service needs.
    """

    home: str
    python: str
    environ: Mapping[str, str]

    @classmethod
    def here(cls, home: str, environ: Mapping[str, str]) -> ServiceSettings:
        """Return the settings for this interpreter, and this environment.

        :raise ConfigError: a path cannot be written into a service's file.
        """
        named = {key: paths.absolute(environ[key], environ) for key in VARIABLES if environ.get(key)}
        for path in (home, sys.executable, *named.values()):
            if not path.isprintable():
                raise ConfigError(f"{path!r}: has characters that cannot stand in the file of a service")
        return cls(home, sys.executable, named)

    def gateway(self) -> list[str]:
        """The command line of the gateway, ``twist mcpgateway``."""
        return [
            *(self.python, "-P", "-m", "mcpgateway.app.twisted_runner", "twist", "--log-format=text"),
            *("mcpgateway", "--home", self.home),
        ]

    def deadman(self) -> list[str]:
        """The command line that restores clients' files."""
        program = os.path.join(os.path.dirname(self.python), "mcpgateway")
        words = ["--home", self.home, "clients", "deadman"]
        if os.access(program, os.X_OK):
            return [program, *words]
        # In a user's or a distribution's installation, the program is in another directory than the interpreter.
        code = "import sys; from mcpgateway.cli.entry import main; sys.exit(main())"
        return [self.python, "-P", "-c", code, *words]


@frozen
class Unit:
    """A file for a service manager.

    :ivar text: its complete text, with a seal at the end that marks it as the gateway's.
    """

    path: str
    text: str


def template(name: str) -> str:
    """Return the text of a packaged file."""
    with open(os.path.join(os.path.dirname(__file__), "templates", name), encoding="utf-8") as stream:
        return stream.read()


def systemd_units(place: ServiceSettings, directory: str) -> tuple[Unit, ...]:
    """Return the files for a user's systemd."""
    started = {SYSTEMD[0]: place.gateway(), SYSTEMD[1]: place.deadman()}
    return tuple(
        _sealed(os.path.join(directory, name), _systemd_text(name, started.get(name, []), place), place.home)
        for name in SYSTEMD
    )


def launchd_agents(place: ServiceSettings, directory: str) -> tuple[Unit, ...]:
    """Return the files for macOS."""
    started = zip(LAUNCHD, (place.gateway(), place.deadman()), strict=True)
    return tuple(
        _sealed(os.path.join(directory, name), _launchd_text(name, argv, place), place.home)
        for name, argv in started
    )


def _systemd_text(name: str, argv: Sequence[str], place: ServiceSettings) -> str:
    lines = template(name).split("\n")
    # The comment at the top is for users who copy the file by hand.
    lines = lines[next(at for at, line in enumerate(lines) if line.startswith("[")) :]
    variables = [f'Environment="{_escaped(f"{key}={value}")}"' for key, value in place.environ.items()]
    started = "\n".join([_exec_start(argv), *variables]) if argv else ""
    text = "\n".join(started if line.startswith("ExecStart=") else line for line in lines)
    return text.rstrip("\n") + "\n\n"


def _exec_start(argv: Sequence[str]) -> str:
    # Variables are replaced in arguments, but not in the name of the program.
    words = [_escaped(argv[0]), *(_escaped(word).replace("$", "$$") for word in argv[1:])]
    return "ExecStart=" + " ".join(
        word if re.fullmatch(r"[\w@%+=:,./$-]+", word) else f'"{word}"' for word in words
    )


def _escaped(word: str) -> str:
    return word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")


def _launchd_text(name: str, argv: Sequence[str], place: ServiceSettings) -> str:
    agent = plistlib.loads(template(name).encode())
    agent["ProgramArguments"] = list(argv)
    if place.environ:
        agent["EnvironmentVariables"] = dict(place.environ)
    return plistlib.dumps(agent, sort_keys=False).decode()


def _sealed(path: str, text: str, home: str) -> Unit:
    return Unit(path, sealed(path, text, home))
