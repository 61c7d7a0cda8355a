"""The check whether a service manager supervises this process, and starts it again after its end."""

from __future__ import annotations

from collections.abc import Mapping

from mcpgateway.system.reexec import has_terminal

NOTIFY, SYSTEMD, LAUNCHD = "NOTIFY_SOCKET", "INVOCATION_ID", "XPC_SERVICE_NAME"
NO_JOB = ("", "0")  # the value in a terminal of macOS
APPLICATION = "application."  # the prefix for programs of an application with windows


def is_managed(environ: Mapping[str, str]) -> bool:
    """True if a service manager supervises this process: systemd, launchd, or another that speaks sd_notify(3).

    A terminal may be a service of systemd, and programs in it have its variables; but no service has a terminal.
    """
    job = environ.get(LAUNCHD, "")
    is_job = job not in NO_JOB and not job.startswith(APPLICATION)
    return NOTIFY in environ or ((SYSTEMD in environ or is_job) and not has_terminal())
