"""Twisted's programs without the modules that a gateway does not use."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAMS = """
import sys
from mcpgateway.app.twisted_runner import leave_for_later, list_the_gateway_alone

leave_for_later()
list_the_gateway_alone()
from twisted.application.twist._options import TwistOptions
from twisted.scripts.twistd import ServerOptions
"""
SERVICES = "assert [each[0] for each in ServerOptions().subCommands] == [*TwistOptions().plugins] == ['mcpgateway']\n"
LATER = ("_ssl", "bdb", "email", "http.client", "unittest", "urllib.error")


def told(code: str) -> str:
    """Run a program in a process of its own; return the text that it prints."""
    argv = [sys.executable, "-P", "-c", PROGRAMS + code]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_what_is_left_for_later() -> None:
    """The programs list the gateway without HTTP's client, TLS, debugger and test framework of the standard library."""
    assert told(f"{SERVICES}print(sorted(set({LATER}) & set(sys.modules)))") == "[]"


@pytest.mark.parametrize(
    "code",
    [
        "import http.cookiejar; print(len(http.cookiejar.CookieJar()))",
        "from http.cookiejar import CookieJar; print(len(CookieJar()))",
        "import pdb; print(pdb.Pdb().lastcmd or 0)",
        "import ssl, urllib.request; urllib.request.urlopen; print(ssl.create_default_context().check_hostname - 1)",
        "import asyncio; print(asyncio.run(asyncio.sleep(0, 0)))",
        "from twisted.web.client import CookieAgent; print(0)",
        "from twisted.application.reactors import getReactorTypes; print(0 if list(getReactorTypes()) else 1)",
    ],
)
def test_it_can_be_used(code: str) -> None:
    """What is left for later is there when it is used."""
    assert told(code) == "0"


@pytest.mark.parametrize("name", ["twistd", "twist"])
def test_a_program(name: str) -> None:
    """Both programs show their help, with the gateway in it."""
    argv = [sys.executable, "-P", "-m", "mcpgateway.app.twisted_runner", name, "--help"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith(f"Usage: {name}")
    assert "Share one set of MCP servers" in done.stdout
