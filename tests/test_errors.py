"""Errors, and the advice that comes with each."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

import pytest

import mcpgateway
from mcpgateway import errors
from mcpgateway.errors import GatewayError, NeedsLogin, of_server
from mcpgateway.policy.access import Deny


def kinds(of: type[GatewayError] = GatewayError) -> Iterator[type[GatewayError]]:
    """A class of errors, and all below it."""
    yield of
    for each in of.__subclasses__():
        yield from kinds(each)


def all_kinds() -> list[type[GatewayError]]:
    """All classes of errors there are, whichever modules other tests have imported."""
    for module in pkgutil.walk_packages(mcpgateway.__path__, "mcpgateway."):
        if module.name.endswith("__main__"):
            continue
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as missing:
            if missing.name != "numpy":  # of the extra `semantic`
                raise
    return list(kinds())


def made(kind: type[GatewayError]) -> GatewayError:
    """An error of a class that has no hint of its own."""
    error = kind.__new__(kind)
    GatewayError.__init__(error, "it does not work")
    return error


class AdviceTests:
    """Advice of errors."""

    @pytest.mark.parametrize("kind", all_kinds(), ids=lambda kind: kind.__name__)
    def test_never_empty(self, kind: type[GatewayError]) -> None:
        """Every error has advice, one sentence without an end, where it has no hint of its own."""
        error = made(kind)
        assert not error.hint
        assert len(error.advice) > 10
        assert not error.advice.endswith(".")

    def test_a_hint(self) -> None:
        """A hint goes before what helps as a rule."""
        assert GatewayError("no", "mend it").advice == "mend it"

    def test_own_words(self) -> None:
        """Errors of callers, of servers and of the gateway are not given one and the same advice."""
        said = {
            each.remedy for each in (errors.CallerError, errors.BackendError, errors.Overloaded, GatewayError)
        }
        assert len(said) == 4

    @pytest.mark.parametrize("status", [400, 401, 403, 429, 503])
    def test_refusals(self, status: int) -> None:
        """A refused caller is told what helps."""
        assert Deny(status, "no").advice
        assert Deny(status, "no", hint="ask").advice == "ask"


class WordTests:
    """Messages of errors."""

    @pytest.mark.parametrize("text", ["its token is over", "o3: its token is over"])
    def test_once(self, text: str) -> None:
        """The name of a server stands before what is said of it once, whoever says it."""
        assert of_server("o3", text) == "o3: its token is over"

    def test_without_the_address(self) -> None:
        """The log of a sign-in does not hold the address, which is its user's alone."""
        why = NeedsLogin("o3: it wants its user to sign in: open https://as.example/a?state=secret")
        assert why.plain == "o3: it wants its user to sign in"
