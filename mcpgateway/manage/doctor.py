"""The doctor for the control plane: its findings, and the repairs that need no decision of the user.

The helper program makes the checks, which read files and look at all processes of the machine.
"""

from __future__ import annotations

import re
from typing import Any

from attrs import frozen

from mcpgateway.errors import ClientFilesFailed, NotThere
from mcpgateway.hints import cli
from mcpgateway.manage.enrolment import FileChecker

# A finding's id is a word of the program's command line.
IDENTIFIER = re.compile(r"[a-z][a-z0-9_.-]{0,60}")


@frozen
class DoctorOperations:
    """The operations of the doctor."""

    _ask: FileChecker

    async def findings(self) -> dict[str, Any]:
        """Return all findings.

        :raise ClientFilesFailed: the helper program has failed.
        """
        return _checked(await self._ask())

    async def fix(self, identifier: str) -> dict[str, Any]:
        """Carry out the repairs of a kind of finding, and return what was found afterwards.

        :raise NotThere: no finding of that id can be repaired.
        :raise ClientFilesFailed: the helper program, or a repair, has failed.
        """
        found = _checked(await self._ask("--fix", identifier)) if IDENTIFIER.fullmatch(identifier) else {}
        if not found.get("repairs"):
            raise NotThere(
                f"no finding {identifier[:60]} can be repaired",
                f"{cli('doctor --verbose')} shows all findings",
            )
        for each in found["repairs"]:
            if each["why"]:
                raise ClientFilesFailed(f"{each['what']}: {each['why']}", cli("doctor"))
        return found


def _checked(found: Any) -> dict[str, Any]:
    if not isinstance(found, dict) or "findings" not in found:
        raise ClientFilesFailed("the doctor has not answered", cli("doctor"))
    return found
