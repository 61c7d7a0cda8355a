"""Whether a service manager looks after this process, and starts it again when it has ended."""

from __future__ import annotations

from collections.abc import Mapping

from mcpgateway.system.reexec import has_terminal

NOTIFY, SYSTEMD, LAUNCHD = "NOTIFY_SOCKET", "INVOCATION_ID", "XPC_SERVICE_NAME"
NO_JOB = ("", "0")  # as programs in a terminal of macOS have it
APPLICATION = "application."  # what programs of an application with windows have before its name


def is_managed(environ: Mapping[str, str]) -> bool:
    """Whether one does, as far as that can be told: systemd, launchd, or another that speaks sd_notify(3).

    A terminal may be a service of systemd's, and what runs in it has its variables; but no service has a terminal.
    """
    job = environ.get(LAUNCHD, "")
    is_job = job not in NO_JOB and not job.startswith(APPLICATION)
    return NOTIFY in environ or ((SYSTEMD in environ or is_job) and not has_terminal())
