"""Clients' files that use the gateway, read from the disk together with what the ledger knows of them.

Loaded only where there is a ledger.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from mcpgateway.clientfiles.enrolled_text import KEPT, AdoptedFile, also_former, newcomers
from mcpgateway.clientfiles.enrolment_records import Adopted, unwound
from mcpgateway.clientfiles.formats import syntax
from mcpgateway.clientfiles.formats.client_format import ClientDialect
from mcpgateway.clientfiles.formats.clients import DIALECTS
from mcpgateway.clientfiles.formats.loopback import Base
from mcpgateway.clientfiles.formats.rewrite import give_back
from mcpgateway.clientfiles.ledger import Ledger, Records
from mcpgateway.config.edit.edits import MISSING
from mcpgateway.config.problems import Problems, Where
from mcpgateway.errors import ConfigError
from mcpgateway.system import files

FILE_LIMIT = 64 * 1_048_576  # files of 50 MB have been seen
OTHER = "custom"


def adopted_files(
    home: str, approved: Callable[[str], str], look: Callable[[str], str], problems: Problems
) -> tuple[list[AdoptedFile], frozenset[str]]:
    """Read all clients' files that lead to a gateway of this home, or did until that was suspended.

    Beside them, the servers that stay their clients' own, which may be so where no file uses the gateway any more.

    :param approved: the digest under which the user has approved of a file, or "".
    :param look: told of every file that is read.
    """
    ledger = Ledger(home)
    try:
        records = ledger.read()
    except ConfigError as why:
        problems.catch(why, home, "clients' own files are not followed", is_error=False)
        return [], frozenset()
    for each in records.problems:
        problems.warn(Where(os.path.join(home, "ledger")), each)
    return list(_files(records, approved, look, problems)), records.opted_out


def _files(
    records: Records, approved: Callable[[str], str], look: Callable[[str], str], problems: Problems
) -> Iterator[AdoptedFile]:
    for adopted in records.files.values():
        dialect = _dialect(adopted)
        data = _read(look(adopted.path), problems)
        yield AdoptedFile(
            adopted.path,
            dialect,
            _value(data, adopted, dialect, problems),
            adopted.entries,
            adopted.mode,
            adopted.project,
            adopted.suspended,
            adopted.is_watched,
            not adopted.project or _is_approved(adopted, data, approved(adopted.path)),
            records.opted_out,
            adopted.registered_at,
        )


def without_us(home: str, path: str, data: bytes) -> tuple[bytes, frozenset[str]]:
    """A file's bytes as they would be without the gateway, and the titles of the entries that use the gateway."""
    ledger = Ledger(home)
    try:
        real = os.path.realpath(path)
        adopted = next(
            (each for each in ledger.read().files.values() if os.path.realpath(each.path) == real), None
        )
        if adopted is None:
            return data, frozenset()
        original = _original(adopted, syntax.decoded(data, path))
        value = syntax.read(original, path, _dialect(adopted))
    except ConfigError:
        return data, frozenset()  # it counts as it is
    strange = newcomers(value, _dialect(adopted), adopted.entries, _base(adopted), adopted.project)
    titles = {road[-1] for road in adopted.entries}
    return syntax.encoded(original), frozenset(titles - strange)


def _dialect(adopted: Adopted) -> ClientDialect:
    return DIALECTS.get(adopted.dialect) or DIALECTS[OTHER]


def _read(path: str, problems: Problems) -> bytes | None:
    try:
        return files.read_bytes(path, FILE_LIMIT)
    except FileNotFoundError:
        problems.warn(Where(path), "there is no such file", KEPT)
    except ConfigError as why:
        problems.catch(why, path, KEPT, is_error=False)
    return None


def _value(data: bytes | None, adopted: Adopted, dialect: ClientDialect, problems: Problems) -> Any:
    if data is None:
        return MISSING
    path = adopted.path
    try:
        text = syntax.decoded(data, path)
        if text.strip(syntax.BOM + " \t\r\n"):
            return _read_text(text, path, dialect)
        problems.warn(Where(path), "is empty", KEPT)
    except ConfigError as why:
        problems.catch(why, path, KEPT, is_error=False)
    return MISSING


def _read_text(text: str, path: str, dialect: ClientDialect) -> Any:
    # Nothing is changed here, so places in the text are not needed; in a large file that is a third of the time.
    if syntax.form_of(path, text) is syntax.Form.JSON:
        with suppress(ValueError, RecursionError):
            return json.loads(text.removeprefix(syntax.BOM))
    return syntax.read(text, path, dialect)


def _is_approved(adopted: Adopted, data: bytes | None, approved: str) -> bool:
    if data is None or not approved:
        return False
    from mcpgateway.system.approvals import digest_of_bytes

    try:
        original = _original(adopted, syntax.decoded(data, adopted.path))
    except ConfigError:
        return False
    return digest_of_bytes(syntax.encoded(original)) == approved


def _original(adopted: Adopted, text: str) -> str:
    if adopted.suspended:
        return text
    exact = unwound(adopted, text)
    if exact is not None:
        return exact
    replaced = [each.replaced for each in adopted.entries.values()]
    return give_back(text, adopted.path, _dialect(adopted), _base(adopted), replaced).text


def _base(adopted: Adopted) -> Base:
    """Return what makes a URL ours, as it was when the entries were written."""
    return also_former(Base(0), _dialect(adopted), adopted.entries)
