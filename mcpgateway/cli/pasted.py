"""Servers as people paste them: JSON of any client, the line of another program's command, or an install link.

form                                       example
JSON with the servers of a client's file   ``{"mcpServers": {"notes": {"command": "npx"}}}``
JSON of one server                         ``{"name": "notes", "command": "npx"}``, or without the name
a piece of such JSON                       ``"notes": {"command": "npx"},``
TOML of Codex                              ``[mcp_servers.notes]``
a line of Claude Code's command            ``claude mcp add notes -e KEY=value -- npx -y notes-mcp``
a line of another command                  ``codex mcp add notes --env KEY=value -- npx -y notes-mcp``
a line of VS Code's command                ``code --add-mcp '{"name": "notes", "command": "npx"}'``
a link of Cursor                           ``cursor://anysphere.cursor-deeplink/mcp/install?name=notes&config=…``
a link of VS Code                          ``vscode:mcp/install?…``, ``https://insiders.vscode.dev/redirect/mcp/install?…``
"""

from __future__ import annotations

import base64
import binascii
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from mcpgateway.cli.console import Trouble
from mcpgateway.clientfiles.formats.syntax import TextForm, opened
from mcpgateway.config.problems import Wrong

TABLES = ("mcpServers", "servers", "mcp", "mcp_servers")
REACHES = ("command", "url", "httpUrl", "serverUrl")
ADD_MCP = "--add-mcp"
SWITCHES = ("--client-secret", "--json")
VALUES = ("-s", "--scope", "-t", "--transport", "--callback-port", "--client-id", "--bearer-token-env-var")
GIVEN = {"-e": "env", "--env": "env", "-H": "headers", "--header": "headers", "--url": "url"}
EXPECTED = (
    "expected JSON with mcpServers, TOML with mcp_servers, a line such as claude mcp add NAME -- COMMAND, or an install"
    " link"
)
FENCE = re.compile(r"\A```\w*\s*\n(.*?)\n```\s*\Z", re.DOTALL)
COMMENTS = re.compile(r"(?:\s|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
"""What may stand before the first brace of JSON as clients read it."""
TABLE = re.compile(r"^\s*\[\s*\"?mcp_servers\"?\s*\.", re.MULTILINE)


def read_pasted(text: str) -> dict[str, dict[str, Any]]:
    """Return the servers in a pasted text, by their names; "" is the name of one without.

    :raise Trouble: the text has none of the forms; it is not quoted, since it may hold secrets.
    """
    text = text.strip().removeprefix("\ufeff")
    if fenced := FENCE.match(text):
        text = fenced[1].strip()
    comments = COMMENTS.match(text)
    first = text[comments.end() :][:1] if comments else ""
    if first == "{":
        return _of_object(_object(text))
    if first == '"':
        return _of_object(_object(f"{{{text.rstrip(', ')}\n}}"))
    if TABLE.search(text):
        return _of_object(_object(text, TextForm.TOML))
    words = _words(text)
    if is_line(words):
        return of_line(words)
    if is_link(text):
        return _of_link(text)
    raise Trouble(f"stdin holds no server; {EXPECTED}")


def is_link(text: str) -> bool:
    """Return whether a text is a link, such as an install link."""
    return "://" in text or text.startswith(("vscode:", "vscode-insiders:"))


def is_line(words: Sequence[str]) -> bool:
    """Return whether words are another program's command that adds a server, such as ``claude mcp add``."""
    return ADD_MCP in {each.partition("=")[0] for each in words} or (
        "mcp" in words[:3] and ("add" in words or "add-json" in words)
    )


def of_line(words: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the server that such a command adds, by its name.

    :raise Trouble: it names no server.
    """
    for at, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option == ADD_MCP:
            return _of_object(_object(value if equals else "".join(words[at + 1 : at + 2])))
    if "add-json" in words:
        name, value = ([*words[words.index("add-json") + 1 :], "", ""])[:2]
        return {name: _one(_object(value))}
    return _of_line(list(words[words.index("add") + 1 :]))


def read_typed(lines: Iterable[str]) -> str:
    """Return the text that is pasted on a terminal: up to an empty line behind it, or to the end."""
    found: list[str] = []
    for line in lines:
        if line.strip():
            found.append(line)
        elif found:
            break
    return "".join(found)


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text.replace("\\\n", " "))
    except ValueError:
        return []


def _object(text: str, form: TextForm = TextForm.JSON) -> dict[str, Any]:
    try:
        found = opened(text, "stdin", form, None).value
    except Wrong as why:
        raise Trouble(str(why), why.problem.excerpt) from None  # neither has values of the text
    if not isinstance(found, dict):
        raise Trouble(f"stdin holds no server; {EXPECTED}")
    return found


def _of_object(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    for table in TABLES:
        if isinstance(found.get(table), dict):
            return {str(name): _one(each) for name, each in found[table].items()}
    if any(each in found for each in REACHES):
        return {str(found.get("name") or ""): _one(found)}
    if found and all(isinstance(each, dict) for each in found.values()):
        return {str(name): _one(each) for name, each in found.items()}
    raise Trouble(f"stdin holds no server; {EXPECTED}")


def _one(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not any(value.get(each) for each in REACHES):
        raise Trouble("a server on stdin has neither a command nor a url")
    return _split({key: each for key, each in value.items() if key not in ("name", "gallery")})


def _split(made: dict[str, Any]) -> dict[str, Any]:
    """Return the definition with the words of a whole command line, as links have it in one text, apart."""
    line, args = made.get("command"), made.get("args") or []
    if (
        not isinstance(line, str)
        or not isinstance(args, list)
        or " " not in line.strip()
        or line.startswith("/")
    ):
        return made
    program, *words = _words(line) or [line]
    return {**made, "command": program, **({"args": [*words, *args]} if words or args else {})}


def _of_line(words: list[str]) -> dict[str, dict[str, Any]]:
    given: dict[str, list[str]] = {"env": [], "headers": [], "url": []}
    plain = list(_plain(words, given))
    if not plain:
        raise Trouble("the line on stdin names no server")
    name, *rest = plain
    made: dict[str, Any] = {}
    target = (rest or given["url"] or [""])[0]
    if target.startswith(("http://", "https://")):
        made["url"] = target
    elif target:
        made |= {"command": target, **({"args": rest[1:]} if rest[1:] else {})}
    else:
        raise Trouble("the line on stdin has neither a command nor a url")
    if given["env"]:
        made["env"] = dict(_pair(each, "=") for each in given["env"])
    if given["headers"]:
        made["headers"] = dict(_pair(each, ":") for each in given["headers"])
    return {name: made}


def _plain(words: list[str], given: dict[str, list[str]]) -> Iterator[str]:
    """Iterate over the words that are no options; the values of options are added to those given."""
    rest = iter(words)
    for word in rest:
        option, equals, value = word.partition("=")
        if word == "--":
            yield from rest
        elif option in GIVEN:
            given[GIVEN[option]].append(value if equals else next(rest, ""))
        elif option in VALUES:
            _ = value if equals else next(rest, "")
        elif word not in SWITCHES:
            yield word


def _pair(text: str, separator: str) -> tuple[str, str]:
    name, found, value = text.partition(separator)
    if not found:
        raise Trouble("an option on stdin has no value")
    return name.strip(), value.strip() if separator == ":" else value


def _of_link(text: str) -> dict[str, dict[str, Any]]:
    query = urlsplit(text).query
    named = parse_qs(query)
    if "config" in named:
        return {named.get("name", [""])[0]: _one(_decoded(named["config"][0]))}
    if query.startswith(("%7B", "%7b", "{")):
        found = _object(unquote(query))
        return {str(found.get("name") or ""): _one(found)}
    raise Trouble(f"stdin holds no install link; {EXPECTED}")


def _decoded(text: str) -> dict[str, Any]:
    if text.lstrip().startswith("{"):
        return _object(text)
    padded = text.replace(" ", "+").replace("-", "+").replace("_", "/")
    try:
        return _object(base64.b64decode(padded + "=" * (-len(padded) % 4)).decode())
    except (binascii.Error, UnicodeError):
        raise Trouble("the link on stdin holds no server") from None
