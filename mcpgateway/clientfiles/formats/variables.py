"""Variables in a client's entry, translated into the gateway's: those that the client expands, and nothing else.

# Note [Never guessed]
A server is to get the same values as from its client.  Text that the client does not expand is escaped, variables of
the environment are written in the gateway's form, and an entry with a variable that only the client knows, or whose
expansion by the client is unknown, is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from attrs import field, frozen

from mcpgateway.config.document import visible
from mcpgateway.config.expand import escaped
from mcpgateway.errors import ConfigError

_NAME = r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
_BRACED = rf"\$\{{{_NAME}\}}"
_DEFAULT = rf"\$\{{{_NAME}(?::-[^}}]*)?\}}"
_OTHER = r"\$\{[^}]+\}"
# Forms of other clients, which some accept as well.
_FOREIGN = r"\$env:\w+|\{(?:env|file):[^}]*\}"
# Variables of an editor itself; "${env:NAME}" comes before it and has a name.
_EDITORS = (
    r"\$\{(?:/|(?:env|config|command|input|extensionInstallFolder)\b[^}]*"
    r"|(?:user|workspace|file|relativeFile|exec|selected|lineNumber|columnNumber|cwd|pathSeparator|default)\w*"
    r"(?::[^}]*)?)\}"
)
# In the environment of a client these describe the client; the first two are its shell's.  The others have a meaning
# for the gateway.
_ITS_OWN = re.compile(
    r"PWD|OLDPWD|CLAUDE_PROJECT_DIR|CLAUDE_PLUGIN_\w+|CLAUDE_CODE_SESSION_ID|workspace|workspaceFolder"
)

# Variables of an editor for the directory of the project.
_PROJECT: Mapping[str, Callable[[str], str]] = {
    "${workspaceFolder}": lambda project: project,
    "${workspaceFolderBasename}": lambda project: project.rpartition("/")[2],
}

_NAMING = re.compile(r"\$\{(?:input|command|config|env|file|workspaceFolder):[\w./-]+\}")
"""Variables whose part behind the colon is a name."""


@frozen
class Variables:
    """The variables that a client expands.

    :ivar pattern: matches any of them; the group ``name`` is a variable of the environment.  None where it expands
        nothing.
    :ivar known: variables that the gateway knows as well, with the gateway's form of each.
    :ivar knows_project: a file of a project names its directory as ``${workspaceFolder}``.
    :ivar is_empty: an unset variable is empty, and does not stay as written.
    :ivar is_empty_in_env: the same holds for values of the environment, if for no others.
    """

    pattern: re.Pattern[str] | None = None
    known: Mapping[str, str] = field(factory=dict)
    knows_project: bool = False
    is_empty: bool = False
    is_empty_in_env: bool = False

    def translated(self, text: str, *, is_env: bool = False, project: str = "") -> str:
        """Return a text with the gateway's variables; see Note [Never guessed].

        :param is_env: the text is a value of the environment.
        :param project: the directory of the project that the entry is for, or "".
        :raise ConfigError: the text has a variable that only the client can fill in; no value is shown.
        """
        if self.pattern is None:
            return escaped(text)
        parts, end = [], 0
        for found in self.pattern.finditer(text):
            parts += [escaped(text[end : found.start()]), self._translation(found, project, is_env=is_env)]
            end = found.end()
        return "".join((*parts, escaped(text[end:])))

    def _translation(self, found: re.Match[str], project: str, *, is_env: bool) -> str:
        if self.knows_project and project and found[0] in _PROJECT:
            return escaped(_PROJECT[found[0]](project))
        if found[0] in self.known:
            return self.known[found[0]]
        name = next((each for each in found.groups() if each), "")
        if not name or _ITS_OWN.fullmatch(name):
            raise ConfigError(f"it has {_shown(found[0])}, which only its client can fill in")
        if self.is_empty or (is_env and self.is_empty_in_env):
            return f"${{{name}:-}}"
        return f"${{{name}:-{found[0]}}}" if found[0] == f"${name}" else found[0]  # the gateway needs braces


def _shown(variable: str) -> str:
    """Return a variable as its user has written it, without a default or another value, which may be secret."""
    if ":" not in variable or _NAMING.fullmatch(variable):
        return visible(variable)
    return visible(f"{variable.partition(':')[0]}}}")


def _of(*patterns: str, known: Mapping[str, str] | None = None, **ways: bool) -> Variables:
    return Variables(re.compile("|".join(patterns)), known or {}, **ways)


_ENV = rf"\$\{{env:{_NAME}\}}"
_HOME = {"${userHome}": "${HOME}", "${pathSeparator}": "/", "${/}": "/"}

LITERAL = Variables()
CLAUDE = _of(_DEFAULT)
# Support for defaults differs from one release to the next.
BRACED = _of(_BRACED, _OTHER, _FOREIGN)
DEFAULTED = _of(_DEFAULT, _OTHER, _FOREIGN)
GEMINI = _of(_BRACED, _OTHER, r"\$(?P<bare>[A-Za-z_][A-Za-z0-9_]*)", is_empty_in_env=True)
CURSOR = _of(_ENV, _EDITORS, known=_HOME, knows_project=True)
VSCODE = _of(_ENV, _EDITORS, known=_HOME, knows_project=True, is_empty=True)
ROO = _of(_ENV, _EDITORS)
WINDSURF = _of(_ENV, r"\$\{(?:env|file):[^}]*\}")
OPENCODE = _of(rf"\{{env:{_NAME}\}}", r"\{(?:env|file):[^}]+\}", is_empty=True)
CONTINUE = _of(r"\$\{\{[^}]*\}\}")
# It is unknown what it expands.
UNKNOWN = _of(_OTHER, _FOREIGN)
# A file of any other client: most expand what Claude Code does.
CUSTOM = _of(_DEFAULT, _OTHER, _FOREIGN)
