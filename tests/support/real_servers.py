"""The launches of the servers for functional tests; `make servers` installs those of other projects."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FIXTURE = ROOT / "tests" / "servers" / "fixture.py"
DUAL = ROOT / "tests" / "servers" / "dual"
SCENARIOS = ROOT / "tests" / "servers" / "scenarios.py"
NPM_BIN = ROOT / "tests" / "servers" / "npm" / "node_modules" / ".bin"
PYPI_BIN = ROOT / "build" / "pypi-servers" / "bin"


def fixture(*flags: str) -> list[str]:
    """Our own server that does what a test asks; the flags are those of ``tests/servers/fixture.py``."""
    return [sys.executable, "-I", "-S", str(FIXTURE), *flags]


def everything() -> list[str]:
    """The reference server of npm, with one of each thing the protocol knows."""
    return [_installed(NPM_BIN / "mcp-server-everything")]


def filesystem(*directories: str) -> list[str]:
    """The file server of npm, confined to some directories."""
    return [_installed(NPM_BIN / "mcp-server-filesystem"), *directories]


def memory() -> list[str]:
    """The knowledge graph of npm; ``MEMORY_FILE_PATH`` in its environment says where it is kept."""
    return [_installed(NPM_BIN / "mcp-server-memory")]


def sequential_thinking() -> list[str]:
    """The thinking pad of npm, which keeps one train of thought per process."""
    return [_installed(NPM_BIN / "mcp-server-sequential-thinking")]


def playwright(chromium: str) -> list[str]:
    """The browser of npm, with this Chromium, without a window and a profile."""
    options = ("--headless", "--no-sandbox", "--isolated")
    return [_installed(NPM_BIN / "playwright-mcp"), "--executable-path", chromium, *options]


def time(timezone: str = "UTC") -> list[str]:
    """The clock of PyPI."""
    return [_installed(PYPI_BIN / "mcp-server-time"), "--local-timezone", timezone]


def git(repository: str) -> list[str]:
    """The git server of PyPI, for one repository."""
    return [_installed(PYPI_BIN / "mcp-server-git"), "--repository", repository]


def dual_python() -> list[str]:
    """A server on the SDK of PyPI that speaks both eras; the SDK cannot be told to speak only one."""
    return [sys.executable, str(DUAL / "python_server.py")]


def scenarios(*options: str) -> list[str]:
    """A server on the SDK of PyPI with what the conformance suite looks for, in both eras; ``--port`` puts it there."""
    return [sys.executable, str(SCENARIOS), *options]


def dual_node(era: str = "dual") -> list[str]:
    """A server on the SDK of npm that speaks both eras, or one of them."""
    _installed(DUAL / "node_modules" / ".made")
    return ["node", str(DUAL / "node_server.mjs"), f"--era={era}"]


def _installed(program: Path) -> str:
    if not program.exists():
        raise FileNotFoundError(f"{program} is missing; run `make servers`.")
    return str(program)
