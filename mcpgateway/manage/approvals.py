"""The files of repositories that wait for the user's approval, and the user's answers."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

from attrs import frozen

from mcpgateway.config.document import visible
from mcpgateway.config.entry import Entry
from mcpgateway.config.environment import code_loading
from mcpgateway.config.gateway_settings import GatewaySettings
from mcpgateway.errors import InvalidParams, NotThere, Outdated
from mcpgateway.hub.repo_servers import RepositoryFile
from mcpgateway.hub.workspaces import Repositories
from mcpgateway.policy.remote_policy import check_may_run
from mcpgateway.policy.secrets.masking import arguments

ANSWERS = ("approve", "refuse", "revoke")
EXPECTED = 'such as {"path": "/…/.mcp.json", "sha256": "…", "answer": "approve"}'


@frozen
class ApprovalOperations:
    """The operations on approvals.

    :ivar files: returns the files of repositories; None where workspaces define no servers.
    :ivar redact: removes all secrets from a text.
    """

    files: Callable[[], Repositories | None]
    settings: Callable[[], GatewaySettings]
    redact: Callable[[str], str]

    def listed(self) -> list[dict[str, Any]]:
        """Return the known files, those that wait for an answer first, and what each would run."""
        found = self.files()
        known = found.known() if found is not None else []
        return [self._shown(each) for each in sorted(known, key=_order)]

    def answer(self, path: str, digest: str, answer: str, principal: str) -> dict[str, Any]:
        """Approve of a file as it was shown, refuse it, or withdraw the answer; return the file as it is now.

        :raise InvalidParams: the answer is none of these.
        :raise NotEntitled: the caller may not choose what runs on this machine.
        :raise NotThere: no known file has this path.
        :raise Outdated: the file has changed since it was shown.
        """
        if answer not in ANSWERS:
            raise InvalidParams(f'"answer": expected one of {", ".join(ANSWERS)}', EXPECTED)
        check_may_run(principal, self.settings(), is_run_here=answer == "approve")
        files = self.files()
        meant = (
            next((each for each in files.known() if each.path == path), None) if files is not None else None
        )
        if files is None or meant is None:
            raise NotThere(f"no file {visible(path)[:300]} defines servers here")
        if meant.digest != digest:
            raise Outdated(f"{visible(path)} has changed since it was shown", "look at it again")
        if answer == "approve":
            files.approve(path, digest)
        elif answer == "refuse":
            files.refuse(path, digest)
        else:
            files.revoke(path)
        return next(self._shown(each) for each in files.known() if each.path == path)

    def _shown(self, file: RepositoryFile) -> dict[str, Any]:
        return {
            "path": file.path,
            "sha256": file.digest,
            "state": file.state,
            "servers": [{"name": name, **self._would_run(each)} for name, each in file.servers.items()],
        }

    def _would_run(self, entry: Entry) -> dict[str, Any]:
        return {
            "runs": self.redact(shlex.join(arguments(list(entry.argv)))),
            "cwd": entry.cwd or "",
            "env": sorted(entry.env),
            "code_loading": code_loading(entry.env),
        }


def _order(file: RepositoryFile) -> tuple[bool, str]:
    return file.state not in ("waiting", "changed"), file.path
