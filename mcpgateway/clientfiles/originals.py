"""Reading clients' enrolled files from the disk, together with their records in the ledger.

The module is loaded only where there is a ledger.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from mcpgateway.clientfiles.enrolled_text import KEPT, EnrolledFileReader, also_former, newcomers
from mcpgateway.clientfiles.enrolment_records import FileRecord, unwound
from mcpgateway.clientfiles.formats import syntax
from mcpgateway.clientfiles.formats.client_format import ClientDialect
from mcpgateway.clientfiles.formats.clients import DIALECTS
from mcpgateway.clientfiles.formats.loopback import LocalGateway
from mcpgateway.clientfiles.formats.rewrite import give_back
from mcpgateway.clientfiles.ledger import Ledger, LedgerRecords
from mcpgateway.config.edit.edits import MISSING
from mcpgateway.config.problems import Problems, Where
from mcpgateway.errors import ConfigError
from mcpgateway.system import files

FILE_LIMIT = 64 * 1_048_576  # files of 50 MB have been seen
OTHER = "custom"


def read_enrolled_files(
    home: str, approved: Callable[[str], str], look: Callable[[str], str], problems: Problems
) -> tuple[list[EnrolledFileReader], frozenset[str]]:
    """Read all enrolled files of a gateway of this home, suspended ones included, and the servers that are opted out.

    :param approved: returns the digest under which the user has approved a file, or "".
    :param look: called with the path of every file that is read.
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
    records: LedgerRecords, approved: Callable[[str], str], look: Callable[[str], str], problems: Problems
) -> Iterator[EnrolledFileReader]:
    for record in records.files.values():
        dialect = _dialect(record)
        data = _read(look(record.path), problems)
        yield EnrolledFileReader(
            record.path,
            dialect,
            _value(data, record, dialect, problems),
            record.entries,
            record.mode,
            record.project,
            record.suspended,
            record.is_watched,
            not record.project or _is_approved(record, data, approved(record.path)),
            records.opted_out,
            record.registered_at,
        )


def without_us(home: str, path: str, data: bytes) -> tuple[bytes, frozenset[str]]:
    """Return a file's bytes as if it were restored, and the titles of its enrolled entries."""
    ledger = Ledger(home)
    try:
        real = os.path.realpath(path)
        record = next(
            (each for each in ledger.read().files.values() if os.path.realpath(each.path) == real), None
        )
        if record is None:
            return data, frozenset()
        original = original_text(record, syntax.decoded(data, path))
        value = syntax.read(original, path, _dialect(record))
    except ConfigError:
        return data, frozenset()  # the file counts as it is
    strange = newcomers(value, _dialect(record), record.entries, _base(record), record.project)
    titles = {key_path[-1] for key_path in record.entries}
    return syntax.encoded(original), frozenset(titles - strange)


def _dialect(record: FileRecord) -> ClientDialect:
    return DIALECTS.get(record.dialect) or DIALECTS[OTHER]


def _read(path: str, problems: Problems) -> bytes | None:
    try:
        return files.read_bytes(path, FILE_LIMIT)
    except FileNotFoundError:
        problems.warn(Where(path), "there is no such file", KEPT)
    except ConfigError as why:
        problems.catch(why, path, KEPT, is_error=False)
    return None


def _value(data: bytes | None, record: FileRecord, dialect: ClientDialect, problems: Problems) -> Any:
    if data is None:
        return MISSING
    path = record.path
    try:
        text = syntax.decoded(data, path)
        if text.strip(syntax.BOM + " \t\r\n"):
            return _read_text(text, path, dialect)
        problems.warn(Where(path), "is empty", KEPT)
    except ConfigError as why:
        problems.catch(why, path, KEPT, is_error=False)
    return MISSING


def _read_text(text: str, path: str, dialect: ClientDialect) -> Any:
    # Nothing is changed here, so positions in the text are not needed; that saves two thirds of the time.
    if syntax.form_of(path, text) is syntax.TextForm.JSON:
        with suppress(ValueError, RecursionError):
            return json.loads(text.removeprefix(syntax.BOM))
    return syntax.read(text, path, dialect)


def _is_approved(record: FileRecord, data: bytes | None, approved: str) -> bool:
    if data is None or not approved:
        return False
    from mcpgateway.system.approvals import digest_of_bytes

    try:
        original = original_text(record, syntax.decoded(data, record.path))
    except ConfigError:
        return False
    return digest_of_bytes(syntax.encoded(original)) == approved


def original_text(record: FileRecord, text: str) -> str:
    """Return the text of a file as if it were restored."""
    if record.suspended:
        return text
    exact = unwound(record, text)
    if exact is not None:
        return exact
    replaced = [each.replaced for each in record.entries.values()]
    return give_back(text, record.path, _dialect(record), _base(record), replaced).text


def _base(record: FileRecord) -> LocalGateway:
    """Return the gateway's addresses at the time when the entries were written."""
    return also_former(LocalGateway(0), _dialect(record), record.entries)
