"""The files of a release, built from clean clones of a commit."""

from __future__ import annotations

import filecmp
import hashlib
import os
import shutil
import stat
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from tools.release import changelog, debian
from tools.release.commands import ReleaseError, git, run, said

CHECKSUMS = "checksums.txt"
NOTES = "release-notes.md"
CARRIED = Path("mcpgateway") / "data" / "mcpgateway.vsix"
NAMESPACE = "mcpgateway-release"
"""The purpose that a signature by ``ssh-keygen`` names, so that it counts for nothing else."""


def build(root: Path, into: Path, key: Path | None) -> Path:
    """Build the files of the commit that is checked out; return their folder, ``INTO/VERSION``.

    :param key: a private SSH key that signs the checksums, if any.
    :raise ReleaseError: a file cannot be built, or not twice the same.
    """
    version = changelog.current(root)
    notes = changelog.notes(root, version)
    environ = {"SOURCE_DATE_EPOCH": git(root, "log", "-1", "--format=%ct")}
    with tempfile.TemporaryDirectory(prefix="mcpgateway-files-") as temporary:
        made = Path(temporary) / "made"
        made.mkdir()
        source = _clone(root, Path(temporary) / "first")
        extension = None
        if (source / "ui" / "vscode").is_dir():
            said("Building the extension of VS Code, twice.")
            extension = _extension(source, environ)
        said("Building source distribution and wheel, twice.")
        wheel = _twice(source, made, environ)
        if extension:
            shutil.copy(extension, made / f"mcpgateway-vscode-{version}.vsix")
        said("Building the Debian package, twice.")
        _package(source, wheel, made, environ)
        _installer(source, wheel, made)
        _sum_up(made, key)
        (made / NOTES).write_text(notes + _built_with(made), encoding="utf-8")
        target = into.resolve() / version
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(made, target)
    return target


def _clone(root: Path, target: Path) -> Path:
    run("git", "clone", "--quiet", "--no-hardlinks", root, target, cwd=root)
    git(target, "checkout", "--quiet", "--detach", git(root, "rev-parse", "HEAD"))
    return target


def _twice(source: Path, made: Path, environ: Mapping[str, str]) -> Path:
    """Build the distributions in two places, and compare them; return the wheel."""
    _distributions(source, made, environ)
    with tempfile.TemporaryDirectory(prefix="mcpgateway-again-") as temporary:
        second = _clone(source, Path(temporary) / "second")
        if (tools := source / "ui" / "node_modules").is_dir():
            # What npm fetches is checked by the lock file; what it builds has to be built anew.
            shutil.copytree(tools, second / "ui" / "node_modules", symlinks=True)
        if (source / CARRIED).exists():
            shutil.copy(source / CARRIED, second / CARRIED)
        again = Path(temporary) / "again"
        _distributions(second, again, environ)
        for path in sorted(made.iterdir()):
            if path.read_bytes() != (again / path.name).read_bytes():
                raise ReleaseError(f"{path.name} differs in: {_differing(path, again / path.name)}")
    (wheel,) = made.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        if "mcpgateway/data/ui/index.json" not in archive.namelist():
            raise ReleaseError("the wheel has no dashboard, which npm builds")
    return wheel


def _distributions(source: Path, into: Path, environ: Mapping[str, str]) -> None:
    run(
        sys.executable, "-m", "build", "--no-isolation", "--outdir", into, source, cwd=source, environ=environ
    )
    run(sys.executable, "-m", "twine", "check", "--strict", *sorted(into.iterdir()), cwd=source)


def _differing(one: Path, other: Path) -> str:
    """Return the names of the members that two archives do not share."""
    differing = sorted(_members(one).items() ^ _members(other).items())
    return (
        ", ".join(dict.fromkeys(name for name, _ in differing)) or "the order or the dates of their members"
    )


def _members(path: Path) -> dict[str, bytes]:
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    with tarfile.open(path) as tar:
        opened = ((each.name, tar.extractfile(each)) for each in tar.getmembers() if each.isfile())
        return {name: file.read() for name, file in opened if file is not None}


def _extension(source: Path, environ: Mapping[str, str]) -> Path:
    """Build the extension, which the distributions carry, twice; return its file."""
    carried = source / CARRIED
    contents = set()
    for _ in range(2):
        shutil.rmtree(source / "ui" / "vscode" / "dist", ignore_errors=True)
        for each in (carried, source / "build" / "mcpgateway.vsix"):
            each.unlink(missing_ok=True)
        run("make", "vsix", cwd=source, environ={**environ, "MCPGATEWAY_PYTHON": sys.executable})
        contents.add(carried.read_bytes())
    if len(contents) > 1:
        raise ReleaseError("the extension of VS Code differs when it is built again")
    return carried


def _package(source: Path, wheel: Path, made: Path, environ: Mapping[str, str]) -> None:
    """Build the Debian package in two places, of one wheel, and compare them."""
    package = debian.build(source, wheel, made, environ)
    with tempfile.TemporaryDirectory(prefix="mcpgateway-again-") as temporary:
        again = Path(temporary) / "made"
        again.mkdir()
        other = debian.build(source, Path(shutil.copy(wheel, again)), again, environ)
        if not filecmp.cmp(package, other, shallow=False):
            raise ReleaseError("the Debian package differs when it is built again")


def _installer(source: Path, wheel: Path, made: Path) -> None:
    """Write install.sh, with the release that it installs and where that is."""
    server, repository = (os.environ.get(f"GITHUB_{name}", "") for name in ("SERVER_URL", "REPOSITORY"))
    values = {
        "VERSION": changelog.current(source),
        "SHA256": _sha256(wheel),
        "RELEASES": f"{server}/{repository}/releases/download" if server and repository else "",
    }
    text = (source / "install.sh").read_text(encoding="utf-8")
    for name, value in values.items():
        if f"\n{name}=''\n" not in text:
            raise ReleaseError(f"install.sh has no line {name}=''")
        text = text.replace(f"\n{name}=''\n", f"\n{name}='{value}'\n")
    path = made / "install.sh"
    path.write_text(text, encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


def _sum_up(made: Path, key: Path | None) -> None:
    """Write the checksums, as ``sha256sum --check`` reads them, and their signature."""
    sums = [f"{_sha256(each)}  {each.name}\n" for each in sorted(made.iterdir())]
    (made / CHECKSUMS).write_text("".join(sums), encoding="ascii")
    if key is not None:
        run(
            "ssh-keygen", "-Y", "sign", "-q", "-f", key.resolve(), "-n", NAMESPACE, made / CHECKSUMS, cwd=made
        )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _built_with(made: Path) -> str:
    """Return the lines that say how the files are checked, and by which programs they can be built again."""
    node = run("node", "--version", cwd=made)
    programs = f"Python {sys.version.split()[0]}, setuptools {metadata.version('setuptools')}, Node.js {node}"
    return (
        f"\n### Files\n\n`sha256sum --check --ignore-missing {CHECKSUMS}` checks them, and SECURITY.md says how the"
        f" signature of `{CHECKSUMS}` is checked. Source distribution, wheel and extension are built the same, byte for"
        f" byte, by {programs}.\n"
    )
