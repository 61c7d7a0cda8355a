"""install.sh with the files of a real release, in new accounts: each shell, each tool, with a network and without."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcpgateway import __version__
from tests.support.accounts import LinuxAccount
from tests.support.gateway import eventually
from tests.support.ports import free_port
from tests.support.real_servers import ROOT
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
OLDER = "0.0.9"
CLIENT = b"""
import json, sys, urllib.request
def asked(method, session, **params):
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    headers |= {"Mcp-Session-Id": session} if session else {}
    url = f"http://127.0.0.1:{sys.argv[1]}/clock/mcp"
    return urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=120)
if sys.argv[2:]:
    assert b'"now"' in asked("tools/list", sys.argv[2]).read()
    print("the session goes on")
else:
    about = {"clientInfo": {"name": "t", "version": "1"}, "capabilities": {}}
    print(asked("initialize", "", protocolVersion="2025-06-18", **about).headers["Mcp-Session-Id"])
"""
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


def programs_with(tool: str, folder: Path) -> Path:
    """Make a folder of this machine's programs, of which it has one tool only that installs others."""
    folder.mkdir()
    for each in Path("/usr/bin").iterdir():
        if each.name not in {"uv", "pipx"} or each.name == tool:
            (folder / each.name).symlink_to(each)
    return folder


@pytest.fixture(params=CASES, ids="-".join)
def case(
    request: pytest.FixtureRequest, uv: Path, tmp_path_factory: pytest.TempPathFactory, shelf: Path
) -> Iterator[tuple]:
    """A new account, and the tool and the network that it has."""
    shell, tool, network = request.param
    programs = programs_with(tool, shelf / f"programs for {'-'.join(request.param)}")
    if tool == "uv":
        (programs / "uv").symlink_to(uv)
    with LinuxAccount(shell, programs) as account:
        yield account, tool, network == "online"


@pytest.fixture
def older(offered: Path, shelf: Path) -> Path:
    """The same release with a lower version, and its installer."""
    folder = shelf / "an older release"
    folder.mkdir()
    (new,) = offered.glob("mcpgateway-*.whl")
    wheel = folder / new.name.replace(__version__, OLDER)
    with zipfile.ZipFile(new) as source, zipfile.ZipFile(wheel, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name == "mcpgateway/__init__.py" or ".dist-info/" in name:
                data = data.replace(__version__.encode(), OLDER.encode())
            target.writestr(name.replace(__version__, OLDER), data)
    sums = f"{hashlib.sha256(wheel.read_bytes()).hexdigest()}  {wheel.name}\n"
    (folder / "checksums.txt").write_text(sums)
    shutil.copy(ROOT / "install.sh", folder)
    return folder


class UpgradeTests:
    """A release over an older one."""

    def test_what_stays(self, offered: Path, older: Path, shelf: Path) -> None:
        """The sessions of clients, the configuration and the tokens go on in the newer gateway."""
        with LinuxAccount("bash", programs_with("python", shelf / "programs for an upgrade")) as account:
            port = free_port()
            account.write(".mcp-gateway/config.json", json.dumps({"gateway": {"http_port": port}}).encode())
            (account.home / ".mcp-gateway").chmod(0o700)
            client = account.write("client.py", CLIENT)
            installed = account.ran("sh", older / "install.sh", "--yes", "--no-service")
            assert installed.returncode == 0, installed.stdout + installed.stderr
            python = f"{account.home}/.local/share/mcpgateway/bin/python"
            added = f"mcpgateway servers add clock -- '{python}' -m mcpgateway.demo.clock"
            assert account.shell(f"{added} && mcpgateway token create ci").returncode == 0
            session = account.ran(python, client, str(port)).stdout.strip()
            pid = json.loads(account.shell("mcpgateway status --json").stdout)["pid"]

            upgraded = account.ran("sh", offered / "install.sh")
            assert upgraded.returncode == 0, upgraded.stdout + upgraded.stderr
            assert upgraded.stdout.endswith("Its gateway runs: mcpgateway status\n")
            status = json.loads(account.shell("mcpgateway status --json").stdout)
            assert (status["version"], status["pid"]) == (__version__, pid)
            assert account.ran(python, client, str(port), session).stdout == "the session goes on\n"
            assert " ci " in account.shell("mcpgateway token list").stdout
            removed = account.ran("sh", offered / "install.sh", "--uninstall", "--yes")
            assert removed.returncode == 0, removed.stdout + removed.stderr


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
