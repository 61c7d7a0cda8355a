"""Cut a release in a clone of the checkout, which gets its commit and its tag when all files are there."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tools.release import changelog, files
from tools.release.commands import ReleaseError, git, run


def cut(root: Path, version: str, into: Path, key: Path | None) -> Path:
    """Commit the version and the changelog, build the files, and tag the commit; return the folder of the files.

    :param into: the folder of all releases.
    :param key: a private SSH key that signs, if any.
    :raise ReleaseError: a step fails; the checkout is then as it was.
    """
    _check(root, version)
    with tempfile.TemporaryDirectory(prefix="mcpgateway-release-") as temporary:
        clone = Path(temporary) / "release"
        run("git", "clone", "--quiet", "--no-hardlinks", root, clone, cwd=root)
        for name in ("user.name", "user.email"):
            git(clone, "config", name, git(root, "config", name))
        changelog.assign(clone, version)
        changelog.extend(clone, version)
        git(clone, "add", "--all")
        git(clone, "commit", "--quiet", "--message", f"Release {version}")
        made = files.build(clone, into, key)
        signed = ["-c", "gpg.format=ssh", "-c", f"user.signingkey={key.resolve()}"] if key else []
        mark = "--sign" if key else "--annotate"
        git(clone, *signed, "tag", mark, "--message", f"mcpgateway {version}", f"v{version}")
        git(root, "fetch", "--quiet", str(clone), "HEAD", f"refs/tags/v{version}:refs/tags/v{version}")
        try:
            git(root, "merge", "--quiet", "--ff-only", f"v{version}")
        except ReleaseError:
            git(root, "tag", "--delete", f"v{version}")
            raise
    return made


def _check(root: Path, version: str) -> None:
    """Refuse a version that cannot be released from this checkout.

    :raise ReleaseError: the reason.
    """
    asked = changelog.order(version)
    if changed := git(root, "status", "--porcelain"):
        raise ReleaseError(f"the checkout has changes that are not committed:\n{changed}")
    released = [each.removeprefix("v") for each in git(root, "tag", "--list", "v*").split()]
    orders = [changelog.order(each) for each in released if changelog.VERSION.fullmatch(each)]
    if orders and asked <= max(orders):
        raise ReleaseError(f"{version} is not newer than the releases {', '.join(released)}")
    if asked < changelog.order(changelog.current(root)):
        raise ReleaseError(f"{version} is older than the package, which is {changelog.current(root)}")
