"""The doctor: its findings and their repairs."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from mcpgateway.frontends.rest.operation import OperationRequest
from mcpgateway.manage.doctor import DoctorOperations


@frozen
class DoctorRoutes:
    """The operations of the doctor."""

    _doctor: DoctorOperations

    async def findings(self, _: OperationRequest) -> Any:
        """Return all findings."""
        return await self._doctor.findings()

    async def fix(self, asked: OperationRequest) -> Any:
        """Repair the findings of an id."""
        return await self._doctor.fix(asked.path["id"])
