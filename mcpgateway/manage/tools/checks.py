"""Checks of a definition from outside before it is shown to the user: names, commands, addresses, secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

from mcpgateway.config.document import printable
from mcpgateway.config.entry import SERVER
from mcpgateway.config.expand import FORBIDDEN, VARIABLE
from mcpgateway.config.fields import Either
from mcpgateway.config.names import NAME_CHARACTERS, RESERVED_AFTER_MCP, RESERVED_BEFORE_MCP
from mcpgateway.config.section import Section
from mcpgateway.discovery.naming import did_you_mean
from mcpgateway.errors import BackendError, InvalidParams
from mcpgateway.owntools.tool import OWN_NAME
from mcpgateway.policy import urls
from mcpgateway.policy.secrets.masking import holds_secret, masked
from mcpgateway.policy.secrets.shapes import MASK, is_secret

NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_-]{{0,{NAME_CHARACTERS - 1}}}")
RESERVED = RESERVED_AFTER_MCP | RESERVED_BEFORE_MCP | {OWN_NAME}
# A program has to be named, not started by a shell.
SHELL = re.compile(r"[;&|<>`$\"'(){}*?\\\n\r\0]")
WORDS_CHARACTERS = 8192
SHELLS = frozenset("sh bash zsh dash ksh fish ash csh tcsh env sudo doas nohup xargs eval".split())
VARIABLES = ("env", "environment")
URLS = ("url", "httpUrl", "serverUrl", "baseUrl")
# Options that a tool may not set, even with consent: they weaken the user's protection, or hide their effect.
BY_HAND = frozenset(
    "env_policy insecure tls_verify ca_file proxy auth openapi rest_url tools health_endpoint headersHelper".split()
)
ODD_ADDRESS = re.compile(r"(?:0x[0-9a-f]+|[0-9]+)(?:\.(?:0x[0-9a-f]+|[0-9]+))*\.?", re.IGNORECASE)
BAD_NEARNESS = (urls.Nearness.SPECIAL, urls.Nearness.LINK)


def check_name(name: str) -> None:
    """Check that a server may have a name: valid, and not one of the gateway's own.

    :raise InvalidParams: it may not.
    """
    if not NAME.fullmatch(name) or "__" in name:
        raise InvalidParams(
            f"'{printable(name)}' is no name for a server",
            f"letters, digits, - and _ (no two of them), at most {NAME_CHARACTERS} characters",
        )
    if name.lower() in RESERVED:
        raise InvalidParams(
            f"the name {name} is the gateway's own", 'pass another one, as in {"name": "my-server"}'
        )


def check_definition(
    definition: Mapping[str, Any], *, may_hold_secrets: bool, is_by_hand: bool = False
) -> None:
    """Refuse a definition that may not be written, even with the user's consent.

    :param may_hold_secrets: True if secrets may be literal, and not only ``${NAME}``.
    :param is_by_hand: True if the caller could write into the file as well.
    :raise InvalidParams: the definition is refused.
    """
    check_keys(definition)
    if not is_by_hand and (held := sorted(BY_HAND & definition.keys())):
        raise InvalidParams(
            f"{', '.join(held)}: can only be set by hand", "write it into the configuration file"
        )
    _check_command(definition)
    for key in URLS:
        if key in definition and not (is_by_hand and VARIABLE.search(str(definition[key]))):
            check_url(definition[key])
    if not may_hold_secrets:
        for key in (*VARIABLES, "headers", "credentials"):
            found = definition.get(key)
            if isinstance(found, list):
                found = dict(str(each).partition("=")[::2] for each in found)
            if isinstance(found, Mapping):
                check_secrets(found, are_all=key == "credentials")
        for key in URLS:
            if key in definition and holds_secret(str(definition[key])):
                raise InvalidParams(
                    f"{key}: values of secrets are not taken from a call",
                    "put it into a header as ${NAME}, and its value into the gateway's own .env",
                )
        _check_words(definition)


def check_keys(definition: Mapping[str, Any]) -> None:
    """Refuse keys that no entry has."""
    for key in definition:
        if key not in SERVER.keys:
            near = did_you_mean(key, list(SERVER.keys), 1)
            raise InvalidParams(
                f"'{printable(key)}' is no key of a server",
                f"did you mean {near[0]}?"
                if near
                else "gateway_docs and the reference of the configuration list them all",
            )
        _check_inner(key, definition[key])


def _check_inner(key: str, value: Any) -> None:
    kind = SERVER.keys[key].kind
    section = kind.kinds.get(dict) if isinstance(kind, Either) else kind
    if not isinstance(section, Section) or section.is_open or not isinstance(value, Mapping):
        return
    for each in value:
        if each not in section.keys:
            raise InvalidParams(
                f"'{printable(str(each))}' is no key of {key}", f"its keys are {', '.join(section.keys)}"
            )


def _check_command(definition: Mapping[str, Any]) -> None:
    command = definition.get("command")
    if command is None:
        return
    words = [command] if isinstance(command, str) else command
    more = definition.get("args", [])
    if not isinstance(words, list) or not isinstance(more, list) or not words:
        raise InvalidParams("command must be a program, and args a list of its arguments")
    words = [*words, *more]
    if not all(isinstance(each, str) for each in words):
        raise InvalidParams("all words of a command must be strings")
    program = words[0]
    if not program.strip() or SHELL.search(program) or program.startswith("-"):
        raise InvalidParams(
            f"'{printable(program)}' is no program",
            "no shell is involved: name one program, and put its arguments into args",
        )
    if " " in program and not program.startswith("/"):
        raise InvalidParams(
            f"'{printable(program)}' is more than a program",
            "put everything behind the first blank into args",
        )
    if any(FORBIDDEN.search(each) for each in words) or sum(map(len, words)) > WORDS_CHARACTERS:
        raise InvalidParams(
            f"the command has line breaks in it, or more than {WORDS_CHARACTERS} characters",
            "put what is long into a file",
        )


def _check_words(definition: Mapping[str, Any]) -> None:
    words = definition.get("args")
    if isinstance(words, list) and MASK in " ".join(map(str, masked(list(map(str, words)), "args"))):
        raise InvalidParams(
            "the arguments hold something that looks like a secret",
            "put it into the gateway's own .env, and write ${NAME} in its place",
        )


def check_secrets(values: Mapping[str, Any], *, are_all: bool = False) -> None:
    """Refuse literal secrets: they belong into a file that no model reads.

    :param are_all: True if every value is a secret, under any name.
    :raise InvalidParams: a value is a secret.
    """
    for name, value in values.items():
        text = str(value)
        bare = text.removeprefix("Bearer ").removeprefix("bearer ").strip()
        is_one = (are_all or is_secret(str(name))) and not VARIABLE.fullmatch(bare)
        if text and (is_one or holds_secret(text)):
            raise InvalidParams(
                f"{printable(str(name))}: values of secrets are not taken from a call",
                f'let its user put it into the gateway\'s own .env, and pass "${{{_variable(str(name))}}}" instead',
            )


def _variable(name: str) -> str:
    return re.sub(r"\W", "_", name).upper()


def check_url(url: Any) -> None:
    """Refuse a URL that is malformed, or leads to the metadata service of a cloud.

    :raise InvalidParams: the URL is refused.
    """
    if not isinstance(url, str) or "${" in url or "{env:" in url:
        raise InvalidParams("url must be a text without variables")
    try:
        place = urls.read(url)
    except BackendError as why:
        raise InvalidParams(why.message, "such as https://mcp.example.com/mcp") from why
    host = place.host
    try:
        ip_address(host)
    except ValueError:
        if ODD_ADDRESS.fullmatch(host):
            raise InvalidParams(
                f"'{host}' is an unusual way to write an address", "write it as usual"
            ) from None
        return
    if urls.nearness(host) in BAD_NEARNESS:
        raise InvalidParams(f"{host} is no address of a server")


def runs_a_shell(definition: Mapping[str, Any]) -> bool:
    """Return whether a command runs its arguments as another command, so that the user has to read them with care."""
    command = definition.get("command")
    first = command if isinstance(command, str) else next(iter(command or ()), "")
    return str(first).rpartition("/")[2] in SHELLS
