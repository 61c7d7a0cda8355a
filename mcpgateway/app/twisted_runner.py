"""Run ``twistd`` or ``twist`` with the gateway as its only plugin, in less memory.

    python -P -m mcpgateway.app.twisted_runner twistd -n --pidfile= mcpgateway --port 9100

# Note [Modules for later]
Twisted and asyncio import modules of the standard library for names that a gateway does not use: the clients of HTTP,
with TLS, and the debugger.  The list of plugins imports the test framework.  These take 3.9 MB, and 0.03 s of a start.
So they are imported at the first use of a name in them; asyncio goes without TLS, which Twisted has of its own; and the
list of plugins has only the gateway and Twisted's reactors.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

LATER = ("http.cookiejar", "pdb", "urllib.request")


class LaterModule(ModuleType):
    """A module that is imported when a name in it is first used."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)  # the import system looks for some, and a plain module has them
        del sys.modules[self.__name__]
        found = import_module(self.__name__)
        self.__dict__.update(found.__dict__)
        return getattr(found, name)


def leave_for_later() -> None:
    """Keep Twisted from importing the modules that a gateway rarely needs; see Note [Modules for later]."""
    for name in set(LATER) - sys.modules.keys():
        sys.modules[name] = module = LaterModule(name)
        package, _, own = name.rpartition(".")
        if package:
            setattr(import_module(package), own, module)
    if "ssl" not in sys.modules:
        sys.modules["ssl"] = None  # type: ignore[assignment]  # the documented way to block an import
        import asyncio  # noqa: F401 - Twisted does

        del sys.modules["ssl"]


def list_the_gateway_alone() -> None:
    """Let the programs of Twisted find the gateway and Twisted's own reactors, and no other plugins."""
    from twisted import plugin

    def found(interface: Any, package: object = None) -> list[Any]:
        from twisted.plugins import mcpgateway_dropin, twisted_reactors

        known = (*vars(mcpgateway_dropin).values(), *vars(twisted_reactors).values())
        return [each for each in known if interface.providedBy(each)]

    plugin.getPlugins = found


def main() -> None:
    """Run the program of the first word."""
    leave_for_later()
    list_the_gateway_alone()
    del sys.argv[0]
    if sys.argv[:1] == ["twist"]:
        from twisted.application.twist._twist import Twist

        Twist.main()
    else:
        from twisted.scripts.twistd import run

        run()


if __name__ == "__main__":
    main()
