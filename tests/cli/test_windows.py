"""Systems without the calls of Unix."""

from __future__ import annotations

import subprocess
import sys


class WindowsTests:
    """The program on Windows."""

    def test_the_way(self) -> None:
        """Every command names WSL in one sentence, in place of a traceback."""
        code = "import sys; sys.modules['posix'] = None; import mcpgateway.cli.entry"
        done = subprocess.run(
            [sys.executable, "-c", code, "--help"], check=False, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert "runs on Windows in WSL" in done.stderr
