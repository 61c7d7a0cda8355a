"""KeePass databases, read: by commands only, since to open one takes a second of work and a hundred megabytes."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any

from attrs import field, frozen

from mcpgateway.config.document import printable
from mcpgateway.credentials.records import PasswordRecord
from mcpgateway.errors import ConfigError
from mcpgateway.system.files import read_bytes

FILE_LIMIT = 64 * 1_048_576
KEY_FILE_LIMIT = 1_048_576
DEPTH_LIMIT = 100
STANDARD = frozenset(("Title", "UserName", "Password", "URL", "Notes", "otp"))
REFERENCE = "{REF:"


@frozen
class DatabaseKey:
    """The key of a KeePass database.

    :ivar password: None where there is none.
    :ivar key_file: a path, or "".
    """

    password: str | None = field(default=None, repr=False)
    key_file: str = ""


def records(path: str, lock: DatabaseKey, group: str = "") -> tuple[PasswordRecord, ...]:
    """Return the entries of a database, without those in its recycle bin.

    :param group: the name of a group, or its path from the top with slashes; it and those below it count.
    :raise ConfigError: it cannot be opened, or there is no such group.
    """
    database = _opened(path, lock)
    meta = database.tree.find("Meta")
    bin_id = meta.findtext("RecycleBinUUID") if meta is not None else None
    found: list[PasswordRecord] = []
    is_there = not group
    wanted = tuple(each for each in group.split("/") if each)
    for root in database.tree.findall("Root/Group"):
        for group_path, each in _groups(root, (), bin_id):
            if group and not _is_within(group_path, wanted):
                continue
            is_there = True
            found += (_record(entry, database) for entry in each.findall("Entry"))
    if not is_there:
        raise ConfigError(f"{path}: there is no group '{printable(group)}'")
    return tuple(found)


def read_plain(path: str, limit: int) -> bytes:
    """Read a file that has to be one itself: what stands in a link's place today may be another's tomorrow.

    :raise ConfigError: it cannot be read, is a symbolic link, no regular file or too large.
    """
    try:
        return read_bytes(path, limit, follows=False)
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file") from None


def _opened(path: str, lock: DatabaseKey) -> Any:
    try:
        from pykeepass import PyKeePass
        from pykeepass.exceptions import CredentialsError
    except ImportError:
        raise ConfigError(
            "KeePass files are read with pykeepass, which is not installed",
            "install it beside the gateway: pip install 'mcpgateway[keepass]'",
        ) from None
    data = BytesIO(read_plain(path, FILE_LIMIT))
    key = BytesIO(read_plain(lock.key_file, KEY_FILE_LIMIT)) if lock.key_file else None
    try:
        return PyKeePass(data, password=lock.password, keyfile=key)
    except CredentialsError:
        raise ConfigError(
            f"{path}: the password or the key file is not the right one"
            if lock.key_file
            else f"{path}: the password is not the right one, or a key file is needed",
        ) from None
    except Exception as why:  # noqa: BLE001 - the parser's own, of many kinds
        raise ConfigError(f"{path}: cannot be read as a KeePass database ({type(why).__name__})") from None


def _groups(
    group: Any, group_path: tuple[str, ...], bin_id: str | None
) -> Iterator[tuple[tuple[str, ...], Any]]:
    if bin_id and group.findtext("UUID") == bin_id:
        return
    yield group_path, group
    if len(group_path) < DEPTH_LIMIT:
        for each in group.findall("Group"):
            yield from _groups(each, (*group_path, each.findtext("Name") or ""), bin_id)


def _is_within(group_path: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    return group_path[: len(wanted)] == wanted or (len(wanted) == 1 and wanted[0] in group_path)


def _record(entry: Any, database: Any) -> PasswordRecord:
    strings = {each.findtext("Key") or "": each.findtext("Value") or "" for each in entry.findall("String")}
    title = strings.get("Title", "")
    strings = {name: _followed(value, title, database) for name, value in strings.items()}
    own = {name: value for name, value in strings.items() if name and name not in STANDARD}
    return PasswordRecord(title, strings.get("UserName", ""), strings.get("Password", ""), own)


def _followed(value: str, title: str, database: Any) -> str:
    """Return what a field stands for that refers to another entry's."""
    if REFERENCE not in value:
        return value
    try:
        found = database.deref(value)
    except Exception:  # noqa: BLE001 - a circle, or a reference of an unknown form
        found = None
    if not found:
        raise ConfigError(f"'{printable(title)}': a field refers to an entry that is not there")
    return str(found)
