"""Python servers that are forked from a template: they behave as those that are started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from attrs import define
from twisted.internet import reactor

from mcpgateway.backends.process import Child
from mcpgateway.backends.spawn import Launcher
from mcpgateway.backends.templates import FORKED
from mcpgateway.interfaces import Launch
from mcpgateway.system.process.children import ChildGuard
from mcpgateway.system.process.guardian import Guardian
from mcpgateway.system.process.orphans import ChildRegistry, reap_leftovers
from mcpgateway.system.process.procfs import is_alive
from tests.functional.test_children import PATIENCE_S, Recorder, until

pytestmark = [
    pytest.mark.functional,
    pytest.mark.skipif(sys.platform != "linux", reason="templates are of Linux"),
]

ROOT = Path(__file__).resolve().parents[2]
BODY = """
import atexit, json, os, random, signal, sys, threading

def main():
    atexit.register(lambda: print("bye", file=sys.stderr))
    for line in sys.stdin:
        word = line.strip()
        if word == "facts":
            shown = {each: open("/proc/self/" + each).read().rstrip("\\0") for each in ("cmdline", "comm", "environ")}
            facts = {**shown, "environ": sorted(shown["environ"].split("\\0"))}
            main = sys.modules["__main__"]
            facts.update(argv=sys.argv, orig=sys.orig_argv, path=sys.path, env=dict(os.environ), cwd=os.getcwd())
            facts.update(fds=len(os.listdir("/proc/self/fd")), parent=os.getppid(), session=os.getsid(0) == os.getpid())
            facts.update(main=main.__name__, file=getattr(main, "__file__", ""), umask=os.umask(0o22))
            facts.update(encoding=sys.stdout.encoding, errors=sys.stdout.errors, threads=threading.active_count())
            facts.update(interrupt=str(signal.getsignal(signal.SIGINT)), flags=str(sys.flags))
            facts.update(names=sorted(name for name in vars(main) if name not in ("main", "sys", "re")))
            print(json.dumps(facts), flush=True)
        elif word == "random":
            print(random.random(), flush=True)
        elif word == "raise":
            raise ValueError("a mistake")
        elif word == "interrupt":
            os.kill(os.getpid(), signal.SIGINT)
        elif word.startswith("exit"):
            sys.exit(int(word[4:]) if word[4:].lstrip("-").isdigit() else word[4:])
        elif word == "unflushed":
            print("left in the buffer", end="")
            return 4
"""
SCRIPT = """#!{python}
import re
import sys
from {name} import main
if __name__ == "__main__":
    sys.argv[0] = re.sub(r"(-script\\.pyw|\\.exe)?$", "", sys.argv[0])
    sys.exit(main())
"""
IMPORTS = {
    "a thread": (
        "import threading, time; threading.Thread(target=time.sleep, args=(600,), daemon=True).start()",
        "threads",
    ),
    "a socket": ("import socket; kept = socket.socket()", "socket"),
    "a socket that is closed": ("import socket; socket.socket().close()", "socket"),
    "a file": ("kept = open(__file__)", "opens files"),
    "a file that is read": ("open('settings.json').close()", "settings.json"),
    "a file that is written": ("open('x', 'w').close()", "writes"),
    "stdin": ("import sys; sys.stdin.readline()", "stdin"),
    "output": ("print('hello')", "prints"),
    "random numbers": ("import uuid; me = uuid.uuid4()", "random"),
    "a program": ("import subprocess; subprocess.run(['true'])", "subprocess"),
    "a timer": ("import signal; signal.setitimer(signal.ITIMER_REAL, 600)", "timer"),
    "a failure": ("1/0", "ZeroDivisionError"),
}


@define(eq=False)
class Nursery:
    """A launcher with a home of its own, and the program that it starts."""

    home: Path
    launcher: Launcher
    instance: str

    def program(self, name: str, body: str = BODY) -> str:
        """Write a console script and its module; return its path."""
        (self.home / f"{name}.py").write_text(body)
        path = self.home / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(SCRIPT.format(python=sys.executable, name=name))
        path.chmod(0o700)
        return str(path)

    async def start(self, *argv: str, prefork: bool = True) -> tuple[Child, Recorder, str]:
        """Start a child; the text says how it was started."""
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(self.home), "SECRET": "s3cr3t-of-this-launch"}
        launch = Launch("s", argv, env, str(self.home), prefork=prefork)
        recorder = Recorder()
        prepared = await self.launcher.prepare(launch)
        return self.launcher.launch(prepared, recorder), recorder, prepared.started

    async def forked(self, *argv: str) -> tuple[Child, Recorder]:
        """Start a child from a template, which a first child makes worth its while."""
        first, _, how = await self.start(*argv)
        assert how != FORKED
        child, recorder, how = await self.start(*argv)
        assert how == FORKED, how
        await first.stop()
        return child, recorder


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    """A launcher; nothing of its children is left in the end."""
    instance = f"prefork{os.getpid()}x{tmp_path.name}"
    ward = ChildGuard(ChildRegistry(str(tmp_path), instance), Guardian(reactor, instance))
    made = Nursery(tmp_path, Launcher(reactor, ward), instance)
    yield made
    pytest_twisted.blockon(made.launcher.close())
    ward.close()


async def said(child: Child, recorder: Recorder, word: str) -> str:
    """Write a line to a child, and return its answer."""
    before = len(recorder.lines)
    child.write(word.encode() + b"\n")
    await until(lambda: len(recorder.lines) > before)
    return recorder.lines[-1].decode()


async def ended(child: Child, recorder: Recorder, word: str = "") -> dict[str, Any]:
    """Write a line to a child that ends by it, and return all of its end."""
    child.write(word.encode() + b"\n")
    await until(lambda: recorder.ends)
    await child.stop()
    end = recorder.ends[0]
    return {"code": end.code, "signal": end.signal, "words": end.last_words, "lines": recorder.lines}


class ForkedTests:
    """A forked child beside a started one."""

    @pytest.mark.parametrize("kind", ["script", "package", "options", "module"])
    @pytest_twisted.ensureDeferred
    async def test_circumstances(self, nursery: Nursery, kind: str) -> None:
        """All that a program can see of itself, and others of it, is the same."""
        program = nursery.program("told", BODY + ("main()" if kind != "script" else ""))
        package = nursery.home / "pkg"
        package.mkdir()
        (package / "__init__.py").write_text("import told\n" if kind == "script" else "")
        for name in ("__main__", "server"):
            (package / f"{name}.py").write_text("from told import main\nmain()\n")
        (nursery.home / "told.py").write_text(BODY)
        argv = {
            "script": (program, "--one", "two words"),
            "package": (sys.executable, "-m", "pkg", "x"),
            "module": (sys.executable, "-m", "pkg.server"),
            "options": (sys.executable, "-u", "-X", "utf8", "-m", "pkg"),
        }[kind]
        plain, heard, _ = await nursery.start(*argv, prefork=False)
        forked, heard_too = await nursery.forked(*argv)
        one, two = [
            json.loads(await said(each, rec, "facts")) for each, rec in ((plain, heard), (forked, heard_too))
        ]
        for each in (one, two):
            each["environ"] = [entry for entry in each["environ"] if "MCPGATEWAY_CHILD" not in entry]
            assert each["env"].pop("MCPGATEWAY_CHILD").startswith(nursery.instance)
        assert one == two
        ends = [await ended(*each, "exit0") for each in ((plain, heard), (forked, heard_too))]
        assert ends[0]["words"] == ends[1]["words"]

    @pytest.mark.parametrize(
        "word", ["exit0", "exit3", "exit-1", "exitwith words", "raise", "interrupt", "unflushed"]
    )
    @pytest_twisted.ensureDeferred
    async def test_end(self, nursery: Nursery, word: str) -> None:
        """Exit codes, signals, tracebacks and what is left in buffers are the same."""
        program = nursery.program("told")
        plain, heard, _ = await nursery.start(program, prefork=False)
        forked, heard_too = await nursery.forked(program)
        assert await ended(plain, heard, word) == await ended(forked, heard_too, word)

    @pytest_twisted.ensureDeferred
    async def test_marker(self, nursery: Nursery) -> None:
        """A child bears its own marker, by which it and its helpers are found, and no other's."""
        program = nursery.program("told")
        one, heard = await nursery.forked(program)
        two, heard_too, how = await nursery.start(program)
        facts, others = [
            json.loads(await said(each, rec, "facts")) for each, rec in ((one, heard), (two, heard_too))
        ]
        assert how == FORKED
        assert facts["env"]["MCPGATEWAY_CHILD"] != others["env"]["MCPGATEWAY_CHILD"]
        assert f"MCPGATEWAY_CHILD={facts['env']['MCPGATEWAY_CHILD']}" in facts["environ"]
        assert (
            nursery.launcher._ward.kill_bearing(f"MCPGATEWAY_CHILD={facts['env']['MCPGATEWAY_CHILD']}") == 1
        )
        await until(lambda: heard.ends)
        assert not heard_too.ends
        await two.stop()

    @pytest_twisted.ensureDeferred
    async def test_random(self, nursery: Nursery) -> None:
        """Children of one template do not draw the same numbers."""
        program = nursery.program("told")
        one, heard = await nursery.forked(program)
        two, heard_too, _ = await nursery.start(program)
        assert await said(one, heard, "random") != await said(two, heard_too, "random")

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGHUP])
    @pytest_twisted.ensureDeferred
    async def test_signals(self, nursery: Nursery, number: signal.Signals) -> None:
        """A signal ends both in the same way."""
        program = nursery.program("told")
        plain, heard, _ = await nursery.start(program, prefork=False)
        forked, heard_too = await nursery.forked(program)
        for child, recorder in ((plain, heard), (forked, heard_too)):
            await said(child, recorder, "random")
            os.kill(child.pid, number)
            await until(lambda recorder=recorder: recorder.ends)
        one, two = heard.ends[0], heard_too.ends[0]
        assert (one.code, one.signal, one.last_words) == (two.code, two.signal, two.last_words)


DRIVER = """
import os, sys
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from mcpgateway.backends.spawn import Launcher
from mcpgateway.interfaces import Launch
from mcpgateway.system.process.children import ChildGuard
from mcpgateway.system.process.guardian import Guardian
from mcpgateway.system.process.orphans import ChildRegistry, reap_leftovers
from tests.functional.driver_of_children import Silent

home, program = sys.argv[1:]
instance = os.path.basename(home)
guardian = Guardian(reactor, instance)
launcher = Launcher(reactor, ChildGuard(ChildRegistry(home, instance), guardian))

async def begin():
    launch = Launch("s", (program,), {"PYTHONPATH": home, "PATH": os.environ["PATH"]}, home, prefork=True)
    pids = []
    for _ in range(3):
        prepared = await launcher.prepare(launch)
        pids.append(launcher.launch(prepared, Silent()).pid)
    pids += [each.child.pid for each in launcher.templates.all()]
    print(guardian.pid, *pids, flush=True)

reactor.callLater(0, lambda: Deferred.fromCoroutine(begin()))
reactor.run()
"""


class OrphanTests:
    """The end of what forks, and of what guards."""

    @pytest.mark.parametrize("also", [None, 0, -1])
    def test_killed_gateway(self, tmp_path: Path, also: int | None) -> None:
        """A gateway that is killed, with its template before it or its guardian, leaves nothing behind."""
        home = tmp_path / f"prefork{os.getpid()}x{also}"
        home.mkdir()
        program = Nursery(home, None, "").program("told")  # type: ignore[arg-type]
        words = [sys.executable, "-c", DRIVER, str(home), program]
        gateway = subprocess.Popen(words, stdout=subprocess.PIPE, cwd=ROOT)
        assert gateway.stdout is not None
        guardian, *pids = map(int, gateway.stdout.readline().split())
        assert len(pids) == 4
        if also is not None:
            os.kill((guardian, *pids)[also], signal.SIGKILL)
        gateway.kill()
        gateway.wait()
        if also == 0:
            reap_leftovers(str(home))  # as the next gateway does
        end = time.monotonic() + PATIENCE_S
        while any(is_alive(pid) for pid in pids):
            assert time.monotonic() < end
            time.sleep(0.05)


class TemplateTests:
    """A template."""

    @pytest_twisted.ensureDeferred
    async def test_its_end(self, nursery: Nursery) -> None:
        """Its end by SIGKILL ends no child, and those that come are started."""
        program = nursery.program("told")
        child, recorder = await nursery.forked(program)
        (template,) = nursery.launcher.templates.all()
        assert nursery.launcher.templates.pids() == [template.child.pid]
        os.killpg(template.child.pid, signal.SIGKILL)
        await until(lambda: not nursery.launcher.templates.all())
        assert await said(child, recorder, "random")
        _, _, how = await nursery.start(program)
        assert how.startswith("plainly: its template ended")

    @pytest_twisted.ensureDeferred
    async def test_first(self, nursery: Nursery) -> None:
        """A launch with one child has none."""
        _, _, how = await nursery.start(nursery.program("told"))
        assert how == "plainly: it is the first child"
        assert not nursery.launcher.templates.all()

    @pytest.mark.parametrize("what", IMPORTS)
    @pytest_twisted.ensureDeferred
    async def test_unfit(self, nursery: Nursery, what: str) -> None:
        """An import that does more than to define names is not shared."""
        statement, reason = IMPORTS[what]
        (nursery.home / "settings.json").write_text("{}")
        program = nursery.program("told", f"{statement}\n{BODY}")
        await nursery.start(program)
        _, _, how = await nursery.start(program)
        assert how.startswith("plainly: ")
        assert reason in how
        assert not nursery.launcher.templates.all()

    @pytest_twisted.ensureDeferred
    async def test_changed_code(self, nursery: Nursery) -> None:
        """A child is of the code that is there when it starts."""
        program = nursery.program("told")
        await nursery.forked(program)
        nursery.program("told", BODY.replace("random.random()", "'the new code'"))
        child, recorder, _ = await nursery.start(program)
        assert await said(child, recorder, "random") == "the new code"

    @pytest_twisted.ensureDeferred
    async def test_frozen(self, nursery: Nursery) -> None:
        """A template that does not answer is killed, and the child is started."""
        program = nursery.program("told")
        await nursery.forked(program)
        (template,) = nursery.launcher.templates.all()
        os.kill(template.child.pid, signal.SIGSTOP)
        child, recorder, _ = await nursery.start(program)
        assert await said(child, recorder, "random")
        await until(lambda: not is_alive(template.child.pid))
