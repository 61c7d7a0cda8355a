"""The package of another project that is called ``mcpgateway``, too."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.doctoring import found, is_fine, world

METADATA = "mcp_contextforge_gateway-1.0.dist-info"


def environment(root: Path, metadata: str) -> Path:
    """An environment with a program ``mcpgateway`` and the metadata of a package; return the program."""
    (root / "lib" / "python3.11" / "site-packages" / metadata).mkdir(parents=True)
    (root / "bin").mkdir()
    program = root / "bin" / "mcpgateway"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    return program


class NamesakeTests:
    """The check for another project's package and program."""

    def test_own_program(self, tmp_path: Path) -> None:
        """Programs of this project are fine, in whatever environment."""
        program = environment(tmp_path / "own", "mcpgateway-1.0.dist-info")
        looked_at = world(tmp_path)
        looked_at.environ = {"PATH": f"{program.parent}:{tmp_path / 'none'}:"}
        assert is_fine("namesakes", looked_at)

    @pytest.mark.parametrize("is_link", [False, True])
    def test_foreign_program(self, tmp_path: Path, *, is_link: bool) -> None:
        """A program of the other package is named as it stands on the path, also where it is a link."""
        program = environment(tmp_path / "other[1]", METADATA)
        if is_link:
            (tmp_path / "bin").mkdir()
            link = tmp_path / "bin" / "mcpgateway"
            link.symlink_to(program)
            program = link
        looked_at = world(tmp_path)
        looked_at.environ = {"PATH": f"{tmp_path}:{program.parent}"}
        (only,) = found("namesakes", looked_at)
        assert (only.id, only.text.partition(" ")[0]) == ("namesakes.program", str(program))

    def test_shared_environment(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The other package in the environment of this one is known by its metadata."""
        metadata = tmp_path / "packages" / METADATA
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text("Name: mcp-contextforge-gateway\nVersion: 1.0\n")
        monkeypatch.syspath_prepend(str(metadata.parent))
        looked_at = world(tmp_path)
        looked_at.environ = {"PATH": ""}
        (only,) = found("namesakes", looked_at)
        assert only.id == "namesakes.package"
        assert "pipx" in only.advice
