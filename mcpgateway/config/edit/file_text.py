"""Changes of a configuration file's text that leave everything else in it unchanged.

# Note [Spliced, then checked]
A change is worked out as a few insertions and replacements in the text, so comments, order and layout of all the rest
stay byte for byte.  The result is parsed again and compared with the wanted content.  Where a text is so unusual that
the two differ (an alias in YAML stands for a value that is written elsewhere), YAML is written anew with its comments,
and if that fails too, the change is refused rather than made.  YAML is not written anew at first, since ruamel.yaml
attaches the comment above a key to the key before it, and removes it with that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mcpgateway.config import dialect
from mcpgateway.config.document import dotted
from mcpgateway.config.edit.edits import MISSING, Edit, Put, changed, same, steps
from mcpgateway.config.model import Dialect
from mcpgateway.config.read import is_json, parse
from mcpgateway.errors import ConfigError


def edit(text: str, file: str, change: Edit) -> str:
    """Change a configuration file's text; see Note [Spliced, then checked].

    :raise ConfigError: the changed key does not exist, or the text does not allow the change.
    """
    if is_json(text, file):
        from mcpgateway.config.edit import json as how
    else:
        from mcpgateway.config.edit import yaml as how  # type: ignore[no-redef]  # the same two functions
    before = how.values(text, file)
    wanted = changed(before, change, file)
    for plan in (list(steps(before, change)), [change]):
        made, value = _carried_out(how, text, before, file, plan)
        if same(value, wanted):
            return made
    raise ConfigError(
        f"{file}: {dotted(change.key_path)} cannot be changed without changing something else;"
        " please edit the file by hand"
    )


def _carried_out(how: Any, text: str, value: Any, file: str, plan: Sequence[Edit]) -> tuple[str, Any]:
    # A text and its values, after all steps of a plan; no values where a step cannot be carried out.
    for each in plan:
        aim = changed(value, each, file)
        ways = ((way, _values(how, way, file)) for way in how.ways(text, each))
        text, value = next((made for made in ways if same(made[1], aim)), (text, MISSING))
        if value is MISSING:
            break
    return text, value


def in_its_dialect(before: str, after: str, file: str) -> str:
    """Return a file's text after a change, with its former dialect written into it where it would differ now.

    :raise ConfigError: the text does not allow that.
    """
    former, now = (parse(each, file, strict=False, takes_list=True).value for each in (before, after))
    word = dialect.mark(former, now)
    return edit(after, file, Put((dialect.KEY,), word)) if word else after


def in_its_words(change: Edit, text: str, file: str) -> Edit:
    """Return a change in the keys of the file's dialect: mcp-gateway with mcp-ctl knows no ``enabled``.

    :param change: a change with its whole key path in that file.
    :raise ConfigError: the text is malformed.
    """
    *holder, key = change.key_path
    if key != "enabled" or not isinstance(change, Put) or not isinstance(change.value, bool):
        return change
    document = parse(text, file, strict=False, takes_list=True)
    is_theirs = dialect.reading_of(document).dialect is Dialect.MCPCTL
    return Put((*holder, "disabled"), not change.value) if is_theirs else change


def _values(how: Any, text: str, file: str) -> Any:
    try:
        return how.values(text, file)
    except ConfigError:
        return MISSING
