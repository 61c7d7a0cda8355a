"""The reading of enrolled files for the configuration; most of its code is loaded only where there is a ledger."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from mcpgateway.config.load import EnrolledFile
from mcpgateway.config.problems import Problems
from mcpgateway.system import approvals
from mcpgateway.system.approvals import Repository
from mcpgateway.system.settings import LEDGER


def enrolled_files(
    home: str, approved: Callable[[str], str], look: Callable[[str], str], problems: Problems
) -> tuple[Sequence[EnrolledFile], frozenset[str]]:
    """Read all clients' files that are enrolled at a gateway of this home, for `LoadOptions.enrolled`."""
    if not has_ledger(home):
        return (), frozenset()
    from mcpgateway.clientfiles.originals import read_enrolled_files

    return read_enrolled_files(home, approved, look, problems)


def read_repository(path: str, home: str) -> Repository:
    """Return the definitions of a repository's file, with the original entries in the place of enrolled ones.

    :raise ConfigError: the file cannot be read.
    :raise FileNotFoundError: the file does not exist.
    """
    if not has_ledger(home):
        return approvals.read_repository(path)
    from mcpgateway.clientfiles.originals import without_us

    return approvals.read_repository(path, lambda name, data: without_us(home, name, data))


def has_ledger(home: str) -> bool:
    """True if a client's file was ever enrolled at a gateway of this home."""
    return bool(home) and os.path.isdir(os.path.join(home, LEDGER))


def instructions_file(home: str) -> str:
    """Return the path of the record of the texts for agents, which exists while some are installed."""
    return os.path.join(home, "instructions.json")


def has_instructions(home: str) -> bool:
    """True if texts for agents are installed."""
    return os.path.exists(instructions_file(home))
