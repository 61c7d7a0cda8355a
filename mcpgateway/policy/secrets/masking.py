"""Configurations without secrets, for views."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote_plus

from mcpgateway.policy.secrets.shapes import (
    MASK,
    NAMED_CHARS,
    is_random,
    is_secret,
    secrets_in,
    shaped,
    without_tokens,
)

SEGMENT_CHARS = 20  # the least length of a random segment of a URL's path that counts as a key
# Mappings of which all values are secrets.
MAPPINGS = frozenset(
    ("env", "environment", "headers", "http_headers", "credentials", "otlp_headers", "project_tokens")
)
URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?P<user>[^/@\s]*@)?(?P<rest>[^?#\s]*)(?P<query>[?#]\S*)?"
)
OPTION = re.compile(r"(?P<name>--?[A-Za-z][\w.-]*)(?P<equals>=)?(?P<value>.*)", re.DOTALL)
PAIR = re.compile(r"(?P<name>[A-Za-z_][\w-]*)(?P<mark>=|: *)(?P<value>.*)", re.DOTALL)
PAIR_OPTIONS = frozenset(("-e", "--env", "-H", "--header"))
NUMBERED = re.compile(
    r"secret|passw|passphrase|credential", re.IGNORECASE
)  # may be a number; a token is none
KEYS = frozenset(("key", "sig", "signature", "code"))  # further names of secrets in the query of a URL
REFERENCE = re.compile(
    r"(?:(?:Bearer|Basic|Token) )?"
    r"(?:\$\{[A-Za-z_][A-Za-z0-9_]*\}|\$?\{env:[A-Za-z_][A-Za-z0-9_]*\}|\$\{keyring:[^-?}][^}]*\})",
    re.IGNORECASE,
)


def masked(value: Any, name: str = "") -> Any:
    """Return a value without its secrets.

    :param name: the key of the value.
    """
    match value:
        case dict():
            hides = name in MAPPINGS
            return {key: _hidden(each) if hides else masked(each, str(key)) for key, each in value.items()}
        case list() | tuple() if name in MAPPINGS:
            return [
                f"{name}={_hidden(held)}" for name, _, held in (str(each).partition("=") for each in value)
            ]
        case list() | tuple() if is_secret(name):
            return [MASK for _ in value]
        case list() | tuple():
            return arguments([each if isinstance(each, str) else masked(each, name) for each in value])
        case str():
            return _hidden(value) if is_secret(name) else shown(value)
        case int() | float() if NUMBERED.search(name) and not isinstance(value, bool):
            return MASK
        case _:
            return value


def shown(text: str) -> str:
    """Return a text without the parts that have the form of secrets."""
    return without_tokens(address(text))


def _hidden(value: Any) -> Any:
    # The name of a variable is no secret, nor is an empty value.
    if value is None or value == "" or (isinstance(value, str) and REFERENCE.fullmatch(value)):
        return value
    return MASK


def address(text: str) -> str:
    """Return a text whose URLs have neither a user nor a query, and no key in their paths."""
    return URL.sub(_address, text)


def _address(found: re.Match[str]) -> str:
    user = f"{MASK}@" if found["user"] else ""
    query = f"{found['query'][0]}{MASK}" if found["query"] else ""
    host, *path = found["rest"].split("/")
    hidden = (MASK if len(each) >= SEGMENT_CHARS and is_random(each) else each for each in path)
    return f"{found['scheme']}{user}{'/'.join((host, *hidden))}{query}"


def arguments(words: list[Any]) -> list[Any]:
    """Return arguments of a program without the values of options for secrets."""
    made: list[Any] = []
    former = ""
    for word in words:
        made.append(_argument(word, former) if isinstance(word, str) else word)
        former = word if isinstance(word, str) and "=" not in word else ""
    return made


def _argument(word: str, former: str) -> str:
    if former in PAIR_OPTIONS:
        name, mark, _ = word.partition("=" if "=" in word else ":")
        return f"{name}{mark}{MASK}" if mark else word
    if former.startswith("-") and is_secret(former):
        return str(_hidden(word))
    option = OPTION.fullmatch(word)
    if option and option["equals"] and option["name"] in PAIR_OPTIONS:
        return f"{option['name']}={_argument(option['value'], option['name'])}"
    if option and option["equals"] and is_secret(option["name"]):
        return f"{option['name']}={_hidden(option['value'])}"
    pair = PAIR.fullmatch(word)
    if pair and is_secret(pair["name"]):
        return f"{pair['name']}{pair['mark']}{_hidden(pair['value'])}"
    return shown(word)


def secrets_of(env: Mapping[str, str], words: Sequence[str]) -> tuple[str, ...]:
    """Return the secrets of a program's environment and arguments, which no quotation may show, the longest first."""
    found = {*secrets_in(env), *secret_words(words)}
    return tuple(sorted(found, key=lambda each: (-len(each), each)))


def secret_words(words: Sequence[str]) -> Iterator[str]:
    """Iterate over the hidden parts of arguments, each as written there and as its program may print it."""
    for word, visible in zip(words, arguments(list(words)), strict=True):
        if word == visible:
            continue
        pattern = "(.*)".join(map(re.escape, visible.split(MASK)))
        found = re.fullmatch(pattern, word, re.DOTALL)
        for part in found.groups() if found else (word,):
            yield from (each for each in _spoken(part) if len(each) >= NAMED_CHARS)


def _spoken(part: str) -> Iterator[str]:
    whole = part.strip()
    yield whole
    if " " in whole:
        yield whole.rpartition(" ")[2]  # a token behind its scheme
    for each in re.split(r"[&;]", whole):
        name, equals, value = each.partition("=")
        if equals and is_secret(name):
            yield from (value, unquote_plus(value))
    if " " not in whole and "=" not in whole:
        yield whole.partition(":")[2]  # a password behind its user


def is_token(name: str, value: str) -> bool:
    """True if a variable holds a credential and nothing else; an address with a password in it is an address."""
    return "://" not in value and (is_secret(name) or any(shaped(value)))


def holds_secret(text: str) -> bool:
    """True if a text of any name has the form of a secret: a token, or a URL with a password or a key."""
    if any(shaped(text)):
        return True
    for found in URL.finditer(text):
        password = (found["user"] or "")[:-1].partition(":")[2]
        pairs = (each.partition("=") for each in re.split(r"[&;]", (found["query"] or "")[1:]))
        values = [value for name, _, value in pairs if is_secret(name) or name.lower() in KEYS]
        if any(each and not REFERENCE.fullmatch(each) for each in (password, *values)):
            return True
    return False
