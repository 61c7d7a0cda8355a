"""Variables in a client's entry, said in the gateway's words: what the client expands, and nothing else.

# Note [Never guessed]
A server is to get what its client would have given it.  What the client hands on as it stands is escaped, what it takes
from the environment is said as the gateway says it, and an entry with anything that only the client knows, or of which
it is not known what the client makes of it, is not understood.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from attrs import field, frozen

from mcpgateway.config.document import printable
from mcpgateway.config.expand import escaped
from mcpgateway.errors import ConfigError

_NAME = r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
_BRACED = rf"\$\{{{_NAME}\}}"
_DEFAULT = rf"\$\{{{_NAME}(?::-[^}}]*)?\}}"
_OTHER = r"\$\{[^}]+\}"
# Other clients' forms, which some take as well.
_FOREIGN = r"\$env:\w+|\{(?:env|file):[^}]*\}"
# What an editor knows of itself; "${env:NAME}" stands before it and has a name.
_EDITORS = (
    r"\$\{(?:/|(?:env|config|command|input|extensionInstallFolder)\b[^}]*"
    r"|(?:user|workspace|file|relativeFile|exec|selected|lineNumber|columnNumber|cwd|pathSeparator|default)\w*"
    r"(?::[^}]*)?)\}"
)
# In the environment of a client these are about itself; the first two are its shell's.  The others mean something to
# the gateway.
_ITS_OWN = re.compile(
    r"PWD|OLDPWD|CLAUDE_PROJECT_DIR|CLAUDE_PLUGIN_\w+|CLAUDE_CODE_SESSION_ID|workspace|workspaceFolder"
)


@frozen
class Variables:
    """What a client takes for a variable.

    :ivar pattern: all of it; the group ``name`` is a variable of the environment.  None where it expands nothing.
    :ivar known: what the gateway knows as well, in its own words.
    :ivar is_empty: one that is not set is empty, and does not stay as it is written.
    :ivar is_empty_in_env: so it is in what it hands on as environment, if nowhere else.
    """

    pattern: re.Pattern[str] | None = None
    known: Mapping[str, str] = field(factory=dict)
    is_empty: bool = False
    is_empty_in_env: bool = False

    def translated(self, text: str, *, is_env: bool = False) -> str:
        """Return a text in the gateway's words; see Note [Never guessed].

        :param is_env: it is a value of the environment.
        :raise ConfigError: it has something that only its client can fill in; no value is shown.
        """
        if self.pattern is None:
            return escaped(text)
        said, end = [], 0
        for found in self.pattern.finditer(text):
            said += [escaped(text[end : found.start()]), self._said(found, is_env=is_env)]
            end = found.end()
        return "".join((*said, escaped(text[end:])))

    def _said(self, found: re.Match[str], *, is_env: bool) -> str:
        if found[0] in self.known:
            return self.known[found[0]]
        name = next((each for each in found.groups() if each), "")
        if not name or _ITS_OWN.fullmatch(name):
            what = printable(re.split(r"[:}]", found[0], maxsplit=1)[0])
            raise ConfigError(f"it has {what}…, which only its client can fill in")
        if self.is_empty or (is_env and self.is_empty_in_env):
            return f"${{{name}:-}}"
        return f"${{{name}:-{found[0]}}}" if found[0] == f"${name}" else found[0]  # the gateway's have braces


def _of(*patterns: str, known: Mapping[str, str] | None = None, **ways: bool) -> Variables:
    return Variables(re.compile("|".join(patterns)), known or {}, **ways)


_ENV = rf"\$\{{env:{_NAME}\}}"
_HOME = {"${userHome}": "${HOME}", "${pathSeparator}": "/", "${/}": "/"}

LITERAL = Variables()
CLAUDE = _of(_DEFAULT)
# Whether they have defaults differs from one release to the next.
BRACED = _of(_BRACED, _OTHER, _FOREIGN)
DEFAULTED = _of(_DEFAULT, _OTHER, _FOREIGN)
GEMINI = _of(_BRACED, _OTHER, r"\$(?P<bare>[A-Za-z_][A-Za-z0-9_]*)", is_empty_in_env=True)
CURSOR = _of(_ENV, _EDITORS, known=_HOME)
VSCODE = _of(_ENV, _EDITORS, known=_HOME, is_empty=True)
ROO = _of(_ENV, _EDITORS)
WINDSURF = _of(_ENV, r"\$\{(?:env|file):[^}]*\}")
OPENCODE = _of(rf"\{{env:{_NAME}\}}", r"\{(?:env|file):[^}]+\}", is_empty=True)
CONTINUE = _of(r"\$\{\{[^}]*\}\}")
# Nothing is known of what it expands.
UNKNOWN = _of(_OTHER, _FOREIGN)
# A file of any other client: most expand what Claude Code does.
CUSTOM = _of(_DEFAULT, _OTHER, _FOREIGN)
