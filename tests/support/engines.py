"""An engine that runs containers on this machine, if there is one, with an image that holds no more than a test needs.

Where the machine's own Docker or Podman runs containers as it is, that is taken.  Where one is installed but cannot
run any by itself (in a container, mostly), Podman is tried once more with as little as it can do with: no network, no
control groups, files copied instead of layered.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

IMAGE = "localhost/mcpgateway-test:1"
LIMIT_S = 60
# The interpreter of the tests, as it is on this machine; the image itself is empty.
MOUNTED = ("/usr", "/lib", "/lib64", "/bin", "/etc/alternatives", sys.base_prefix)

CONTAINERS_CONF = """\
[containers]
cgroups = "disabled"
netns = "none"
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "crun"
"""
STORAGE_CONF = """\
[storage]
driver = "vfs"
graphroot = "{0}/root"
runroot = "{0}/run"
"""
# crun refuses a machine whose control groups are of both versions; in a view of its own the second is put away.
WRAPPER = """\
#!/bin/sh
exec unshare --mount sh -c 'umount /sys/fs/cgroup/unified 2>/dev/null; exec "$0" "$@"' {podman} "$@"
"""


@frozen
class Engine:
    """A command line that runs containers.

    :ivar env: what it needs in its environment.
    """

    program: str
    env: Mapping[str, str]
    image: str = IMAGE

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command line."""
        return subprocess.run(
            [self.program, *arguments],
            env={**os.environ, **self.env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )

    def server(self, script: Path, *flags: str) -> tuple[list[str], tuple[str, ...]]:
        """The command that runs a script inside of a container, and the options it needs."""
        options = ["--network=none", *(f"--volume={each}:{each}:ro" for each in mounted())]
        options += [f"--volume={script}:/server.py:ro"]
        return [os.path.realpath(sys.executable), "-I", "-S", "/server.py", *flags], tuple(options)

    def named(self, label: str) -> list[str]:
        """The containers that bear a label."""
        return self.run("ps", "--all", "--filter", f"label={label}", "--format", "{{.Names}}").stdout.split()


def mounted() -> list[str]:
    """The directories that the interpreter needs, none of them twice."""
    found = sorted({os.path.realpath(each) for each in MOUNTED if os.path.isdir(each)})
    links = [each for each in MOUNTED if os.path.islink(each)]
    roots = [each for each in found if not any(each.startswith(f"{other}/") for other in found)]
    return roots + links


@functools.cache
def real() -> Engine | None:
    """An engine that really runs containers, or None."""
    for program in filter(None, map(shutil.which, ("docker", "podman"))):
        engine = Engine(program, {})
        if _works(engine):
            return engine
    podman = shutil.which("podman")
    if podman is None or os.geteuid() != 0 or shutil.which("unshare") is None:
        return None
    engine = _bare(podman)
    return engine if _works(engine) else None


def _bare(podman: str) -> Engine:
    where = Path(tempfile.gettempdir()) / f"mcpgateway-engine-{os.geteuid()}"
    where.mkdir(mode=0o700, exist_ok=True)
    (where / "containers.conf").write_text(CONTAINERS_CONF)
    (where / "storage.conf").write_text(STORAGE_CONF.format(where))
    wrapper = where / "podman"
    wrapper.write_text(WRAPPER.format(podman=podman))
    wrapper.chmod(0o700)
    env = {
        "CONTAINERS_CONF": str(where / "containers.conf"),
        "CONTAINERS_STORAGE_CONF": str(where / "storage.conf"),
    }
    return Engine(str(wrapper), env)


def _works(engine: Engine) -> bool:
    try:
        if engine.run("image", "inspect", IMAGE).returncode != 0 and not _imported(engine):
            return False
        argv, options = engine.server(Path("/dev/null"))
        return engine.run("run", "--rm", *options, IMAGE, argv[0], "-c", "pass").returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _imported(engine: Engine) -> bool:
    with tempfile.TemporaryDirectory() as directory:
        tarball = Path(directory) / "image.tar"
        (Path(directory) / "tmp").mkdir()
        subprocess.run(["tar", "-C", directory, "-cf", str(tarball), "tmp"], check=True)
        return engine.run("import", str(tarball), IMAGE).returncode == 0
