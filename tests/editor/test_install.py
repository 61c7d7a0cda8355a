"""The extension of the package in an editor of the user, by the editor's own program."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from mcpgateway.cli.service.extension import EXTENSION
from tests.support.editor import IN_AN_EDITOR, NODE, SERVER
from tests.support.gateway import BIN

pytestmark = [
    *IN_AN_EDITOR,
    pytest.mark.skipif(not Path(EXTENSION).exists(), reason="the package has no extension: make vsix"),
]


class InstallTests:
    """``service install --vscode``."""

    def test_a_real_editor(self, tmp_path: Path) -> None:
        """The editor has the extension afterwards, also when it had it before."""
        code = tmp_path / "code"
        options = f"--config /dev/null --user-data-dir {tmp_path}/data --extensions-dir {tmp_path}/ext"
        code.write_text(f'#!/bin/sh\nexec {NODE} {SERVER} {options} "$@"\n')
        code.chmod(0o755)
        env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path), "LANG": "C.UTF-8"}

        def said(*words: str) -> str:
            done = subprocess.run(words, env=env, check=True, capture_output=True, text=True, timeout=240)
            return done.stdout

        for _ in range(2):
            told = said(str(BIN / "mcpgateway"), "--json", "service", "install", "--vscode")
            assert json.loads(told)["editors"] == ["code"]
            assert "mcpgateway.mcpgateway" in said(str(code), "--list-extensions").splitlines()
