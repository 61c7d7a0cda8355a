"""The rule for files that may get secrets: only the user may own such a file, and no other user may have a copy.

A link leads to a file that is kept elsewhere, mostly to be shared, and files in a repository are committed one day.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from mcpgateway.config.document import printable
from mcpgateway.errors import NotOurs
from mcpgateway.policy.secrets.hiding import Hidden
from mcpgateway.system.token_files import AUTH

INSTEAD = "put the value into .env of the gateway's home, and write ${NAME} in its place"
GIT = ".git"


def is_own(path: str) -> bool:
    """True if a file, or the one that would be made there, is the user's own."""
    return not foreign(path)


def foreign(path: str, *, is_repository: bool = False) -> str:
    """Return why a file is not the user's own; "" where it is.

    :param is_repository: the file is known to be a repository's.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        found = None
    if found is not None and stat.S_ISLNK(found.st_mode):
        return "is a symbolic link"
    if found is not None and found.st_uid != os.geteuid():
        return f"belongs to another user (uid {found.st_uid})"
    if is_repository:
        return "is a file of a repository"
    root = repository_of(path)
    return f"is in the repository {root}" if root else ""


def check_takes(hidden: Iterable[Hidden], path: str, *, is_repository: bool = False) -> None:
    """Check that these values, which are not in a file yet, may be written into it.

    :param is_repository: the file is a repository's, in which users also write values that are no secrets.
    :raise NotOurs: the values may not be written into the file.
    """
    found = [each for each in hidden if (each.is_secret if is_repository else each.may_be_secret)]
    if found and (why := foreign(path, is_repository=is_repository)):
        names = ", ".join(sorted({printable(each.name) for each in found}))
        raise NotOurs(f"{path}: {why}, so {names} is not written into it", INSTEAD)


def repository_of(path: str) -> str:
    """Return the root of the git repository that a file is in; "" where it is in none.

    A gateway's home counts as no repository, and neither does a user's home, even with its dot files in one.
    """
    user = os.path.realpath(os.path.expanduser("~"))
    directory = os.path.dirname(os.path.realpath(path))
    while directory != user and not os.path.lexists(os.path.join(directory, AUTH)):
        if os.path.lexists(os.path.join(directory, GIT)):
            return directory
        above = os.path.dirname(directory)
        if above == directory:
            break
        directory = above
    return ""
