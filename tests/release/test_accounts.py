"""install.sh with the files of a real release, in new accounts: each shell, each tool, with a network and without."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcpgateway import __version__
from tests.support.accounts import LinuxAccount
from tests.support.gateway import eventually
from tests.support.ports import free_port
from tests.support.releases import LONG, Release

pytestmark = [LONG, pytest.mark.skipif(os.geteuid() != 0, reason="only root makes accounts")]

CASES = [
    ("dash", "python", "offline"),
    ("zsh", "python", "online"),
    ("bash", "uv", "online"),
    ("bash", "uv", "offline"),
    ("zsh", "pipx", "online"),
]
# pipx and uv keep what their environments share, and their own records.
TOOLS_OWN = (".local/share/pipx/", ".local/share/uv/", ".local/state/pipx/", ".local/pipx/")
CLAUDE = b'{\n  "numStartups": 3,\n  "mcpServers": {"notes": {"command": "python3", "args": ["notes.py"]}}\n}'


@pytest.fixture(scope="module")
def shelf() -> Iterator[Path]:
    """A folder that every user can read; pytest's own are closed."""
    with tempfile.TemporaryDirectory(prefix="mcpgateway-shelf-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="module")
def offered(release: Release, shelf: Path) -> Path:
    """The folder of a release, with the wheels of all that it needs."""
    folder = shelf / "the release"
    shutil.copytree(release.files, folder)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--only-binary",
        ":all:",
        "--dest",
        str(folder),
    ]
    subprocess.run([*pip, str(release.file("*.whl"))], check=True, timeout=600, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def uv(shelf: Path) -> Path:
    """The program uv."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(shelf / "uv"), "uv"]
    subprocess.run(pip, check=True, timeout=600, capture_output=True)
    return shelf / "uv" / "bin" / "uv"


@pytest.fixture(params=CASES, ids="-".join)
def case(
    request: pytest.FixtureRequest, uv: Path, tmp_path_factory: pytest.TempPathFactory, shelf: Path
) -> Iterator[tuple]:
    """A new account, and the tool and the network that it has."""
    shell, tool, network = request.param
    programs = shelf / f"programs for {'-'.join(request.param)}"
    programs.mkdir()
    for each in Path("/usr/bin").iterdir():
        if each.name not in {"uv", "pipx"} or each.name == tool:
            (programs / each.name).symlink_to(each)
    if tool == "uv":
        (programs / "uv").symlink_to(uv)
    with LinuxAccount(shell, programs) as account:
        yield account, tool, network == "online"


class AccountTests:
    """A user from nothing to nothing."""

    def test_all(self, case: tuple[LinuxAccount, str, bool], offered: Path) -> None:
        """The program is installed by the tool that is there, its gateway enrols a client's file, and all is undone."""
        account, tool, is_online = case
        config = json.dumps({"gateway": {"http_port": free_port()}}).encode()
        original = account.write(".claude.json", CLAUDE)
        before = account.files()
        options = ["--from", offered, *([] if is_online else ["--offline"])]
        script = offered / "install.sh"

        done = account.ran("sh", script, *options, has_network=is_online)
        assert done.returncode == 0, done.stdout + done.stderr
        way = "in " if tool == "python" else f"by {tool}"
        assert f"Installing mcpgateway {__version__} {way}" in done.stdout
        assert account.shell("mcpgateway --version").stdout == f"mcpgateway {__version__}\n"
        assert original.read_bytes() == CLAUDE

        account.write(".mcp-gateway/config.json", config)
        (account.home / ".mcp-gateway").chmod(0o700)
        again = account.ran("sh", script, *options, "--yes", "--no-service")
        assert again.returncode == 0, again.stdout + again.stderr
        assert f"mcpgateway {__version__} is installed already" in again.stdout
        assert original.read_bytes() != CLAUDE
        assert account.shell("mcpgateway status --json").returncode == 0
        assert account.processes()

        upgrade = account.shell("mcpgateway upgrade --check")
        assert "was installed by install.sh" in upgrade.stdout, upgrade
        assert "run install.sh of the new release" in upgrade.stdout

        removed = account.ran("sh", script, "--uninstall", "--yes", has_network=is_online)
        assert removed.returncode == 0, removed.stdout + removed.stderr
        assert original.read_bytes() == CLAUDE
        assert not (account.home / ".mcp-gateway").exists()
        assert account.shell("mcpgateway --version").returncode == 127
        eventually(lambda: account.processes() == [], "the last process of the user has ended")
        left = {name: text for name, text in account.files().items() if not name.startswith(TOOLS_OWN)}
        assert left == before
