"""From the records of a password manager to what a server is given: variables and headers, named after the server."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from attrs import field, frozen

from mcpgateway.config.document import printable
from mcpgateway.config.reach import refused_header
from mcpgateway.errors import ConfigError

HEADER = "HDR_"
# No header and no variable can hold them.
UNSENDABLE = re.compile(r"[\r\n\0]")


@frozen
class PasswordRecord:
    """An entry of a password manager.

    :ivar fields: what its owner has added, by name.
    """

    title: str
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    fields: Mapping[str, str] = field(factory=dict, repr=False)


@frozen
class Credential:
    """A variable that a server gets.

    :ivar name: the server's.
    :ivar prefix: what the names of all its variables begin with.
    :ivar env: variables by name.
    :ivar headers: by name.
    """

    name: str
    prefix: str
    env: Mapping[str, str] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)

    def header_variable(self, header: str) -> str:
        """The variable that stands for a header where only variables can be written."""
        return f"{self.prefix}_{HEADER}{as_name(header)}"

    def shown(self) -> dict[str, object]:
        """Its names, and no values."""
        return {"name": self.name, "env_vars": sorted(self.env), "headers": sorted(self.headers)}


def as_name(text: str) -> str:
    """Return a text as a part of the name of a variable."""
    return re.sub(r"[^A-Z0-9]", "_", text.upper())


def prefix_of(title: str) -> str:
    """Return what the names of a server's variables begin with."""
    found = as_name(title)
    return f"_{found}" if found[:1].isdigit() else found


def credentials_of(records: Iterable[PasswordRecord]) -> tuple[Credential, ...]:
    """Return what the servers are given that the records are named after; those without a title are passed over.

    :raise ConfigError: two of them would give one variable, or a header cannot be sent.
    """
    found: dict[str, Credential] = {}
    for record in records:
        if not record.title.strip():
            continue
        credential = _credential(record)
        other = found.setdefault(credential.prefix, credential)
        if other is not credential:
            names = f"'{printable(other.name)}' and '{printable(credential.name)}'"
            raise ConfigError(
                f"{names} would both give variables that begin with {credential.prefix}_",
                "rename one of them, or name the group that is meant",
            )
    return tuple(sorted(found.values(), key=lambda each: each.name))


def for_env_file(credentials: Iterable[Credential]) -> tuple[dict[str, str], dict[str, str]]:
    """Return all variables, those for headers included, and notes on the latter."""
    values: dict[str, str] = {}
    notes: dict[str, str] = {}
    for each in credentials:
        values |= each.env
        for header, value in each.headers.items():
            name = each.header_variable(header)
            values[name] = value
            notes[name] = (
                f"WARNING: a header, which is only sent where an entry says so: {header}: ${{{name}}}"
            )
    return values, notes


def _credential(record: PasswordRecord) -> Credential:
    title = record.title.strip()
    prefix = prefix_of(title)
    env: dict[str, str] = {}
    sent: dict[str, str] = {}
    taken: dict[str, str] = {}
    fields = [("PASSWORD", record.password), ("USER", record.user), *record.fields.items()]
    for name, value in fields:
        if not value:
            continue
        variable = f"{prefix}_{as_name(name)}"
        if variable in taken:
            names = f"'{printable(taken[variable])}' and '{printable(name)}'"
            raise ConfigError(f"'{printable(title)}': {names} would both be the variable {variable}")
        taken[variable] = name
        if name.upper().startswith(HEADER):
            sent[_header(name[len(HEADER) :], value, title)] = value
        else:
            env[variable] = value
    return Credential(title, prefix, env, sent)


def _header(name: str, value: str, title: str) -> str:
    why = refused_header(name) or ("holds a line break" if UNSENDABLE.search(value) else "")
    if why:
        raise ConfigError(f"'{printable(title)}': {HEADER}{printable(name)} {why}")
    return name
