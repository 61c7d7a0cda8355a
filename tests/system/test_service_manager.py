"""The test whether a service manager looks after a process."""

import os

import pytest

from mcpgateway.system import service_manager


class ManagedTests:
    @pytest.mark.parametrize(
        "environ",
        [
            {"NOTIFY_SOCKET": "/run/x"},
            {"INVOCATION_ID": "0f"},
            {"XPC_SERVICE_NAME": "org.example.mcpgateway"},
        ],
    )
    def test_by_a_manager(self, environ):
        """systemd, launchd and those that speak sd_notify say so; in a session without a terminal that holds."""
        assert in_a_session_of_its_own(environ)

    @pytest.mark.parametrize(
        "environ",
        [{}, {"XPC_SERVICE_NAME": "0"}, {"XPC_SERVICE_NAME": "application.com.example.terminal.1.2"}],
    )
    def test_by_nobody(self, environ):
        """A shell, and a program that a desktop has started, have nobody who starts them again."""
        assert not in_a_session_of_its_own(environ)


def in_a_session_of_its_own(environ):
    """Return the result in a process without a terminal, whatever terminal the tests have."""
    child = os.fork()
    if child == 0:
        os.setsid()
        os._exit(int(service_manager.is_managed(environ)))
    return bool(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
