"""Changes of profiles, and what they cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mcpgateway.config.edit.conditions import EditCondition
from mcpgateway.manage.views import ViewOperations
from tests.support.managed import Managed


@pytest.fixture
def managed(tmp_path: Path) -> Managed:
    """A gateway with a configuration file."""
    return Managed(tmp_path)


def test_reads_of_the_files(managed: Managed) -> None:
    """The configuration is read and parsed once before a change of a profile, and once after it."""
    reload, looks = managed.reload, list[str]()
    gather = reload.gather
    assert gather is not None

    def counted() -> Any:
        """Count a look."""
        looks.append("look")
        return gather()

    reload.gather = counted
    views = ViewOperations(reload, lambda: pytest.fail("no view is shown"), b"key")
    for description, is_new in (("For the office", True), ("For all", False)):
        looks.clear()
        made = views.put("office", {"description": description}, EditCondition())
        assert (made.is_new, made.shown["description"], len(looks)) == (is_new, description, 2)
    looks.clear()
    views.delete("office", EditCondition())
    assert (views.profiles(), len(looks)) == ([], 2)
