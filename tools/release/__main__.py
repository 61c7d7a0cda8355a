"""``python -m tools.release``: cut a release, or build the files of one that is tagged."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tools.release import cutting, files
from tools.release.commands import ReleaseError, said

ROOT = Path(__file__).resolve().parents[2]


def main(argv: list[str]) -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.release", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    cut = verbs.add_parser("cut", help="commit the version and the changelog, build all files, and tag")
    cut.add_argument("version", help="such as 0.2.0 or 0.2.0rc1")
    build = verbs.add_parser("build", help="build the files of the commit that is checked out")
    for each in (cut, build):
        each.add_argument("--into", type=Path, default=ROOT / "dist", help="the folder of all releases")
        each.add_argument("--key", type=Path, help="a private SSH key that signs the checksums and the tag")
    words = parser.parse_args(argv)
    os.umask(0o022)  # modes of files are part of what has to be the same in two builds
    try:
        made = (
            cutting.cut(ROOT, words.version, words.into, words.key)
            if words.verb == "cut"
            else files.build(ROOT, words.into, words.key)
        )
    except ReleaseError as why:
        sys.stderr.write(f"No release: {why}\n")
        return 1
    said(f"{made}:")
    for path in sorted(made.iterdir()):
        said(f"  {path.stat().st_size:>12,}  {path.name}")
    if words.verb == "cut":
        version = words.version
        said(f"Look at them, then publish: git push --atomic origin HEAD v{version}")
        said(f"Or forget them: git tag -d v{version} && git reset --keep HEAD~1")
    return 0


sys.exit(main(sys.argv[1:]))
