"""The places of a client's files: from the platform, the variables of the environment and the user's home."""

from __future__ import annotations

from collections.abc import Mapping

from mcpgateway.clientfiles.formats.client_format import ClientDialect

LINUX, DARWIN, WINDOWS = "linux", "darwin", "win32"
ANY = "*"


def user_files(
    dialect: ClientDialect, platform: str, environ: Mapping[str, str], home: str
) -> tuple[str, ...]:
    """Return the possible paths of a client's files of a user, the usual one first.

    :param platform: as in `sys.platform`; an unknown one counts as Linux.
    :param home: the user's home directory.
    """
    known = platform if platform in (DARWIN, WINDOWS) else LINUX
    directories = bases(known, environ, home.rstrip("/\\"))
    templates = dialect.user.get(known, dialect.user.get(ANY, ()))
    return tuple(dict.fromkeys(each.format_map(directories) for each in templates))


def project_files(dialect: ClientDialect, project: str) -> tuple[str, ...]:
    """Return the possible paths of a client's files in a project; a ``*`` stands for any name."""
    return tuple(f"{project.rstrip('/')}/{each}" for each in dialect.project)


def bases(platform: str, environ: Mapping[str, str], home: str) -> dict[str, str]:
    """Return the directories in which clients keep their files of a user."""
    config = _set(environ, "XDG_CONFIG_HOME", f"{home}/.config")
    apps = {
        DARWIN: f"{home}/Library/Application Support",
        WINDOWS: _set(environ, "APPDATA", f"{home}/AppData/Roaming"),
    }.get(platform, config)
    return {
        "home": home,
        "config": config,
        "apps": apps,
        "claude": _set(environ, "CLAUDE_CONFIG_DIR", home),
        "claude_home": _set(environ, "CLAUDE_CONFIG_DIR", f"{home}/.claude"),
        "codex": _set(environ, "CODEX_HOME", f"{home}/.codex"),
        "copilot": _set(environ, "COPILOT_HOME", f"{home}/.copilot"),
    }


def _set(environ: Mapping[str, str], name: str, usual: str) -> str:
    value = environ.get(name, "")
    # A relative one would mean another place in every directory.
    is_absolute = value.startswith("/") or value[1:3] in (":\\", ":/")
    return value.rstrip("/\\") if is_absolute else usual
