"""The Debian package: the program and all that it needs, in a virtual environment on Debian's own Python.

The interpreter of the environment is ``/usr/bin/python3``.  It looks for packages in the folder of its version, so one
package fits each distribution whose Python is in `PYTHONS`.
"""

from __future__ import annotations

import gzip
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from tools.release import changelog
from tools.release.commands import ReleaseError, git, run

PYTHONS = ("3.11", "3.12", "3.13")  # Debian 12, Ubuntu 24.04, Debian 13
EXTRAS = "cluster,keyring,manhole,oauth"  # its users cannot add packages to it
PLACE = "usr/lib/mcpgateway"
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
GLIBCS = (17, 24, 27, 28, 31, 34)  # the second numbers of those for which wheels are made, up to Debian 12's
PROGRAMS = {
    "mcpgateway": "from mcpgateway.cli.entry import main",
    "twist": "from twisted.application.twist._twist import Twist; main = Twist.main",
    "twistd": "from twisted.scripts.twistd import run as main",
}
ALIASES = ("mcp-ctl", "mcpg", "mcp-gateway")

CONTROL = """\
Package: mcpgateway
Version: {version}
Architecture: {architecture}
Maintainer: {maintainer}
Installed-Size: {size}
Depends: python3 (>= {oldest}), python3 (<< {beyond})
Suggests: nodejs, npm, pipx, podman
Section: net
Priority: optional
Description: one set of MCP servers for many clients
 The gateway runs each MCP server of its user once, and shares it among all AI
 clients. Each user starts an own one: mcpgateway start, or as a service,
 systemctl --user enable --now mcpgateway mcpgateway-deadman.timer
"""

# Files of the package belong to root, so the gateway cannot write what Python and Twisted keep to start quickly.
POSTINST = f"""\
#!/bin/sh
set -e
case "$1" in configure|triggered)
    "/{PLACE}/bin/python3" -m compileall -q /{PLACE}/lib/python"$(
        "/{PLACE}/bin/python3" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"/site-packages || true
    "/{PLACE}/bin/twist" --help >/dev/null || true
esac
if [ "$1" = configure ] && [ -n "$2" ]; then
    echo "mcpgateway: a user's running gateway uses this release after: mcpgateway restart"
fi
"""

# The files of clients name the program. A file that cannot be restored must not keep the package on the machine.
PRERM = f"""\
#!/bin/sh
set -e
if [ "$1" = remove ]; then
    getent passwd | while IFS=: read -r user _ _ _ _ home _; do
        [ -d "$home/.mcp-gateway" ] || continue
        runuser -u "$user" -- env HOME="$home" MCPGATEWAY_REMOVER=dpkg \\
            timeout 120 /{PLACE}/bin/mcpgateway uninstall --keep-home </dev/null ||
            echo "mcpgateway: the files of the clients of $user may still name the program" >&2
    done
fi
find /{PLACE}/lib -name __pycache__ -prune -exec rm -rf {{}} +
find /{PLACE}/lib -name dropin.cache -delete
"""
TRIGGERS = "interest-noawait /usr/bin/python3\n"  # another Python, whose packages are not compiled yet


def build(source: Path, wheel: Path, into: Path, environ: Mapping[str, str]) -> Path:
    """Build the package of this machine's architecture, of a wheel and the files of its checkout; return its path.

    :raise ReleaseError: there is no dpkg-deb, or a dependency has no wheel for one of the `PYTHONS`.
    """
    if ".".join(map(str, sys.version_info[:2])) != PYTHONS[0]:
        # pip asks the Python that it runs on which packages an older one needs besides.
        raise ReleaseError(f"a release is made with Python {PYTHONS[0]}, the oldest that it is for")
    architecture = run("dpkg", "--print-architecture", cwd=source)
    if architecture not in MACHINES:
        raise ReleaseError(f"no Debian package is made for {architecture}, only for {', '.join(MACHINES)}")
    root = into.parent / "debian"
    shutil.rmtree(root, ignore_errors=True)
    for python in PYTHONS:
        target = root / PLACE / "lib" / f"python{python}" / "site-packages"
        _packages(wheel, target, python, MACHINES[architecture])
    _programs(root)
    _units(source, root)
    _documents(source, root)
    _control(source, root, architecture)
    path = into / f"mcpgateway_{changelog.current(source)}_{architecture}.deb"
    run(
        "dpkg-deb", "--root-owner-group", "-Zzstd", "-z10", "--build", root, path, cwd=source, environ=environ
    )
    return path


def _packages(wheel: Path, target: Path, python: str, machine: str) -> None:
    """Install the wheel and all that it needs for a Python that need not be here."""
    platforms = [f"manylinux_2_{each}_{machine}" for each in GLIBCS] + [f"manylinux2014_{machine}"]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    wanted = ["--python-version", python, "--only-binary", ":all:", "--target", str(target)]
    run(
        *pip,
        *wanted,
        *(f"--platform={each}" for each in platforms),
        f"{wheel}[{EXTRAS}]",
        cwd=wheel.parent,
    )
    shutil.rmtree(target / "bin", ignore_errors=True)  # programs that name the Python of this machine
    # pip notes the folder of the wheel, which another build has elsewhere.
    (noted,) = target.glob("mcpgateway-*.dist-info/direct_url.json")
    noted.unlink()
    record = noted.with_name("RECORD")
    lines = record.read_text(encoding="utf-8").splitlines(keepends=True)
    record.write_text("".join(each for each in lines if f"/{noted.name}," not in each), encoding="utf-8")


def _programs(root: Path) -> None:
    environment = root / PLACE
    (environment / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")
    folder = environment / "bin"
    folder.mkdir()
    for name in ("python", "python3"):
        (folder / name).symlink_to("/usr/bin/python3")
    for name, imported in PROGRAMS.items():
        _script(folder / name, f"#!/{PLACE}/bin/python3 -P\nimport sys\n{imported}\nsys.exit(main())\n")
    for name in ALIASES:
        (folder / name).symlink_to("mcpgateway")
    (root / "usr" / "bin").mkdir()
    for name in ("mcpgateway", *ALIASES):
        (root / "usr" / "bin" / name).symlink_to(f"../lib/mcpgateway/bin/{name}")


def _units(source: Path, root: Path) -> None:
    folder = root / "usr" / "lib" / "systemd" / "user"
    folder.mkdir(parents=True)
    for each in sorted((source / "tap" / "systemd").iterdir()):
        text = each.read_text(encoding="utf-8")
        # The comment at the top is for users who copy the file by hand.
        units = text[text.index("\n[") + 1 :]
        (folder / each.name).write_text(
            units.replace("%h/.local/share/mcpgateway/", f"/{PLACE}/"), encoding="utf-8"
        )


def _documents(source: Path, root: Path) -> None:
    folder = root / "usr" / "share" / "doc" / "mcpgateway"
    folder.mkdir(parents=True)
    texts = [
        (source / name).read_text(encoding="utf-8") for name in ("LICENSE", "NOTICE", "LICENSE.Apache-2.0")
    ]
    (folder / "copyright").write_text("\n".join(texts), encoding="utf-8")
    changes = (source / "CHANGELOG.md").read_bytes()
    (folder / "changelog.gz").write_bytes(gzip.compress(changes, mtime=0))


def _control(source: Path, root: Path, architecture: str) -> None:
    folder = root / "DEBIAN"
    size = sum(each.stat().st_size for each in root.rglob("*") if each.is_file() and not each.is_symlink())
    folder.mkdir()
    newest = int(PYTHONS[-1].partition(".")[2])
    control = CONTROL.format(
        version=re.sub(r"(?=a|b|rc)", "~", changelog.current(source), count=1),  # before the release itself
        architecture=architecture,
        maintainer=git(source, "log", "-1", "--format=%an <%ae>"),
        size=size // 1024,
        oldest=PYTHONS[0],
        beyond=f"3.{newest + 1}",
    )
    (folder / "control").write_text(control, encoding="utf-8")
    (folder / "triggers").write_text(TRIGGERS, encoding="utf-8")
    _script(folder / "postinst", POSTINST)
    _script(folder / "prerm", PRERM)


def _script(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
