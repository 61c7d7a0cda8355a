"""Secrets among the variables of a server: their values are in the gateway's own file of values, the entry names them.

# Note [The name of a value]
The file has values of all servers, so a variable is named there by its server, unless its own name says that: the
``TOKEN`` of ``fx`` is ``FX_TOKEN``, and the ``GITHUB_TOKEN`` of ``github`` stays that.  A rotated value takes the place
of the former one, unless another server refers to it, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from attrs import field, frozen

from mcpgateway.config.edit.env_file import NAME
from mcpgateway.config.expand import SOURCE, VARIABLE, escaped, unescaped
from mcpgateway.config.names import slug
from mcpgateway.policy.secrets.masking import is_token

REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@frozen
class KeptSecrets:
    """The variables of a server, of which some stand in a file of values.

    :ivar env: the variables as the entry has them.
    :ivar values: the values for the file, by their names there.
    :ivar names: these names, by the variables of the server.
    """

    env: Mapping[str, str] = field(factory=dict, repr=False)
    values: Mapping[str, str] = field(factory=dict, repr=False)
    names: Mapping[str, str] = field(factory=dict)


def kept(
    server: str,
    given: Mapping[str, str],
    entry: Mapping[str, str],
    there: Mapping[str, str],
    is_used: Callable[[str], bool],
) -> KeptSecrets:
    """Return the variables of a server with references in the place of secrets.

    :param given: the new variables, as an entry would have them; those that refer to a value stay.
    :param entry: the present variables of the entry.
    :param there: the values in the file.
    :param is_used: returns True if another server refers to the value of that name.
    """
    env, values, names = dict(given), dict[str, str](), dict[str, str]()
    for name, text in given.items():
        value = unescaped(text)
        is_literal = escaped(value) == text or not (VARIABLE.search(value) or SOURCE.search(value))
        if not (is_literal and value and NAME.fullmatch(name) and is_token(name, value)):
            continue
        found = REFERENCE.fullmatch(entry.get(name, ""))
        former = found[1] if found is not None and found[1] in there and not is_used(found[1]) else ""
        taken = {**there, **values}
        own = former or next(each for each in _names(server, name) if taken.get(each) in (None, "", value))
        env[name], values[own], names[name] = f"${{{own}}}", value, own
    return KeptSecrets(env, values, names)


def _names(server: str, name: str) -> Iterator[str]:
    first = slug(server).replace("-", "_").upper()
    own = name if name.upper().startswith(f"{first}_") else f"{first}_{name.upper()}"
    own = own if NAME.fullmatch(own) else f"OF_{own}"
    yield own
    number = 2
    while True:
        yield f"{own}_{number}"
        number += 1
