"""Servers that sleep, and a restart in place, while the disk, the clock, the descriptors or the memory give way."""

import asyncio
import glob
import os
import resource
import subprocess
import time

import pytest

from tests.functional.test_sleep import repl, sleeping
from tests.functional.test_tools_cli import ran
from tests.support.gateway import BIN, Gateway, eventually, server
from tests.support.http_client import Client
from tests.support.restarting import restarted

pytestmark = pytest.mark.functional

FAKETIME = next(iter(glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")), "")
NAMES = [f"server{number}" for number in range(8)]
FILES = (
    64  # too few for a copy of each descriptor of these servers, and enough for a trial of the next program
)
MOUNT = 'mkdir -p "$0" && mount -t tmpfs -o size=8m tmpfs "$0" && exec "$@"'
OVER = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0"'
MEMORY = 30 * 2**20  # bytes beyond those that the gateway has mapped


def mounts():
    """Whether file systems of one's own can be mounted."""
    return not subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode


def made(directory, names=("one", "other"), wrapper=(), **environ):
    """A gateway with these servers, which sleep soon, started by another program."""
    servers = {each: server(repl()) for each in names}
    settings = {"sleep": {"after": "1s"}, "ping_interval": "2s"}
    gateway = Gateway(directory, servers, settings=settings, environ=environ, is_forked=False)
    gateway._runner = [*wrapper, *gateway._runner]
    return gateway


def through(gateway, hardship, *, again=None, restart=restarted):
    """Let servers sleep, put the gateway to the test, restart it, and see that every server keeps its state.

    :param hardship: called when the servers sleep.
    :param again: called when the gateway has restarted.
    :param restart: restarts it in place.
    """
    names = [each["name"] for each in gateway.health()["backends"]]

    async def scene():
        clients = [await Client.open(gateway.url, each) for each in names]
        for number, client in enumerate(clients):
            await client.text("run", code=f"x = {number}")
        pids = [sleeping(gateway, each) for each in names]

        async def same():
            assert [await each.text("run", code="answer = x") for each in clients] == [
                str(number) for number in range(len(names))
            ]
            assert [gateway.backend(each)["pids"] for each in names] == [[pid] for pid in pids]

        hardship()
        await same()
        sleeping(gateway, names[0])
        restart(gateway)
        await same()
        if again is not None:
            again()
            await same()
        sleeping(gateway, names[0])
        for each in clients:
            each.close()

    asyncio.run(scene())


def commanded(inside):
    """Restart a gateway by its command; a trial of the next program that takes too long is repeated."""
    for _ in range(3):
        done = inside('exec "$1" --home "$0" restart', str(BIN / "mcpgateway"))
        if done.returncode == 0:
            break
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("kind", ["full", "read-only"])
def test_disk(tmp_path, kind):
    """A home that takes nothing any more loses no server by ``restart``; ``status`` says so, until it is mended."""
    if not mounts():
        pytest.skip("this needs a file system of its own")
    gateway = made(tmp_path, wrapper=("unshare", "-rm", "sh", "-c", MOUNT, str(tmp_path / "home")))

    def filler():
        return f"/proc/{gateway.pid}/root{gateway.home}/filler"

    def inside(command, *words):
        ours = ("nsenter", "-U", "--preserve-credentials", "-m", "-t", str(gateway.pid))
        argv = [*ours, "sh", "-c", command, str(gateway.home), *words]
        return subprocess.run(argv, check=not words, capture_output=True, text=True)

    def gives_way():
        if kind == "full":
            subprocess.run(["sh", "-c", f"cat /dev/zero > {filler()}"], check=False, capture_output=True)
        else:
            inside(OVER)

    def mended():
        problems = gateway.health()["problems"]
        assert [each["code"] for each in problems] == ["disk"]
        if kind == "full":
            os.unlink(filler())
        else:
            inside('umount "$0"')
        eventually(lambda: gateway.health()["problems"] == [], "it is well again")

    with gateway:
        through(gateway, gives_way, again=mended, restart=lambda _: commanded(inside))


@pytest.mark.skipif(not FAKETIME, reason="faketime of Debian is not installed")
def test_clock(tmp_path):
    """Jumps of the clock, forward and back, wake no server, end none, keep none awake, and mislead no ``restart``."""
    clock = tmp_path / "clock"
    clock.write_text("+0")
    faked = {
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }

    def jumped(jump):
        clock.write_text(jump)
        time.sleep(2)

    def back():
        jumped("-3600s")
        code, _, err = ran(gateway.home, "restart")
        assert (code, err) == (0, "")

    with made(tmp_path, LD_PRELOAD=FAKETIME, **faked) as gateway:
        through(gateway, lambda: jumped("+3600s"), again=back)
        assert gateway.log.count("the clock was set") == 2


def test_few_files(tmp_path):
    """Hardly any descriptor is left, and all servers are handed over."""
    with made(tmp_path, NAMES, ("sh", "-c", f'ulimit -n {FILES}; exec "$0" "$@"')) as gateway:
        through(gateway, lambda: None)


def test_little_memory(tmp_path):
    """A gateway that may map little more memory hands its servers over to one that may not either."""

    def gives_way():
        with open(f"/proc/{gateway.pid}/statm") as sizes:
            mapped = int(sizes.read().split()[0]) * resource.getpagesize()
        resource.prlimit(gateway.pid, resource.RLIMIT_AS, (mapped + MEMORY, resource.RLIM_INFINITY))

    with made(tmp_path) as gateway:
        through(gateway, gives_way)
