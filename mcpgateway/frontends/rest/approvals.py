"""Approvals: the files of repositories that define servers, and the user's answers."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from mcpgateway.errors import InvalidParams
from mcpgateway.frontends.rest.operation import OperationRequest
from mcpgateway.manage.approvals import EXPECTED, ApprovalOperations


@frozen
class ApprovalRoutes:
    """The operations on approvals."""

    _approvals: ApprovalOperations

    async def listed(self, _: OperationRequest) -> Any:
        """Return the known files, and what each would run."""
        return {"items": self._approvals.listed()}

    async def answer(self, asked: OperationRequest) -> Any:
        """Approve of a file, refuse it, or withdraw the answer."""
        body = asked.json_object(EXPECTED)
        path, digest, answer = (body.get(each) for each in ("path", "sha256", "answer"))
        if not isinstance(path, str) or not isinstance(digest, str) or not isinstance(answer, str):
            raise InvalidParams('"path", "sha256" and "answer" are texts', EXPECTED)
        return self._approvals.answer(path, digest, answer, asked.principal)
