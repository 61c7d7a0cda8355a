"""The installation of the extension that the package carries, by the editor's own program."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcpgateway.cli.service.extension import can_be_offered, install
from mcpgateway.errors import ConfigError


def editor(directory: Path, script: str, name: str = "code") -> dict[str, str]:
    """Write an editor's program into a directory; return an environment that has only that."""
    program = directory / "bin" / name
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {"PATH": str(program.parent), "HOME": str(directory)}


@pytest.fixture
def carried(tmp_path: Path) -> str:
    """An extension's file."""
    path = tmp_path / "its.vsix"
    path.write_bytes(b"PK")
    return str(path)


class InstallTests:
    """Installing."""

    def test_every_editor(self, tmp_path: Path, carried: str) -> None:
        """Each VS Code on the PATH installs the file, also over an older one."""
        note = f'echo "$0 $*" >> {tmp_path}/came'
        editor(tmp_path, note)
        environ = editor(tmp_path, note, "codium")
        assert install(environ, carried) == ["code", "codium"]
        assert (tmp_path / "came").read_text().splitlines() == [
            f"{tmp_path}/bin/{name} --install-extension {carried} --force" for name in ("code", "codium")
        ]

    def test_a_refusal(self, tmp_path: Path, carried: str) -> None:
        """The last line of an editor that refuses is its reason."""
        environ = editor(tmp_path, "echo Installing; echo it is too old >&2; exit 1")
        with pytest.raises(ConfigError, match="code has not installed the extension: it is too old"):
            install(environ, carried)

    def test_nothing_to_install(self, tmp_path: Path, carried: str) -> None:
        """A copy without the extension, and a machine without an editor, are told apart."""
        with pytest.raises(ConfigError, match="no extension of VS Code"):
            install(editor(tmp_path, ""), str(tmp_path / "none"))
        with pytest.raises(ConfigError, match="is on the PATH"):
            install({"PATH": str(tmp_path)}, carried)


class OfferTests:
    """The offer of ``start``."""

    def test_once_there_it_is_not_offered(self, tmp_path: Path, carried: str) -> None:
        """It is offered where an editor lacks it, and a package has it."""
        environ = editor(tmp_path, "")
        assert can_be_offered(environ, carried)
        assert not can_be_offered(environ, str(tmp_path / "none"))
        assert not can_be_offered({**environ, "PATH": str(tmp_path)}, carried)
        (tmp_path / ".vscode" / "extensions" / "mcpgateway.mcpgateway-0.1.0").mkdir(parents=True)
        assert not can_be_offered(environ, carried)
