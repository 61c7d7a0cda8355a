"""Import credentials from a password manager for servers, and list those that servers have."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from attrs import frozen

from mcpgateway.config.edit.env_file import updated
from mcpgateway.config.expand import escaped
from mcpgateway.credentials.records import Credential, for_env_file
from mcpgateway.errors import ConfigError
from mcpgateway.system import files

ENV_FILE_LIMIT = 4 * 1_048_576
OK, SKIPPED, FAILED, PARTIAL = "ok", "skipped", "failed", "partial"
NOT_FOUND = 404


@frozen
class CredentialResult:
    """The outcome of an import for one server.

    :ivar status: ``ok``, ``skipped``, ``failed`` or ``partial``.
    """

    name: str
    status: str
    detail: str = ""

    def shown(self) -> dict[str, str]:
        """Return it as JSON."""
        return {"name": self.name, "status": self.status, "detail": self.detail}


@frozen
class ImportAnswer:
    """The answer of the gateway to an import.

    :ivar text: the reason of a refusal.
    """

    status: int
    text: str = ""

    @property
    def is_fine(self) -> bool:
        """True if the request has succeeded."""
        return self.status < 400


Patch = Callable[[str, Mapping[str, Any]], ImportAnswer]
"""Changes a server of a running gateway."""


def to_env_file(credentials: Iterable[Credential], path: str) -> tuple[CredentialResult, ...]:
    """Put them into a ``.env`` file, which only its owner can read then; what else is in it stays.

    :raise ConfigError: the file is of another kind, is not ours, or cannot be written.
    """
    path = os.path.abspath(os.path.expanduser(path))
    wanted = tuple(credentials)
    values, notes = for_env_file(wanted)
    put_values(path, values, notes)
    return tuple(_written(each, path) for each in wanted)


def put_values(path: str, values: Mapping[str, str], notes: Mapping[str, str] | None = None) -> None:
    """Put values into a ``.env`` file, which only its owner can read then.

    :param notes: for some of them, the comment above those that are added.
    :raise ConfigError: the file is of another kind, is not ours, or cannot be written.
    """
    try:
        with files.locked(os.path.dirname(path)):
            if values:
                _write(path, values, notes or {})
    except OSError as why:
        raise ConfigError(f"{path}: cannot be written: {why.strerror}") from why


def to_server(credentials: Iterable[Credential], patch: Patch) -> tuple[CredentialResult, ...]:
    """Give them to the servers of a running gateway that have their names."""
    return tuple(_given(each, patch) for each in credentials)


def _write(path: str, values: Mapping[str, str], notes: Mapping[str, str]) -> None:
    try:
        # In a checked out directory a link may lead anywhere.
        before = files.text_of(files.read_bytes(path, ENV_FILE_LIMIT, follows=False), path)
        if os.lstat(path).st_uid != os.geteuid():
            raise ConfigError(f"{path}: belongs to another user")
    except FileNotFoundError:
        before = ""
    files.write_atomic(path, updated(before, path, values, notes).encode(), follows=False)


def _written(credential: Credential, path: str) -> CredentialResult:
    if not (credential.env or credential.headers):
        return CredentialResult(credential.name, SKIPPED, "it has no values")
    names = [*credential.env, *map(credential.header_variable, credential.headers)]
    return CredentialResult(credential.name, OK, f"{', '.join(sorted(names))} in {path}")


def _given(credential: Credential, patch: Patch) -> CredentialResult:
    # What is written into a configuration is expanded when it is read.
    env = [f"{name}={escaped(value)}" for name, value in sorted(credential.env.items())]
    headers = {name: escaped(value) for name, value in sorted(credential.headers.items())}
    parts = {key: part for key, part in (("add_env", env), ("add_headers", headers)) if part}
    if not parts:
        return CredentialResult(credential.name, SKIPPED, "it has no values")
    reply = patch(credential.name, parts)
    if reply.is_fine:
        return CredentialResult(
            credential.name, OK, ", ".join(sorted((*credential.env, *credential.headers)))
        )
    if reply.status == NOT_FOUND:
        return CredentialResult(credential.name, SKIPPED, "the gateway has no server of that name")
    if len(parts) == 1:
        return CredentialResult(credential.name, FAILED, reply.text)
    # A server takes variables or headers, depending on how it is reached; half of it is better than nothing.
    each = {key: patch(credential.name, {key: part}) for key, part in parts.items()}
    done = [key.removeprefix("add_") for key, answer in each.items() if answer.is_fine]
    why = next((answer.text for answer in each.values() if not answer.is_fine), "")
    return (
        CredentialResult(credential.name, PARTIAL, f"only the {done[0]}: {why}")
        if done
        else CredentialResult(credential.name, FAILED, why or reply.text)
    )
