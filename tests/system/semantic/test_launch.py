"""The state of the semantic search, as it is told."""

from __future__ import annotations

import pytest

from mcpgateway.system.semantic import launch
from mcpgateway.system.semantic.launch import MISSING, search_state


@pytest.mark.parametrize("is_installed", [True, False])
def test_before_a_search(monkeypatch: pytest.MonkeyPatch, *, is_installed: bool) -> None:
    """It is ready where it is installed."""
    monkeypatch.setattr(launch, "model_path", lambda: "model.onnx" if is_installed else "")
    expected = {"state": "ready", "reason": ""} if is_installed else {"state": "missing", "reason": MISSING}
    assert search_state("", is_on=True) == expected


def test_after_a_search() -> None:
    """A search has found out whether it is installed, and why it fails."""
    assert search_state(MISSING, is_on=True)["state"] == "missing"
    assert search_state("no memory", is_on=True) == {"state": "failed", "reason": "no memory"}
    assert search_state("no memory", is_on=False)["state"] == "off"
