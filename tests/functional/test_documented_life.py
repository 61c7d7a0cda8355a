"""The pages "Install" and "Upgrade and uninstall": their commands run, and leave nothing behind."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.support.pages import DOCS, commands
from tests.support.user import User

INSTALL, UPGRADE = DOCS / "tutorial" / "install.rst", DOCS / "howto" / "upgrade.rst"
SNIPPET = DOCS / "tutorial" / "install.inc"
ENTRIES = {"mcpServers": {"clock": {"command": sys.executable, "args": ["-m", "mcpgateway.demo.clock"]}}}
# tests/release runs the installer and the Debian package, `make package` installs the wheel, test_upgrade.py upgrades
# it, test_service_docs.py installs a service, and a test cannot end `make run`.
ELSEWHERE = {
    *("sh install.sh", "sh install.sh --yes", "sh install.sh --no-service", "sh install.sh --uninstall"),
    *("sh install.sh --from FOLDER --offline", "sudo apt install ./mcpgateway_VERSION_amd64.deb"),
    "systemctl --user enable --now mcpgateway mcpgateway-deadman.timer",
    "sudo apt remove mcpgateway",
    "pipx install mcpgateway-VERSION-py3-none-any.whl",
    "uv tool install ./mcpgateway-VERSION-py3-none-any.whl",
    *("pipx install .", "pipx install --force .", "pipx uninstall mcpgateway", "make run"),
    *("mcpgateway service install", "mcpgateway upgrade"),
}

pytestmark = pytest.mark.functional


def ran(user: User, typed: list[str]) -> dict[str, str]:
    """Run the commands of a page one after the other; their outputs."""
    said = {}
    for command in typed:
        done = user.ran("sh", "-euc", command)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}\n{user.log}"
        said[command] = done.stdout
    return said


def of_page(page: Path) -> list[str]:
    """The commands of a page that run here."""
    return [each for each in commands(page) if each not in ELSEWHERE]


class PageTests:
    """Commands of the pages."""

    def test_elsewhere(self) -> None:
        """The pages show each command that is run elsewhere."""
        shown = {each for page in (INSTALL, SNIPPET, UPGRADE) for each in commands(page)}
        assert shown >= ELSEWHERE

    def test_install(self, tmp_path: Path) -> None:
        """A new user checks the installation, starts the gateway, looks at it, and stops it."""
        with User(tmp_path / "h", has_service=False) as user:
            said = ran(user, of_page(INSTALL))
            user.mcpgateway("stop")  # the page starts it once more, for another way to install it
            assert not user.answers()
            assert said["mcpgateway --version"].startswith("mcpgateway ")
            assert (user.home / ".mcpgateway-completion.bash").read_text()

    def test_upgrade_and_uninstall(self, tmp_path: Path) -> None:
        """A restart keeps the process; afterwards the client's file is restored and the home is gone."""
        with User(tmp_path / "h", has_service=False) as user:
            file = user.write(".claude.json", json.dumps(ENTRIES, indent=2))
            original = file.read_bytes()
            user.mcpgateway("start", "--adopt", "always")
            assert file.read_bytes() != original
            pid = user.gateway_pid
            check, restart, status, *rest = of_page(UPGRADE)
            ran(user, [check, restart, status])
            assert user.gateway_pid == pid
            ran(user, rest)
            assert file.read_bytes() == original
            assert not user.answers()
            assert not user.gateway_home.exists()
