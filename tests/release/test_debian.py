"""The Debian package, install.sh and the recipe of the container in a Debian with nothing in it but Python."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcpgateway import __version__
from tests.functional.test_container_recipe import health_command, instructions, last
from tests.support.bare_debian import BareDebian
from tests.support.ports import free_port
from tests.support.real_servers import ROOT
from tests.support.releases import LONG, Release

pytestmark = [LONG, pytest.mark.skipif(os.geteuid() != 0, reason="only root changes its root")]

CLAUDE = '{"mcpServers": {"notes": {"command": "python3", "args": ["notes.py"]}}}'
ENROLLED = f"""
useradd --create-home user
as_user() {{ runuser -u user -- env HOME=/home/user USER=user "$@"; }}
as_user mkdir -m 700 /home/user/.mcp-gateway
echo '{{"gateway": {{"http_port": PORT}}}}' | as_user tee /home/user/.mcp-gateway/config.json >&2
printf '%s' '{CLAUDE}' | as_user tee /home/user/.claude.json >&2
"""
MANAGER = """
umount -lR /sys/fs/cgroup || true
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /run/systemd/system /run/user/0 "/sys/fs/cgroup/$GROUP"
echo $$ >"/sys/fs/cgroup/$GROUP/cgroup.procs"
export XDG_RUNTIME_DIR=/run/user/0
/lib/systemd/systemd --user --log-target=console >/tmp/manager 2>&1 &
timeout 60 sh -c 'until systemctl --user show-environment >/dev/null 2>&1; do sleep 0.2; done'
"""


@pytest.fixture(scope="module")
def bare() -> BareDebian:
    """A Debian with Python, but without pip and venv, made once for this checkout."""
    root = ROOT / "build" / "bare-debian"
    if not (root / ".made").exists():
        shutil.rmtree(root, ignore_errors=True)
        BareDebian.made(root, "python3", "ca-certificates", "procps")
        (root / ".made").touch()
    return BareDebian(root)


@pytest.fixture
def debian(bare: BareDebian) -> Iterator[BareDebian]:
    """A copy of that Debian for one test."""
    with tempfile.TemporaryDirectory(prefix="mcpgateway-debian-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        yield bare.copy(Path(folder) / "root")


@pytest.fixture
def control_group() -> Iterator[str]:
    """The name of a control group, which is removed with all below it."""
    name = f"mcpgateway-{os.getpid()}"
    yield name
    for top in (Path("/sys/fs/cgroup") / name, Path("/sys/fs/cgroup/unified") / name):
        for each in sorted((top, *top.rglob("*/")), reverse=True) if top.is_dir() else ():
            each.rmdir()


def enrolled() -> str:
    """The commands that make a user with a client and a port for the gateway."""
    return ENROLLED.replace("PORT", str(free_port()))


class PackageTests:
    """The Debian package."""

    def test_life(self, debian: BareDebian, release: Release) -> None:
        """It is installed without a network, serves a user, and restores the files of clients when it is removed."""
        debian.put(release.file("*.deb"), "/mcpgateway.deb")
        done = debian.ran(
            f"""
            dpkg --install /mcpgateway.deb >&2
            test "$(mcpgateway --version)" = "mcpgateway {__version__}"
            {enrolled()}
            as_user mcpgateway start --yes >&2
            ! grep -q notes.py /home/user/.claude.json || grep -q mcpgateway /home/user/.claude.json
            as_user mcpgateway status --json | grep -q notes
            find /usr/lib/mcpgateway/lib -name dropin.cache | grep -q twisted/plugins
            dpkg --remove mcpgateway >&2
            cat /home/user/.claude.json
            ! pgrep -u user >&2
            ! ls -d /usr/lib/mcpgateway /usr/bin/mcpg* /usr/lib/systemd/user/mcpgateway* >&2
            """
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == CLAUDE

    def test_its_service(self, debian: BareDebian, release: Release, control_group: str) -> None:
        """The manager of a user accepts the units, starts the gateway, and looks after it."""
        debian.put(release.file("*.deb"), "/mcpgateway.deb")
        page = (ROOT / "docs" / "tutorial" / "install.rst").read_text()
        (command,) = re.findall(r"\$ (systemctl --user enable --now .*)", page)
        done = debian.ran(
            f"""
            apt-get update -qq
            apt-get install -qq --yes --no-install-recommends systemd dbus-user-session >/dev/null
            dpkg --install /mcpgateway.deb >&2
            mkdir -m 700 /root/.mcp-gateway
            echo '{{"gateway": {{"http_port": {free_port()}}}}}' >/root/.mcp-gateway/config.json
            {MANAGER}
            systemd-analyze verify --user mcpgateway.service mcpgateway-deadman.timer >&2
            {command} >&2
            systemctl --user show --property=StatusText,ActiveState mcpgateway >&2
            systemctl --user is-active mcpgateway.service mcpgateway-deadman.timer
            mcpgateway status --json >/dev/null
            systemctl --user stop mcpgateway-deadman.timer mcpgateway.service
            """,
            GROUP=control_group,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == ["active", "active"]


class InstallerTests:
    """install.sh."""

    def test_without_venv(self, debian: BareDebian, release: Release) -> None:
        """Where Python has no pip, the script fetches that from the package index, and verifies it."""
        for name in (release.file("*.whl").name, "install.sh"):
            debian.put(release.files / name, f"/release/{name}")
        done = debian.ran(
            f"""
            ! python3 -c 'import pip' 2>/dev/null
            ! python3 -m venv /tmp/environment >/dev/null
            {enrolled()}
            cd /home/user
            as_user sh /release/install.sh >&2
            as_user sh -lc 'mcpgateway --version'
            as_user sh /release/install.sh --uninstall --yes >&2
            """
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"mcpgateway {__version__}\n"


class RecipeTests:
    """The recipe of the container."""

    def test_its_steps(self, debian: BareDebian) -> None:
        """The steps of the recipe make a gateway that runs servers by npx and uvx, and can write to its home only."""
        built = debian.ran(
            """
            apt-get update -qq
            apt-get install -qq --yes --no-install-recommends python3-pip python3-venv >/dev/null
            ln -s /usr/bin/python3 /usr/local/bin/python
            """
        )
        assert built.returncode == 0, built.stderr
        for word, rest in instructions():
            if word == "COPY":
                *names, target = rest.split()
                for name in names:
                    copied = ROOT / name
                    into = target if copied.is_dir() and len(names) == 1 else f"{target}/{copied.name}"
                    debian.put(copied, into)
            elif word == "RUN":
                done = debian.ran(rest, PIP_BREAK_SYSTEM_PACKAGES="1", PIP_ROOT_USER_ACTION="ignore")
                assert done.returncode == 0, f"{rest}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        self._runs(debian)

    def _runs(self, debian: BareDebian) -> None:
        port = str(free_port())
        home = last("WORKDIR")
        servers = {
            "memory": {"command": "npx", "args": ["-y", "@modelcontextprotocol/server-memory"]},
            "time": {"command": "uvx", "args": ["mcp-server-time"]},
        }
        variables = dict(rest.split("=", 1) for word, rest in instructions() if word == "ENV")
        entry = shlex.join([*json.loads(last("ENTRYPOINT")), "--port", port, "--demo"])
        health = shlex.join(health_command())
        (debian.root / home.lstrip("/") / ".claude.json").write_text(json.dumps({"mcpServers": servers}))
        done = debian.ran(
            f"""
            cd {home}
            {entry} >/tmp/log 2>&1 &
            gateway=$!
            trap 'cat /tmp/log >&2' EXIT
            timeout 120 sh -c 'until {health} >/dev/null 2>&1; do sleep 0.5; done'
            id -u
            ! touch /written /usr/written 2>/dev/null
            for server in clock memory time; do timeout 300 mcpgateway servers test $server >&2; echo $server; done
            kill -TERM $gateway
            wait $gateway || test $? = 143
            ! {health} >/dev/null 2>&1
            """,
            options=(f"--userspec={last('USER')}",),
            mounts=f"""
            mount --bind "$1" "$1"
            mount --bind "$1{home}" "$1{home}"
            mount -o remount,bind,ro "$1"
            mount --rbind /dev "$1/dev"
            mount -t proc proc "$1/proc"
            mount -t tmpfs tmpfs "$1/tmp"
            """,
            **variables,
        )
        assert done.returncode == 0, done.stderr[-6000:]
        assert done.stdout.split() == ["1000", "clock", "memory", "time"]
