"""The command line of the shim, read without `argparse`, which takes longer than the rest of it."""

from __future__ import annotations

from mcpgateway.hints import cli

COMMANDS = {"connect": "", "proxy": "--target", "stdio": "--server"}
"""The spellings of the one shim, and the option that names its server; ``connect`` takes it as an argument."""

USAGE = {
    "connect": cli("connect NAME"),
    "proxy": cli("proxy --target NAME"),
    "stdio": cli("stdio --server NAME"),
}

VIEWS = ("full", "search", "admin")
"""The views of all servers for ``stdio --view``, besides ``p/PROFILE``; without the option, the usual one."""

VALUES = {
    "--home": "home",
    "--url": "url",
    "--api-url": "url",
    "--token-file": "token_file",
    "--patience": "patience",
    "--project": "project",
}
READY = "--ready-line"
PATIENCE_S = 30.0


class Mistake(Exception):
    """The command line is invalid; the text gives the reason."""


class Arguments:
    """The options and words of a command line.

    :ivar command: one of `COMMANDS`.
    :ivar server: the name of the server; "" for all servers together.
    :ivar view: the view of all servers together; "" for the usual one.
    :ivar says_ready: a line on stderr announces that requests are accepted.
    :ivar original: the command that is run where no gateway answers; empty for none.
    :ivar home: the gateway's directory, or None.
    :ivar url: the URL of the gateway, or None.
    :ivar token_file: the file that holds the token, or None.
    :ivar patience_s: the seconds for which a request waits for a gateway that has gone.
    :ivar project: the directory of the project whose file holds the command line; empty for none.
    """

    __slots__ = (
        "command",
        "home",
        "original",
        "patience_s",
        "project",
        "says_ready",
        "server",
        "token_file",
        "url",
        "view",
    )

    def __init__(self) -> None:
        self.command = ""
        self.server = ""
        self.view = ""
        self.says_ready = False
        self.original: list[str] = []
        self.home: str | None = None
        self.url: str | None = None
        self.token_file: str | None = None
        self.patience_s = PATIENCE_S
        self.project = ""


def split(argv: list[str]) -> tuple[dict[str, str], list[str], list[str]]:
    """Return the global options by name, the words between them, and the original command.

    :raise Mistake: an option lacks its value.
    """
    options: dict[str, str] = {}
    words: list[str] = []
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return options, words, rest
        name, equals, value = word.partition("=")
        if name not in VALUES:
            words.append(word)
            continue
        if not equals:
            if not rest or rest[0] == "--":
                raise Mistake(f"{name}: a value is missing")
            value = rest.pop(0)
        options[VALUES[name]] = value
    return options, words, []


def read(argv: list[str]) -> Arguments:
    """Return the arguments of one of the shim's commands.

    :raise Mistake: the command line is invalid.
    """
    options, words, original = split(argv)
    made = Arguments()
    made.original = original
    made.home, made.url = options.get("home"), options.get("url")
    made.token_file = options.get("token_file")
    made.project = options.get("project", "")
    if "patience" in options:
        made.patience_s = _seconds(options["patience"])
    if not words or words[0] not in COMMANDS:
        raise Mistake(f"expected one of {', '.join(COMMANDS)}")
    made.command, *words = words
    if made.command == "stdio":
        words, made.says_ready = [each for each in words if each != READY], READY in words
        made.view = _view(words)
    if made.view or (made.command == "stdio" and not words):
        return made
    made.server = _server(made.command, words)
    return made


def _seconds(text: str) -> float:
    whole = text.replace(".", "", 1)
    if not (whole.isascii() and whole.isdigit()):
        raise Mistake(f"--patience: found {text}; expected a number of seconds")
    return float(text)


def _view(words: list[str]) -> str:
    """Return the view that is named; "" where none is, so that a server may be."""
    name, equals, value = words[0].partition("=") if words else ("", "", "")
    if name != "--view":
        return ""
    rest = words[1:] if equals else words[2:]
    view = value if equals else "".join(words[1:2])
    profile = view[2:] if view.startswith("p/") else ""
    if view not in VIEWS and (not profile or "/" in profile):
        raise Mistake(f"--view: found {view or 'nothing'}; expected {', '.join(VIEWS)} or p/PROFILE")
    if rest:
        raise Mistake(f"stdio: what is {rest[0]}? A view shows all servers, and the original stands after --")
    return view


def _server(command: str, words: list[str]) -> str:
    option = COMMANDS[command]
    if option and words and words[0].startswith(option + "="):
        words = [words[0].partition("=")[2], *words[1:]]
    elif option and words[:1] == [option]:
        words = words[1:]
    elif option:
        words = [option]  # which is no name
    if not words or not words[0] or words[0].startswith("-"):
        also = "; without it, all servers are meant, and --view names a view of them"
        raise Mistake(
            f"{command}: name a server, as in: {USAGE[command]}{also if command == 'stdio' else ''}"
        )
    if len(words) > 1:
        raise Mistake(f"{command}: what is {words[1]}? The original command stands after --")
    return words[0]
