"""The settings for idle children, and for memory that is short."""

from __future__ import annotations

from enum import Enum

from attrs import frozen

from mcpgateway.config.fields import Duration, Switch, Text
from mcpgateway.config.model import FREEZES, Freeze
from mcpgateway.config.section import Section, keys_of, setting


class Relief(Enum):
    """The idle children that may be stopped when memory is short: none, those without state, or frozen ones, too."""

    OFF = "off"
    STATELESS = "stateless"
    ASLEEP = "asleep"


@frozen
class SleepSettings:
    """The settings for idle children, and for those to give up when memory is short.

    :ivar pressure_file: a file with the pressure stall information of memory; empty: the machine's and the cgroup's.
    """

    freeze: Freeze = setting(
        "freeze",
        FREEZES,
        "Which servers' processes are frozen while nobody uses them, until the next message. ``auto``: those that have"
        " no socket and do not work on their own. ``always``: all. ``off``: none.",
        "auto",
    )
    after_s: float = setting(
        "after", Duration(least_s=1), "Time without use after which a process is frozen.", "10m"
    )
    relief: Relief = setting(
        "relief",
        Switch({each.value: each for each in Relief}, {False: Relief.OFF}),
        "Which idle processes are stopped when the machine is short of memory, until the next call. ``stateless``:"
        " those that keep no state between calls; frozen ones are paged out. ``asleep``: frozen ones, too, whose state"
        " is lost then. ``off``: none, and no memory is paged out.",
        "stateless",
    )
    pressure_file: str = setting(
        "pressure_file",
        Text(),
        "The file that says how short memory is, such as ``memory.pressure`` of a cgroup; empty: those of the machine"
        " and of the gateway's own cgroup.",
        "",
    )


SLEEP = Section("Idle processes, and memory that is short", keys_of(SleepSettings))
