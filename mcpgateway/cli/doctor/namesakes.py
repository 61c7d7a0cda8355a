"""The check for the package of another project whose module and program are called ``mcpgateway``, too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from glob import escape, glob
from importlib.metadata import distributions

from mcpgateway.cli.doctor.context import DoctorContext
from mcpgateway.cli.doctor.finding import Check, DoctorFinding, fine, note, some

PACKAGE, PROGRAM = "mcp-contextforge-gateway", "mcpgateway"
METADATA = f"lib/python*/site-packages/{PACKAGE.replace('-', '_')}-*.dist-info"

SHARED = note(
    "namesakes.package",
    f"The package ``{PACKAGE}`` is installed in the environment of this gateway: each has a module and a program called"
    " ``mcpgateway``, and the one that was installed last has overwritten files of the other.",
    f"remove both mcpgateway and {PACKAGE}, and install each into an environment of its own, as pipx and uv do",
)
FOREIGN = note(
    "namesakes.program",
    f"A program ``mcpgateway`` on ``PATH`` belongs to the package ``{PACKAGE}`` and not to this gateway.",
    "put the directory of this gateway's program before the other's in PATH, or start this one by its whole path",
)


def namesakes(world: DoctorContext) -> Iterator[DoctorFinding]:
    """Check that no other project's ``mcpgateway`` is in this environment or on ``PATH``; nothing is imported."""
    is_shared = any(True for _ in distributions(name=PACKAGE))
    foreign = list(foreign_programs(world.environ.get("PATH", "")))
    if is_shared:
        yield SHARED.found(f"{PACKAGE} is installed in the environment of this gateway")
    if foreign:
        yield FOREIGN.found(f"{some(foreign)} belongs to {PACKAGE}")
    if not is_shared and not foreign:
        yield fine("namesakes", "no other project's mcpgateway is installed here")


def foreign_programs(path: str) -> Iterator[str]:
    """Yield the programs called ``mcpgateway`` on a search path whose environment has the other package."""
    for directory in dict.fromkeys(filter(None, path.split(os.pathsep))):
        program = os.path.join(directory, PROGRAM)
        if os.access(program, os.X_OK):
            # A program of pipx and uv is a link into its environment.
            environment = os.path.dirname(os.path.dirname(os.path.realpath(program)))
            if glob(os.path.join(escape(environment), METADATA)):
                yield program


CHECKS = (Check("namesakes", "other projects' mcpgateway", namesakes, (SHARED, FOREIGN)),)
