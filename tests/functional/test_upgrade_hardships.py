"""Upgrades of servers' packages while the disk, the clock, the descriptors or the memory give way."""

import asyncio
import json
import os
import resource
import subprocess
import time

import pytest

from tests.functional.test_hardships import FAKETIME, FILES, MEMORY, MOUNT, OVER, mounts
from tests.functional.test_server_versions import client, version, version_of_new
from tests.support.gateway import BIN, LIMIT_S, Gateway, eventually, server
from tests.support.registry import Registry
from tests.support.restarting import restarted

pytestmark = pytest.mark.functional


@pytest.fixture
def registry():
    """A registry with the first version of a package."""
    with Registry() as made:
        made.publish("teller", "1.0.0")
        yield made


class Upgrade:
    """A gateway whose server has an open session of the first version, and is upgraded to another.

    :param wrapper: the program that starts it.
    """

    def __init__(self, directory, registry, wrapper=(), **environ):
        self._registry = registry
        entry = server(["npx", "-y", "teller"], env={"npm_config_registry": registry.url})
        self.gateway = Gateway(directory, {"teller": entry}, environ=environ, is_forked=False)
        self.gateway._runner = [*wrapper, *self.gateway._runner]
        self._into = (
            ("nsenter", "-U", "--preserve-credentials", "-m", "-t") if wrapper[:1] == ("unshare",) else ()
        )

    def inside(self, *argv):
        """Run a program where the gateway sees its files."""
        into = (*self._into, str(self.gateway.pid)) if self._into else ()
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.gateway.directory)}
        return subprocess.run(
            [*into, *argv], env=environ, check=False, capture_output=True, text=True, timeout=LIMIT_S * 2
        )

    def asked(self):
        """Run the command; return it when it has ended."""
        words = ("servers", "upgrade", "teller", "--yes")
        return self.inside(str(BIN / "mcpgateway"), "--home", str(self.gateway.home), *words)

    def written(self):
        """The version in the file."""
        text = self.inside("cat", str(self.gateway.home / "lock.json")).stdout
        return json.loads(text)["servers"]["teller"]["current"]["version"]

    def _of_each_version(self, first_pids):
        """Wait until a process of the other version is left beside the first ones; return all of them."""
        eventually(
            lambda: len(self.gateway.backend("teller")["pids"]) == len(first_pids) + 1,
            "processes that no session uses any more have ended",
        )
        return set(self.gateway.backend("teller")["pids"])

    def through(self, hardship, *, says="", mended=None):
        """Upgrade it in a hardship, and after that, and restart the gateway.

        :param says: the reason for which the upgrade is refused; empty where it succeeds all the same.
        :param mended: ends the hardship.
        """

        async def scene():
            async with (
                asyncio.timeout(LIMIT_S * 5),
                client(self.gateway) as first,
                client(self.gateway, "mcp/full") as view,
            ):
                assert [await version(first), await version(view, "teller__tell")] == ["1.0.0", "1.0.0"]
                first_pids = self.gateway.backend("teller")["pids"]
                self._registry.publish("teller", "1.1.0")
                await asyncio.to_thread(hardship)
                done = await asyncio.to_thread(self.asked)
                told = " ".join((done.stdout + done.stderr).split())
                assert (done.returncode, says in told) == (1 if says else 0, True), told
                assert await version(first) == "1.0.0"
                assert await version_of_new(self.gateway) == ("1.0.0" if says else "1.1.0")
                if mended is not None:
                    await asyncio.to_thread(mended)
                if says:
                    done = await asyncio.to_thread(self.asked)
                    assert done.returncode == 0, done.stdout + done.stderr
                assert self.written() == "1.1.0"
                assert await version(first) == "1.0.0"
                assert await version_of_new(self.gateway) == "1.1.0"
                pids = await asyncio.to_thread(self._of_each_version, first_pids)
                await asyncio.to_thread(restarted, self.gateway)
                assert [await version(first), await version(view, "teller__tell")] == ["1.0.0", "1.0.0"]
                assert await version_of_new(self.gateway) == "1.1.0"
                assert set(self.gateway.backend("teller")["pids"]) == pids > set(first_pids)

        with self.gateway:
            asyncio.run(scene())


@pytest.mark.parametrize("kind", ["full", "read-only"])
def test_disk(tmp_path, registry, kind):
    """A home that takes no record of an upgrade keeps the version; the command and the health say why."""
    if not mounts():
        pytest.skip("this needs a file system of its own")
    upgrade = Upgrade(tmp_path, registry, ("unshare", "-rm", "sh", "-c", MOUNT, str(tmp_path / "home")))
    home, gateway = str(upgrade.gateway.home), upgrade.gateway

    def gives_way():
        command = 'cat /dev/zero > "$0/filler"' if kind == "full" else OVER
        upgrade.inside("sh", "-c", command, home)

    def mended():
        eventually(lambda: [each["code"] for each in gateway.health()["problems"]] == ["disk"], "it says so")
        upgrade.inside("sh", "-c", 'rm "$0/filler"' if kind == "full" else 'umount "$0"', home)
        eventually(lambda: gateway.health()["problems"] == [], "it is well again")

    says = "No space left" if kind == "full" else "Read-only file system"
    upgrade.through(gives_way, says=says, mended=mended)


@pytest.mark.skipif(not FAKETIME, reason="faketime of Debian is not installed")
@pytest.mark.parametrize("jump", ["+864000s", "-864000s"])
def test_clock(tmp_path, registry, jump):
    """A jump of the clock by days keeps nothing from being upgraded."""
    clock = tmp_path / "clock"
    clock.write_text("+0")
    upgrade = Upgrade(
        tmp_path,
        registry,
        LD_PRELOAD=FAKETIME,
        FAKETIME_TIMESTAMP_FILE=str(clock),
        FAKETIME_NO_CACHE="1",
        FAKETIME_DONT_FAKE_MONOTONIC="1",
    )

    def jumped():
        clock.write_text(jump)
        time.sleep(2)

    upgrade.through(jumped)
    assert upgrade.gateway.log.count("the clock was set") == 1


def test_few_files(tmp_path, registry):
    """Few descriptors are enough for two versions at a time."""
    upgrade = Upgrade(tmp_path, registry, ("sh", "-c", f'ulimit -n {FILES}; exec "$0" "$@"'))
    upgrade.through(lambda: None)


def test_little_memory(tmp_path, registry):
    """A newer version that finds no memory to start in is not switched to, and the former one goes on."""
    upgrade = Upgrade(tmp_path, registry)

    def limited(size):
        resource.prlimit(upgrade.gateway.pid, resource.RLIMIT_AS, (size, resource.RLIM_INFINITY))

    def gives_way():
        with open(f"/proc/{upgrade.gateway.pid}/statm") as sizes:
            limited(int(sizes.read().split()[0]) * resource.getpagesize() + MEMORY)

    def mended():
        limited(resource.RLIM_INFINITY)

    upgrade.through(gives_way, says="teller", mended=mended)
