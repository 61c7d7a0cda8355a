"""Secrets of a server: their values are in the gateway's own file of values, its variables and headers refer to them.

# Note [The name of a value]
The file has values of all servers, so a variable is named there by its server, unless its own name says that: the
``TOKEN`` of ``fx`` is ``FX_TOKEN``, and the ``GITHUB_TOKEN`` of ``github`` stays that.  A rotated value takes the place
of the former one, unless another server refers to it, too.  A comment above a value says for which server it was
written, so one that no entry refers to any more gives way to the next.  No other server gets it by itself.  The
``Authorization`` of ``fx`` is ``FX_AUTHORIZATION``, without its scheme, which stays in the entry.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from attrs import field, frozen

from mcpgateway.config.dotenv import statements, with_newlines
from mcpgateway.config.edit.env_file import NAME
from mcpgateway.config.expand import SOURCE, VARIABLE, escaped, unescaped
from mcpgateway.config.merge import Blueprint
from mcpgateway.config.names import slug
from mcpgateway.config.reach_settings import Remote
from mcpgateway.errors import ConfigError
from mcpgateway.policy.secrets.masking import is_token
from mcpgateway.system import files

NOTE = "for the server "
FILE_LIMIT = 4 * 1_048_576
REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
SCHEME = re.compile(r"(?:Bearer|Basic|Token|ApiKey) +", re.IGNORECASE)
NO_NAME = re.compile(r"[^A-Za-z0-9_]")  # characters of a header that no variable has


@frozen
class ValueOwners:
    """The servers that the values in a file of values belong to.

    :ivar written: for each value that was written for a server, that server.
    :ivar references: for each server, the text of its entry that may refer to values.
    """

    written: Mapping[str, str] = field(factory=dict)
    references: Mapping[str, str] = field(factory=dict, repr=False)

    def others(self, value: str, server: str) -> tuple[str, ...]:
        """Return the servers but one whose entries refer to a value."""
        pattern = re.compile(rf"\{{(?:env:)?{re.escape(value)}\b")
        return tuple(
            each for each, text in self.references.items() if each != server and pattern.search(text)
        )

    def other(self, value: str, server: str) -> str:
        """Return the other server that a value was written for; "" for none, as for a value of the user's."""
        found = self.written.get(value, "")
        return found if found != server else ""

    def is_left(self, value: str, server: str) -> bool:
        """True if a value was written for a server, and no entry refers to it any more."""
        return self.written.get(value) == server and not self.others(value, "")

    def left_by(self, server: str) -> tuple[str, ...]:
        """Return the values that were written for a server, and that no other server refers to."""
        return tuple(
            each
            for each, written in self.written.items()
            if written == server and not self.others(each, server)
        )


def owners(path: str, blueprints: Mapping[str, Blueprint]) -> ValueOwners:
    """Return the owners of the values in a file; a file that cannot be read has none."""
    try:
        text = with_newlines(files.read_text(path, FILE_LIMIT))
        written = {}
        for each in statements(text, path):
            note = text[: each.begin].removesuffix("\n").rpartition("\n")[2].strip().removeprefix("#").strip()
            if note.startswith(NOTE):
                written[each.name] = note.removeprefix(NOTE)
    except (OSError, ConfigError):
        written = {}
    return ValueOwners(
        written,
        {
            each: "\n".join((*found.whole.env.values(), *found.whole.argv, *_reach(found.whole.reach)))
            for each, found in blueprints.items()
        },
    )


def _reach(reach: object) -> Iterator[str]:
    """Iterate over the texts that say how a server is reached, and may refer to values."""
    yield str(reach)
    if isinstance(reach, Remote):
        yield from (reach.url, *reach.headers.values())


def notes_of(names: Iterable[str], server: str) -> dict[str, str]:
    """Return the comments above values that are written for a server."""
    return dict.fromkeys(names, f"{NOTE}{server}")


@frozen
class KeptSecrets:
    """The variables or headers of a server, of which some stand in a file of values.

    :ivar texts: the variables or headers as the entry has them.
    :ivar values: the values for the file, by their names there.
    :ivar names: these names, by the variables or headers of the server.
    """

    texts: Mapping[str, str] = field(factory=dict, repr=False)
    values: Mapping[str, str] = field(factory=dict, repr=False)
    names: Mapping[str, str] = field(factory=dict)


Parts = Callable[[str, str], tuple[str, str]]
"""The variable that a name stands for, and the part of its value that is no secret."""


def _of_variable(name: str, _: str) -> tuple[str, str]:
    return name, ""


def of_header(name: str, value: str) -> tuple[str, str]:
    """Return the name of the variable for the value of a header, and the scheme before that."""
    scheme = SCHEME.match(value)
    return NO_NAME.sub("_", name).upper(), scheme[0] if scheme is not None else ""


def kept(
    server: str,
    given: Mapping[str, str],
    entry: Mapping[str, str],
    there: Mapping[str, str],
    whose: ValueOwners,
    parts: Parts = _of_variable,
) -> KeptSecrets:
    """Return the variables or headers of a server with references in the place of secrets.

    :param given: the new variables or headers, as an entry would have them; those that refer to a value stay.
    :param entry: the present ones of the entry.
    :param there: the values in the file.
    :param whose: the servers that these belong to.
    :param parts: `of_header` for headers.
    """
    texts, values, names = dict(given), dict[str, str](), dict[str, str]()
    for name, text in given.items():
        variable, lead = parts(name, unescaped(text))
        value = unescaped(text).removeprefix(lead)
        is_literal = escaped(lead + value) == text or not (VARIABLE.search(value) or SOURCE.search(value))
        if not (is_literal and value and NAME.fullmatch(variable) and is_token(variable, value)):
            continue
        _, led = parts(name, entry.get(name, ""))
        found = REFERENCE.fullmatch(entry.get(name, "").removeprefix(led))
        is_own = found is not None and found[1] in there and not whose.others(found[1], server)
        former = found[1] if is_own and found is not None else ""
        own = former or name_of_value(server, variable, value, {**there, **values}, whose, values)
        texts[name], values[own], names[name] = f"{lead}${{{own}}}", value, own
    return KeptSecrets(texts, values, names)


def name_of_value(
    server: str,
    variable: str,
    value: str,
    there: Mapping[str, str],
    whose: ValueOwners,
    taken: Iterable[str] = (),
) -> str:
    """Return the name of a server's value in the file of values; see Note [The name of a value].

    :param taken: names that have just been given away.
    """
    return next(
        each
        for each in _names(server, variable)
        if there.get(each) in (None, "", value) or (each not in taken and whose.is_left(each, server))
    )


def _names(server: str, name: str) -> Iterator[str]:
    first = slug(server).replace("-", "_").upper()
    own = name if name.upper().startswith(f"{first}_") else f"{first}_{name.upper()}"
    own = own if NAME.fullmatch(own) else f"OF_{own}"
    yield own
    number = 2
    while True:
        yield f"{own}_{number}"
        number += 1
