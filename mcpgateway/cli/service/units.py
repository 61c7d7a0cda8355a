"""What a service manager is given to read: the packaged files, for this installation and this home."""

from __future__ import annotations

import hashlib
import os
import plistlib
import re
import sys
from collections.abc import Mapping, Sequence

from attrs import frozen

from mcpgateway.errors import ConfigError
from mcpgateway.system import paths
from mcpgateway.system.settings import CONFIG_VARIABLES, ENV_FILE_VARIABLES

SERVICE, DEADMAN = "mcpgateway", "mcpgateway-deadman"
SYSTEMD = (f"{SERVICE}.service", f"{DEADMAN}.service", f"{DEADMAN}.timer")
LAUNCHD = (f"{SERVICE}.plist", f"{DEADMAN}.plist")
# What the gateway itself looks for in its environment and names files; a service manager does not know it.
VARIABLES = (*CONFIG_VARIABLES, *ENV_FILE_VARIABLES, "CLAUDE_CONFIG_DIR")
SEAL = re.compile(r"\n(?:# |<!-- )Written by mcpgateway service install: (\w{16})/(\w{64})(?: -->)?\n\Z")


@frozen
class ServiceSettings:
    """For whom units are made.

    :ivar home: the gateway's own directory.
    :ivar python: the interpreter that runs the gateway.
    :ivar environ: the variables that it has to be given.
    """

    home: str
    python: str
    environ: Mapping[str, str]

    @classmethod
    def here(cls, home: str, environ: Mapping[str, str]) -> ServiceSettings:
        """This interpreter, and what the environment says of the gateway's files.

        :raise ConfigError: a path cannot be written into such a file.
        """
        named = {key: paths.absolute(environ[key], environ) for key in VARIABLES if environ.get(key)}
        for path in (home, sys.executable, *named.values()):
            if not path.isprintable():
                raise ConfigError(f"{path!r}: has characters that cannot stand in the file of a service")
        return cls(home, sys.executable, named)

    def gateway(self) -> list[str]:
        """How the gateway is started: as ``twist mcpgateway``."""
        return [
            *(self.python, "-P", "-m", "twisted", "--log-format=text"),
            *("mcpgateway", "--home", self.home),
        ]

    def deadman(self) -> list[str]:
        """How the command is started that restores clients' files."""
        program = os.path.join(os.path.dirname(self.python), "mcpgateway")
        words = ["--home", self.home, "clients", "deadman"]
        if os.access(program, os.X_OK):
            return [program, *words]
        # Installed for the user, or by a distribution, the program lies elsewhere than its interpreter.
        code = "import sys; from mcpgateway.cli.entry import main; sys.exit(main())"
        return [self.python, "-P", "-c", code, *words]


@frozen
class Unit:
    """One file for a service manager.

    :ivar text: all of it, with the seal at its end by which we know it again.
    """

    path: str
    text: str


def template(name: str) -> str:
    """The text of a packaged file."""
    with open(os.path.join(os.path.dirname(__file__), "templates", name), encoding="utf-8") as stream:
        return stream.read()


def systemd_units(place: ServiceSettings, directory: str) -> tuple[Unit, ...]:
    """The files for a user's systemd."""
    started = {SYSTEMD[0]: place.gateway(), SYSTEMD[1]: place.deadman()}
    return tuple(
        _sealed(os.path.join(directory, name), _systemd_text(name, started.get(name, []), place), place.home)
        for name in SYSTEMD
    )


def launchd_agents(place: ServiceSettings, directory: str) -> tuple[Unit, ...]:
    """The files for macOS."""
    started = zip(LAUNCHD, (place.gateway(), place.deadman()), strict=True)
    return tuple(
        _sealed(os.path.join(directory, name), _launchd_text(name, argv, place), place.home)
        for name, argv in started
    )


def _systemd_text(name: str, argv: Sequence[str], place: ServiceSettings) -> str:
    lines = template(name).split("\n")
    # The comment on top is for who copies the file by hand.
    lines = lines[next(at for at, line in enumerate(lines) if line.startswith("[")) :]
    variables = [f'Environment="{_escaped(f"{key}={value}")}"' for key, value in place.environ.items()]
    started = "\n".join([_exec_start(argv), *variables]) if argv else ""
    text = "\n".join(started if line.startswith("ExecStart=") else line for line in lines)
    return text.rstrip("\n") + "\n\n"


def _exec_start(argv: Sequence[str]) -> str:
    # Variables are put into arguments, but not into the name of the program.
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
    seal = f"Written by mcpgateway service install: {_home_mark(home)}/{_digest(text)}"
    return Unit(path, f"{text}<!-- {seal} -->\n" if path.endswith(".plist") else f"{text}# {seal}\n")


def is_ours(text: str) -> bool:
    """Whether we wrote this, and nobody has changed it since."""
    found = SEAL.search(text)
    return found is not None and found[2] == _digest(text[: found.start()] + "\n")


def serves(text: str, home: str) -> bool:
    """Whether what we wrote was for this home; a file without a seal is for any."""
    found = SEAL.search(text)
    return found is None or found[1] == _home_mark(home)


def _home_mark(home: str) -> str:
    return _digest(home)[:16]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
