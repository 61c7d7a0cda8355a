"""Diagnosis of a server: from its state to the causes of its trouble and their remedies, the surest first."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum

from attrs import evolve, field, frozen

from mcpgateway.config.document import visible
from mcpgateway.hints import cli, with_command
from mcpgateway.policy.error_hints import KEYS, complaints, cut
from mcpgateway.policy.health import HealthState
from mcpgateway.policy.readiness import FAILED, NO_REMEDY, Remedy, edit, login
from mcpgateway.units import duration

NOT_EXECUTABLE, NOT_FOUND = 126, 127  # exit codes of a shell
KILLED, ABORTED, CRASHED, TERMINATED = 9, 6, 11, 15
_ILL = frozenset(
    (
        HealthState.ERROR,
        HealthState.RESTARTING,
        HealthState.UNREACHABLE,
        HealthState.DISABLED,
        HealthState.NEEDS_LOGIN,
    )
)
_RESTING = (HealthState.STOPPED, HealthState.IDLE)
BY_SHELL = 128  # plus the number of a signal: the exit code of a shell whose child a signal has ended
_SAID = {HealthState.ERROR: "does not work", HealthState.NEEDS_LOGIN: "needs login"}
MANY_RESTARTS = MANY_CRASHES = 3
HEADER = "header Authorization"  # in the hint of a server that may want a token
MISSING = frozenset(("command-not-found", "not-executable", "found-since", "missing-directory"))
NOT_FOUND_WORDS = ("not found", "does not exist", "not executable")
SIGN_IN, CRASHES, UNKNOWN, HELD_BACK = "sign-in", "crashes", "failed", "tools-held"
"""An action; the cause that the children of a server end again and again, though it is always started anew;
that of a failure which nothing explains, and that of tools which wait for their user's approval."""


class Failure(Enum):
    """The step at which a server failed last."""

    NONE = "none"
    LAUNCH = "it could not be started"
    HANDSHAKE = "it failed its handshake"
    LATE = "it did not answer its first words in time"
    REFUSED = "it refused the handshake"
    UNREACHABLE = "nothing answers at its address"
    UNAVAILABLE = "it answers that it cannot serve anybody now"
    AUTHORIZATION = "it wants an authorization"
    APPROVAL = "its user has not approved its file"
    ENDED_EARLY = "it ended before its handshake was done"
    ENDED = "it ended while it was in use"


@frozen
class Trip:
    """The state of a server's circuit breaker.

    :ivar why: the reason for which it was opened; empty while it is closed.
    :ivar opens_in_s: the seconds until the next try; None if only an operator permits one.
    :ivar failures: the number of failed starts in a row.
    :ivar limit: the number of failures at which it opens.
    """

    why: str = ""
    opens_in_s: int | None = None
    is_trying: bool = False
    failures: int = 0
    limit: int = 5


@frozen
class ConcurrencyFacts:
    """The limit on calls of a server's tools that may change something.

    :ivar why: the observed or known reason; empty where the entry sets the limit, or has none.
    :ivar waiting: the number of calls that wait.
    :ivar tool: the tool of the oldest call under way.
    :ivar seconds: the age of that call.
    """

    why: str = ""
    waiting: int = 0
    tool: str = ""
    seconds: int = 0


@frozen
class ServerFacts:
    """The state of a server.

    :ivar is_enabled: its entry does not switch it off.
    :ivar is_off: its entry or an operator has switched it off.
    :ivar file: the file of its entry.
    :ivar address: the address of a server that is elsewhere; empty for programs of this machine.
    :ivar program: the first word of its command.
    :ivar is_found: its program exists now, and can be executed.
    :ivar is_there: its program is a path that exists, though it cannot be executed.
    :ivar missing: the remedy for a program that does not exist.
    :ivar has_directory: its working directory exists now.
    :ivar failure: the step at which it failed last.
    :ivar fault: the message of that failure.
    :ivar hint: the remedy that its callers are given; empty for none.
    :ivar code: the exit code of its last process; None for none.
    :ivar signal: the signal that ended that process.
    :ivar words: the end of its output on stderr.
    :ivar stray: a line on its stdout that is no message.
    :ivar retry_in_s: the seconds until the next automatic try; None if there will be none.
    :ivar starts: the number of its starts.
    :ivar restarts: the number of starts that replaced a child which had ended unexpectedly.
    :ivar crashes: the number of unexpected ends of children that had worked, in the last hour.
    :ivar crash: these ends in words, with the last one.
    :ivar service_fault: the failure of its own health check.
    :ivar excess: the reason why its child is about to be replaced.
    :ivar stuck: the symptom of its stuck child, which must not be replaced; empty for none.
    :ivar too_long: its lists that are too long to be kept.
    :ivar retired: for each of its children that gets no new calls, the reason.
    :ivar long_calls: long calls under way: names, each with the seconds.
    :ivar knows_no_ping: it has never answered a ping, and is sent none any more.
    :ivar apart: the reason why each session has a child of its own, though its entry does not say so.
    :ivar turns: the limit on its calls.
    :ivar problems: the faults for which its present entry cannot be used.
    :ivar warnings: further observations.
    :ivar unapproved: the file of a repository that defines it and is not approved.
    :ivar is_former: its failure is that of a former run of the gateway, since which it was not started.
    :ivar notes: remarks that other parts of the gateway have.
    """

    server: str
    state: HealthState
    is_enabled: bool = True
    is_off: bool = False
    file: str = ""
    address: str = ""
    program: str = ""
    is_found: bool = True
    is_there: bool = False
    missing: Remedy = NO_REMEDY
    has_directory: bool = True
    failure: Failure = Failure.NONE
    fault: str = ""
    hint: str = ""
    code: int | None = None
    signal: int | None = None
    words: str = field(default="", repr=False)
    stray: str = field(default="", repr=False)
    retry_in_s: int | None = None
    trip: Trip = Trip()
    starts: int = 0
    restarts: int = 0
    crashes: int = 0
    crash: str = ""
    service_fault: str = ""
    excess: str = ""
    stuck: str = ""
    too_long: str = ""
    retired: tuple[str, ...] = ()
    long_calls: tuple[tuple[str, int], ...] = ()
    knows_no_ping: bool = False
    apart: str = ""
    turns: ConcurrencyFacts = ConcurrencyFacts()
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    unapproved: str = ""
    is_former: bool = False
    notes: tuple[Advice, ...] = ()

    @property
    def has_failed(self) -> bool:
        """True if its circuit breaker has switched it off, and no user."""
        return self.state is HealthState.DISABLED and not self.is_off


@frozen
class Advice:
    """One cause, and its remedy.

    :ivar cause: its name, for programs.
    :ivar says: the cause, or a remark.
    :ivar do: the remedy; empty where none is needed, or the command says it.
    :ivar is_trouble: the cause keeps the server from working; else it is only a remark.
    :ivar run: the command for the remedy; empty for none.
    :ivar key: the dotted key of the server's entry that the remedy changes; empty for none.
    """

    cause: str
    says: str
    do: str = ""
    is_trouble: bool = True
    run: str = ""
    key: str = ""

    @property
    def action(self) -> str:
        """The action of a user interface that helps: ``sign-in``, ``set``, which sets `key`, or nothing."""
        return "set" if self.key else SIGN_IN if self.cause == "authorization" and self.run else ""

    @property
    def remedy(self) -> str:
        """The remedy with its command, in one line."""
        return with_command(self.do, self.run)


def advise(facts: ServerFacts) -> list[Advice]:
    """Return all causes of a server's trouble, the surest first, each once."""
    found: dict[str, Advice] = {}
    for each in _causes(facts):
        found.setdefault(each.cause, each if each.key else evolve(each, key=KEYS.get(each.cause, "")))
    return list(found.values())


def verdict(facts: ServerFacts, advice: list[Advice]) -> str:
    """Return the state of the server and its main cause in one sentence."""
    troubles = [each for each in advice if each.is_trouble]
    state = _SAID.get(facts.state, f"is {facts.state.value}")
    if facts.unapproved:
        state = "is not approved"
    elif facts.has_failed:
        state = f"has {FAILED}"
    if troubles:
        # A fault names its server, which the sentence has named already.
        return f"{facts.server} {state}: " + re.sub(rf"^{re.escape(facts.server)} ", "it ", troubles[0].says)
    if facts.state in _RESTING and not facts.starts:
        return f"{facts.server} {state}, and has not been started since the gateway runs"
    return f"{facts.server} {state}, and {'no cause is known' if facts.state in _SAID else 'nothing is wrong with it'}"


def _causes(facts: ServerFacts) -> Iterator[Advice]:
    if facts.unapproved:
        yield Advice(
            "not-approved",
            f"it is defined by {visible(facts.unapproved)}, which you have not approved as it is now",
            "read the file, and approve it",
            run=visible(cli("config approve {}", facts.unapproved)),
        )
        return
    for each in facts.problems:
        yield Advice(
            "configuration",
            f"the configuration: {each}",
            "put it right there; it is read again by itself",
            run=cli("config check"),
        )
    yield from _switched_off(facts)
    if facts.state in _ILL or _failed(facts):
        yield from _with_hint(facts, list(_failures(facts)))
    elif facts.state in _RESTING:
        yield from _missing(facts)
    if facts.state is HealthState.DEGRADED:
        yield from _degraded(facts)
    yield from _waiting(facts)
    yield from _notes(facts)


def _with_hint(facts: ServerFacts, found: list[Advice]) -> list[Advice]:
    # The remedy that callers are given comes first, but for a program that is missing: it lists where was looked.
    if not found or not facts.hint or facts.hint in found[0].remedy or found[0].cause in MISSING:
        return found
    first = found[0]
    return [evolve(first, do=f"{facts.hint}; {first.do}" if first.do else facts.hint), *found[1:]]


def _failed(facts: ServerFacts) -> bool:
    # A child without use is not started again, and keeps its failure.
    return facts.failure is not Failure.NONE and facts.state in (*_RESTING, HealthState.STARTING)


def _switched_off(facts: ServerFacts) -> Iterator[Advice]:
    run = cli("servers enable {}", facts.server)
    if facts.is_off and facts.is_enabled:
        yield Advice("switched-off", "an operator has switched it off", run=run)
    elif facts.is_off:
        where = f" in {facts.file}" if facts.file else ""
        yield Advice("disabled", f"its entry{where} switches it off", run=run)


def _failures(facts: ServerFacts) -> Iterator[Advice]:
    match facts.failure:
        case Failure.NONE:
            return
        case Failure.AUTHORIZATION:
            if HEADER in facts.hint:
                run, key = cli("servers set-header {} Authorization", facts.server), "headers.Authorization"
            else:
                run, key = login(facts.server) if facts.hint in ("", login(facts.server)) else "", ""
            do = "" if run == facts.hint else facts.hint.removesuffix(f": {run}")
            yield Advice("authorization", facts.fault, do, run=run, key=key)
        case Failure.APPROVAL:
            run = cli("config approve {}", facts.file or "FILE")
            yield Advice("not-approved", facts.fault, "read the file, and approve it", run=run)
        case Failure.UNREACHABLE:
            yield Advice(
                "unreachable",
                f"nothing answers at {facts.address or 'its address'}: {facts.fault}",
                "start it there (a call tries it at once), or put its address right",
                run=cli("servers set {} url=URL", facts.server),
            )
        case Failure.UNAVAILABLE:
            yield Advice(
                "unavailable",
                f"{facts.address or 'its address'} answers, but not as a server: {facts.fault}",
                "look at the service there; a call tries it at once",
            )
        case Failure.LAUNCH:
            yield from _not_launched(facts)
        case _:
            known = [*_complaints(facts), *_silent(facts), *_end(facts)]
            yield from known or [_unknown(facts)]


def _not_launched(facts: ServerFacts) -> Iterator[Advice]:
    found = list(_missing(facts))
    if found:
        yield from found
        return
    do, run = ("", _reset(facts)) if facts.trip.why else ("the next call tries it again", "")
    if facts.program and (not facts.fault or any(each in facts.fault for each in NOT_FOUND_WORDS)):
        was = f": {facts.fault}" if facts.fault else ""
        says = f"its program could not be used at the last try, and can be now{was}"
        yield Advice("found-since", says, do, run=run)
    else:
        yield Advice("not-started", facts.fault, do, run=run)


def _missing(facts: ServerFacts) -> Iterator[Advice]:
    if not facts.has_directory:
        says = facts.fault or "its working directory is not there"
        run = cli("servers set {} cwd=DIRECTORY", facts.server)
        yield Advice("missing-directory", says, "make that directory, or name another", run=run)
    elif facts.is_there and not facts.is_found:
        says = f"the program {facts.program} is not executable"
        do = f"chmod +x {facts.program}, or put its interpreter before it in the entry"
        yield Advice("not-executable", says, do, run=edit(facts.server))
    elif not facts.is_found and facts.program:
        says = f"the program {facts.program} is not there"
        yield Advice("command-not-found", says, facts.missing.do, run=facts.missing.run)


def _complaints(facts: ServerFacts) -> Iterator[Advice]:
    for each in complaints(facts.words):
        line = f" ({each.line})" if each.line and each.line not in each.says else ""
        run, cause = each.run(facts.server), each.complaint.cause
        yield Advice(cause, f"{each.says}{line}", each.do, run=run, key=each.key)


def _silent(facts: ServerFacts) -> Iterator[Advice]:
    if facts.stray:
        yield Advice(
            "stdout-pollution",
            f"it prints what is no message on its stdout: {facts.stray}",
            "an MCP server speaks JSON-RPC there and logs to stderr: look for print or console.log in it, or for a"
            " banner of its runner",
            run=cli("logs {}", facts.server),
        )
    if facts.failure is Failure.LATE:
        yield Advice(
            "handshake-timeout",
            facts.fault,
            "look whether it is an MCP server on stdio at all; a first start that has to download may take longer than"
            " limits.handshake: try it once by hand",
            run=cli("servers test {}", facts.server),
        )
    if facts.failure is Failure.REFUSED:
        yield Advice(
            "handshake-refused", facts.fault, "it speaks another revision of MCP: use a newer release of it"
        )


def _end(facts: ServerFacts) -> Iterator[Advice]:
    code, number = facts.code, facts.signal
    if code is not None and BY_SHELL < code < BY_SHELL + 65 and number is None:
        number = code - BY_SHELL
    if number == KILLED:
        yield Advice(
            "killed",
            "it was killed (SIGKILL), by the system or by somebody",
            "the system does that where memory runs out, and says so in its log (dmesg | grep -i oom);"
            " else somebody or something has done it",
        )
    elif number in (CRASHED, ABORTED):
        yield Advice(
            "crashed",
            f"it crashed (signal {number})",
            "that is a fault of the program, or of a native module: reinstall it",
        )
    elif number == TERMINATED:
        yield Advice(
            "terminated", "somebody has ended it from outside (TERM)", "who does such things on this machine?"
        )
    elif code == NOT_FOUND:
        yield Advice(
            "command-not-found",
            "a program that it starts is not there (exit code 127)",
            "install it, or write its absolute path",
            run=cli("logs {}", facts.server),
        )
    elif code == NOT_EXECUTABLE:
        yield Advice(
            "not-executable",
            "it may not be executed (exit code 126)",
            "chmod +x, or name its interpreter first",
            run=edit(facts.server),
        )
    elif code == 0 and facts.failure is Failure.ENDED_EARLY:
        yield Advice(
            "ended-at-once",
            "it ended at once, and without an error",
            "is it an MCP server on stdio? Those that serve at a port need their port and url; some need an argument"
            " such as --stdio or mcp",
            run=edit(facts.server),
        )


def _degraded(facts: ServerFacts) -> Iterator[Advice]:
    if facts.stuck:
        yield Advice(
            "stuck",
            f"its process is stuck with calls under way: {facts.stuck}; it may have one process only, so nothing takes"
            " its place",
            "end these calls, and start it anew",
            run=cli("servers restart {}", facts.server),
        )
    elif facts.service_fault:
        yield Advice(
            "service-unwell",
            f"its own health check fails: {facts.service_fault}",
            "look at the service behind it",
        )
    else:
        yield Advice(
            "pings-missed", "it does not answer pings", "it is busy, or hangs; after three it is started anew"
        )


def _waiting(facts: ServerFacts) -> Iterator[Advice]:
    trip = facts.trip
    if trip.why:
        says = f"{trip.why}; {_when(trip)}"
        yield Advice("circuit-open", says, "once it is put right, let it be tried at once", run=_reset(facts))
    elif facts.retry_in_s is not None and facts.state is HealthState.UNREACHABLE:
        yield Advice(
            "probing", f"its address is looked at again in {duration(facts.retry_in_s)}", "", is_trouble=False
        )
    elif facts.retry_in_s is not None:
        left = trip.limit - trip.failures
        chances = (
            f"; {left} more failed starts, and it is given up"
            if trip.limit and trip.failures and left > 0
            else ""
        )
        yield Advice(
            "waiting",
            f"it is started again by the next call, or in {duration(facts.retry_in_s)}{chances}",
            "",
            is_trouble=False,
        )


def _when(trip: Trip) -> str:
    if trip.is_trying:
        return "it is being tried once more right now"
    if trip.opens_in_s is None:
        return "it waits for an operator (circuit.auto_reset is off)"
    return (
        f"it is tried again in {duration(trip.opens_in_s)}"
        if trip.opens_in_s
        else "the next call tries it again"
    )


def _sharing(facts: ServerFacts) -> Iterator[Advice]:
    name, turns = facts.server, facts.turns
    if facts.apart:
        yield Advice(
            "apart",
            f"each session has a process of its own, because {facts.apart}",
            "to share one process all the same",
            is_trouble=False,
            run=cli("servers set {} share=global", name),
        )
    if turns.waiting:
        yield Advice(
            "busy",
            f"{turns.waiting} calls wait for their turn; {turns.tool} has been under way for {duration(turns.seconds)}",
            "should it hang",
            is_trouble=False,
            run=cli("servers restart {}", name),
        )
    if turns.why:
        yield Advice(
            "one-at-a-time",
            f"calls that may change something go one after the other, because {turns.why}",
            "to let them run side by side",
            is_trouble=False,
            run=cli("servers set {} concurrency=none", name),
        )


def _unsteady(facts: ServerFacts) -> Iterator[Advice]:
    run, is_often = cli("logs {}", facts.server), facts.crashes >= MANY_CRASHES
    if facts.crashes:
        do = f"{_reset(facts)} forgets that once it is put right; its log tells what came before" * is_often
        yield Advice(CRASHES if is_often else "crashed-lately", facts.crash, do, is_often, run)
    elif facts.restarts >= MANY_RESTARTS and facts.state is HealthState.RUNNING:
        yield Advice("unsteady", f"it had to be started again {facts.restarts} times", "", False, run)


def _notes(facts: ServerFacts) -> Iterator[Advice]:
    yield from facts.notes
    for each in facts.warnings:
        yield Advice("warning", f"the configuration: {each}", "", is_trouble=False)
    if facts.stray and facts.failure is Failure.NONE:
        yield Advice(
            "stdout-pollution",
            f"it prints what is no message on its stdout: {facts.stray}",
            "it works all the same; such lines belong on stderr",
            is_trouble=False,
        )
    yield from _unsteady(facts)
    yield from _sharing(facts)
    if facts.excess:
        yield Advice("replaced-soon", f"it is about to be replaced: {facts.excess}", "", is_trouble=False)
    if facts.retired:
        says = f"a process of it hangs with calls under way and gets no new ones ({facts.retired[0]}); another works"
        run = cli("servers restart {}", facts.server)
        yield Advice("replaced", says, "nothing has to be done; to end these calls", False, run)
    if facts.too_long:
        yield Advice(
            "list-too-long",
            facts.too_long,
            "let gateway.limits.list_bytes be more, or have the server list less; calls are not concerned",
        )
    if facts.long_calls:
        what, seconds = facts.long_calls[0]
        others = f", and {len(facts.long_calls) - 1} others" if len(facts.long_calls) > 1 else ""
        yield Advice(
            "long-call",
            f"a call of {what} has been under way for {seconds // 60} min{others}",
            "its client can take it back; timeout in the server's entry sets a limit",
            is_trouble=False,
        )
    if facts.knows_no_ping:
        yield Advice("no-pings", "it answers no pings, and is not asked any more", "", is_trouble=False)
    if facts.is_former and not facts.is_off:
        says = "that was before the gateway was started last: it has not been tried since"
        yield Advice("former-failure", says, "to try it now", False, cli("servers restart {}", facts.server))
    if not facts.starts and facts.failure is Failure.NONE and not facts.is_off and facts.state in _RESTING:
        run = cli("servers set {} lazy.prewarm=true", facts.server)
        yield Advice("never-started", "the first call starts it", "to start it with the gateway", False, run)


def _unknown(facts: ServerFacts) -> Advice:
    # The last line that a program writes is usually its reason.
    last = cut(facts.words.rstrip().rpartition("\n")[2].strip())
    says = facts.fault or facts.failure.value
    do = f"its log may tell more ({cli('logs {}', facts.server)}), and this tries it by hand"
    return Advice(UNKNOWN, f"{says}: {last}" if last else says, do, run=cli("servers test {}", facts.server))


def _reset(facts: ServerFacts) -> str:
    return cli("servers reset-circuit {}", facts.server)
