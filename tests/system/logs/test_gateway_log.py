"""The log file of a gateway that runs detached."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcpgateway.system.logs.gateway_log import LOG_VARIABLE, observer


def test_the_file_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A gateway that restarts in a home which takes nothing any more goes on, and logs to stdout."""
    (tmp_path / "logs").write_text("no directory")
    monkeypatch.setenv(LOG_VARIABLE, str(tmp_path / "logs" / "gateway.log"))
    event = {"log_format": "it runs", "log_time": 0.0}
    observer()(event)
    assert "it runs" in capsys.readouterr().out
