"""``config get``, ``set``, ``unset``, ``path`` and ``edit``: single keys of the gateway's own files, and a whole file.

A file that has an error after a change which it had not before gets its former text back.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from mcpgateway.cli.console import shortened
from mcpgateway.cli.local.broken import with_line
from mcpgateway.cli.local.editors import VARIABLES, editor
from mcpgateway.cli.local.node_edits import where_it_counts
from mcpgateway.cli.local.show import values_of
from mcpgateway.config.document import Document
from mcpgateway.config.edit.config_keys import (
    changes_by_file,
    config_key_path,
    known_key,
    known_path,
    places_in,
    rows_of,
    text_after,
)
from mcpgateway.config.edit.edits import Edit, KeyPath
from mcpgateway.config.load import Circumstances, compose
from mcpgateway.config.overlay import reaches
from mcpgateway.config.problems import Problem, Problems, refusal
from mcpgateway.config.read import parse
from mcpgateway.discovery.naming import server_hint
from mcpgateway.errors import ConfigError
from mcpgateway.hints import cli
from mcpgateway.policy.secrets.masking import masked
from mcpgateway.system import approvals, files, paths, printing
from mcpgateway.system.settings import (
    FILE_LIMIT,
    LoadOptions,
    config_file,
    config_file_named,
    examine,
    gather,
    unread_files,
)
from mcpgateway.system.write_back import write_back


def get(key: str, options: LoadOptions, environ: Mapping[str, str], *, as_json: bool) -> int:
    """Print the value of a key that counts; 1 where no file has the key and it has no default.

    :raise ConfigError: no such key exists.
    """
    key_path = config_key_path(key)
    value, source = _value_now(key_path, options, environ)
    if as_json:
        printing.put_json({"key": key, "value": value, "from": source})
    elif source:
        printing.put(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    else:
        printing.put(f"mcpgateway: {key} is not set, and has no default", to=sys.stderr)
    return 0 if source else 1


def set_keys(
    assignments: Mapping[str, str], options: LoadOptions, environ: Mapping[str, str], *, as_json: bool
) -> int:
    """Write values of keys, and print the place of each.

    :raise ConfigError: a key or a value is wrong, and no file was changed.
    """
    found = gather(options, environ)
    target = config_file(options, environ)
    make_directory(target, options, environ)
    values: dict[KeyPath, Any] = {}
    for key, text in assignments.items():
        key_path = config_key_path(key)
        values[key_path] = _typed(key_path, text)
    _check_servers(values, options, environ)
    _carry_out(changes_by_file(found, target, values), "is set", options, environ, as_json=as_json)
    return 0


def _check_servers(values: Mapping[KeyPath, Any], options: LoadOptions, environ: Mapping[str, str]) -> None:
    """Check that the servers of keys exist, or are defined by them.

    :raise ConfigError: one does not exist.
    """
    settings = examine(options, environ).settings
    keys: dict[str, dict[str, Any]] = {}
    for key_path, value in values.items():
        if key_path[0] == "servers":
            keys.setdefault(key_path[1], {})[key_path[2]] = value
    if settings is None or not keys:
        return
    home = paths.gateway_home(environ, options.home or None)
    known = {*settings.blueprints, *approvals.approved_entries(home)}
    for name, given in keys.items():
        if name not in known and not reaches(given):
            raise ConfigError(
                f"no server is called {name}", f"{server_hint(name, known)}; {cli('servers add')} adds one"
            )


def unset(key: str, options: LoadOptions, environ: Mapping[str, str], *, as_json: bool) -> int:
    """Take a key out of every file of the gateway's that has it.

    :raise ConfigError: no file has the key, or it cannot be taken out.
    """
    changes = changes_by_file(gather(options, environ), "", {}, (config_key_path(key),))
    if not changes:
        raise ConfigError(f"no file of the gateway's has {key}")
    _carry_out(changes, "is taken out", options, environ, as_json=as_json)
    return 0


def _carry_out(
    changes: Mapping[str, Sequence[Edit]],
    done: str,
    options: LoadOptions,
    environ: Mapping[str, str],
    *,
    as_json: bool,
) -> None:
    for file, edits in changes.items():
        write_checked(file, partial(text_after, file=file, changes=edits), options, environ)
    where = where_it_counts(options.home, environ)
    _report([each | ({"nodes": where} if where else {}) for each in rows_of(changes)], done, as_json=as_json)
    if where and not as_json:
        printing.put(where)


def path(options: LoadOptions, environ: Mapping[str, str], *, as_json: bool) -> int:
    """Print the path of the configuration file, which need not exist."""
    file = config_file(options, environ)
    is_named = bool(config_file_named(options, environ))
    unread = [] if is_named else unread_files(paths.gateway_home(environ, options.home or None))
    if as_json:
        printing.put_json({"path": file, "exists": os.path.exists(file), "unread": unread})
        return 0
    printing.put(file)
    for each in unread:
        printing.put(f"{each} is not read: the configuration is {file}", to=sys.stderr)
    return 0


def edit(options: LoadOptions, environ: Mapping[str, str], again: Callable[[str], bool]) -> int:
    """Open the configuration file in the user's editor, and take the edited text if the gateway could use it.

    :param again: asks the user whether to edit once more, after the problems.
    :raise ConfigError: the edited text cannot be used, and no file was changed.
    """
    from mcpgateway.system.config_template import template

    file = config_file(options, environ)
    make_directory(file, options, environ)
    text = _text_of(file)
    begin = text if text is not None or file.endswith(".json") else template().decode()
    made = edited_text(
        begin or "",
        os.path.splitext(file)[1],
        environ,
        lambda each: _errors_in(each, file, options, environ),
        again,
    )
    if made == text or (text is None and made == begin):
        printing.put(f"{file} is unchanged.")
        return 0
    write_checked(file, lambda _: made, options, environ)
    where = where_it_counts(options.home, environ)
    printing.put(f"{file} is changed. A running gateway follows within a second. {where}".rstrip())
    return 0


# Writing


def write_checked(
    file: str, edited: Callable[[str], str], options: LoadOptions, environ: Mapping[str, str]
) -> None:
    """Change a file of the gateway's, and restore it if the configuration has another error then.

    :raise ConfigError: the file is unchanged; the text is the first error.
    """
    before = [_lineless(each) for each in _errors(options, environ)]
    former = write_back(file, edited)
    new = [each for each in _errors(options, environ) if _lineless(each) not in before]
    if new:
        former.restore()
        raise refusal(new[0])


def _errors(options: LoadOptions, environ: Mapping[str, str]) -> list[Problem]:
    return [each for each in examine(options, environ).problems if each.is_error]


def _lineless(problem: Problem) -> str:
    # Without the line, which an edit moves.
    from msgspec.structs import replace

    return str(replace(problem, where=replace(problem.where, line=0)))


def make_directory(file: str, options: LoadOptions, environ: Mapping[str, str]) -> None:
    """Make the home, where a file lies in it."""
    home = paths.gateway_home(environ, options.home or None)
    if os.path.dirname(file) == home:
        files.make_home(home)


def _text_of(file: str) -> str | None:
    try:
        return files.read_text(file, FILE_LIMIT)
    except FileNotFoundError:
        return None


def _report(rows: list[dict[str, str]], done: str, *, as_json: bool) -> None:
    if as_json:
        printing.put_json(rows)
        return
    for each in rows:
        printing.put(f"{each['key']} {done} in {shortened(each['file'])}; that counts {each['counts']}.")


# The editor


def edited_text(
    text: str,
    extension: str,
    environ: Mapping[str, str],
    errors_in: Callable[[str], list[str]],
    again: Callable[[str], bool],
) -> str:
    """Return a text as the user has edited it, without errors.

    :param errors_in: returns the errors of a text.
    :param again: prints the errors, and asks whether to edit once more.
    :raise ConfigError: the edited text has errors, or no editor could be started.
    """
    words = _editor(environ)
    with tempfile.TemporaryDirectory(prefix="mcpgateway-") as directory:
        draft = os.path.join(directory, f"draft{extension or '.yaml'}")
        files.write_atomic(draft, text.encode())
        while True:
            try:
                code = subprocess.call([*words, draft])
            except OSError as why:
                raise ConfigError(
                    f"{words[0]} cannot be started: {why.strerror}; EDITOR names another"
                ) from why
            if code:
                raise ConfigError(f"nothing was changed: {words[0]} ended with exit code {code}")
            made = files.read_text(draft, FILE_LIMIT)
            errors = errors_in(made)
            if not errors:
                return made
            listed = "\n".join(errors)
            if not again(listed):
                raise ConfigError(f"nothing was changed:\n{listed}")


def _editor(environ: Mapping[str, str]) -> list[str]:
    found = editor(environ)
    is_named = any(environ.get(each) for each in VARIABLES)
    if not found or not (is_named or sys.stdin.isatty()):
        raise ConfigError("EDITOR names no editor; config set and servers set change single keys")
    return found


def _errors_in(text: str, file: str, options: LoadOptions, environ: Mapping[str, str]) -> list[str]:
    """Return the errors of a configuration with this text in the place of one file."""
    problems = Problems()
    try:
        document = parse(text, file, flaws=problems, takes_list=True)
        compose_with(document, options, environ, problems)
    except ConfigError as why:
        problems.catch(why, file)
    found = Problems(examine(options, environ).problems)
    before = [_lineless(each) for each in found.refusals]
    return [
        with_line(each, text) if each.where.file == file else str(each)
        for each in problems.refusals
        if _lineless(each) not in before
    ]


def compose_with(
    document: Document, options: LoadOptions, environ: Mapping[str, str], problems: Problems
) -> None:
    """Find the problems of a configuration with a document in the place of the file of its name."""
    from msgspec.structs import replace

    found = gather(options, environ)
    native = [document if each.file == document.file else each for each in found.native]
    if document not in native:
        native.insert(0, document)
    settings = examine(options, environ).settings
    if settings is None or settings.world is None:
        return  # the files have an error already, and are examined when the text is written
    setting = Circumstances(settings.world, options.port, os.path.realpath)
    compose(replace(found, native=tuple(native)), setting, problems)


# Keys


def _typed(key_path: KeyPath, text: str) -> Any:
    """Return the value that a text stands for: JSON where the key takes that, else the text itself."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    known = known_key(known_path(key_path))
    if isinstance(value, str) or known is None or value is None:
        return text if known is None else value
    place = Document("", {known.key.name: value}, lambda _path: 0).root().at(known.key.name)
    try:
        known.key.kind.read(place, Problems())
    except ConfigError:
        return text
    return value


def _value_now(key_path: KeyPath, options: LoadOptions, environ: Mapping[str, str]) -> tuple[Any, str]:
    """Return the value that counts, masked, and its source; ("", "") where the key has none."""
    top, *rest = key_path
    dotted = ".".join(rest[1:] if top == "servers" else rest)
    if top in ("gateway", "servers") and dotted:
        server = rest[0] if top == "servers" else None
        rows = values_of(options, environ, server)[top if server is None else f"servers.{server}"]
        row = next((each for each in rows if each.key == dotted), None)
        if row is not None:
            return row.value, row.source
    places = places_in(gather(options, environ), key_path)
    if places:
        where = places[-1].where
        return masked(places[-1].value, key_path[-1]), f"{where.file}:{where.line}"
    known = known_key(known_path(key_path))
    default = known.key.default if known is not None else None
    return (None, "") if default is None else (default, "default")
