"""The collector of garbage while a program is imported."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import gc
import weakref
from mcpgateway.system.process.memory import permanent_generation

class Garbage:
    def __init__(self):
        self.itself = self

normal, frozen = gc.get_threshold(), gc.get_freeze_count()
try:
    with permanent_generation():
        rare = gc.get_threshold()
        kept = [[] for _ in range(100)]
        left = weakref.ref(Garbage())
        {body}
finally:
    print(rare > normal, gc.get_threshold() == normal, gc.get_freeze_count() - frozen >= 100, left())
"""


def run(body: str) -> tuple[str, str]:
    """Import something in a program of its own; return its words and its last line of errors."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(body=body)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return ran.stdout.strip(), ran.stderr.strip().rpartition("\n")[2]


class PermanentGenerationTests:
    """Modules are not looked through for garbage again and again."""

    def test_imported(self) -> None:
        """Objects of an import are frozen, its garbage is not, and the collector works as before afterwards."""
        assert run("pass") == ("True True True None", "")

    def test_failed(self) -> None:
        """The collector works as before after an import that failed, too."""
        failed = run("import mcpgateway.nothing")
        assert failed == ("True True True None", "ModuleNotFoundError: No module named 'mcpgateway.nothing'")
