"""Texts that look like secrets are shown nowhere: every shape, in each of the places where texts are shown."""

from __future__ import annotations

import io
import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from twisted.internet.defer import Deferred
from twisted.logger import LogBeginner, Logger, LogPublisher, textFileLogObserver

from mcpgateway.app.log import LogPipeline
from mcpgateway.backends.process import StderrTail
from mcpgateway.cli.main import run
from mcpgateway.config.model import ServerSpec
from mcpgateway.observe.activity import ActivityLog
from mcpgateway.observe.recorder import Recording
from mcpgateway.policy.secrets.masking import masked
from mcpgateway.policy.secrets.redaction import Redactor, is_telling, quoted
from mcpgateway.policy.secrets.shapes import MASK, SHAPES
from mcpgateway.system import state
from mcpgateway.truncation.masking import masked as result_masked
from tests.support.gateway_in_memory import MemoryGateway
from tests.support.lines import MemoryLines
from tests.support.secrets import ORDINARY, RANDOM, TOKENS

SHAPED = tuple(each for samples in TOKENS.values() for each in samples)


class Stdio:
    """The streams that a beginner of logs would redirect."""

    stdout = stderr = None


class Warned:
    """The module of warnings, for the beginner of logs."""

    showwarning = None


def observed(texts: tuple[str, ...]) -> tuple[str, str]:
    """The log and the events of texts that were logged."""
    observation, written = LogPipeline(), io.StringIO()
    publisher = LogPublisher()
    beginner = LogBeginner(publisher, io.StringIO(), Stdio(), Warned())
    observation.lead(beginner)
    beginner.beginLoggingTo([textFileLogObserver(written)], redirectStandardIO=False)
    log = Logger("a.place", observer=publisher)
    for each in texts:
        log.error("{what}", event="a.b", what=each, why=ValueError(each))
        try:
            raise ValueError(each)
        except ValueError:
            log.failure("broken")
    return written.getvalue(), "\n".join(each.text for each in observation.events.entries)


def log(texts: tuple[str, ...]) -> str:
    """The gateway's own log, tracebacks included."""
    return observed(texts)[0]


def events(texts: tuple[str, ...]) -> str:
    """The events that followers are told."""
    return observed(texts)[1]


def server_log(texts: tuple[str, ...]) -> str:
    """The log of a server's stderr."""
    gateway = MemoryGateway()
    gateway.logs.hearing("shared").heard("".join(f"{each}\n" for each in texts).encode())
    gateway.clock.pump([1.0] * len(texts))
    return "\n".join(gateway.logs.of("shared")._file.tail(10_000))  # type: ignore[attr-defined]


def configuration_view(texts: tuple[str, ...]) -> str:
    """The output of ``mcpgateway config show`` for entries with the texts."""
    entries = {
        f"one{number}": {
            "command": "run",
            "args": ["-m", each, f"--option={each}", f"text {each} text"],
            "env": {"PLAIN": each},
            "cwd": f"/srv/the {each}",
            "description": f"needs {each}",
        }
        for number, each in enumerate(texts)
    }
    with TemporaryDirectory() as home, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", home)
        patch.setenv("MCPGATEWAY_HOME", f"{home}/.mcp-gateway")
        Path(home, ".mcp-gateway").mkdir(mode=0o700)
        path = Path(home, ".mcp-gateway", "config.json")
        path.write_text(json.dumps({"servers": entries}))
        printed = io.StringIO()
        patch.setattr("sys.stdout", printed)
        assert run(["--json", "config", "show", "--config", str(path)]) == 0
        return printed.getvalue()


def command_line(texts: tuple[str, ...]) -> str:
    """How the gateway says that it was started."""
    argv = ["twistd", *texts, *(f"--option={each}" for each in texts)]
    return json.dumps(state.myself(1, "", 0.0, argv, ()).command)


def why(texts: tuple[str, ...]) -> str:
    """The diagnosis of a server whose command, arguments and address hold the texts."""
    server = ServerSpec("one", ("run", *texts, *(f"text {each}" for each in texts)), {}, "/")
    gateway = MemoryGateway(more=(server,))
    return gateway.client().ask(b"", "GET", "/api/v1/servers/one/why").body.decode()


def activity(texts: tuple[str, ...]) -> str:
    """The log of what was done, with them as names of tools, ids and errors."""
    gateway, lines = MemoryGateway(), MemoryLines()
    redactor = gateway.observation.redactor
    made = ActivityLog(lines, gateway.clock.seconds, lambda: "id", redactor.redact)
    gateway.hub.meters.on_end = made.ended
    client = gateway.session()
    for number, each in enumerate(texts):
        client.call(f"{number} {each}", name=f"tool {each}", arguments={})
        child = gateway.child
        child.say({"id": child.asked("tools/call")[-1]["id"], "error": {"code": -1, "message": f"no {each}"}})
        made.managed("servers.put", each, 200, f"token {each}", each)
    made.flush()
    return "\n".join(lines.kept)


def record(texts: tuple[str, ...]) -> str:
    """The flight recorder."""
    gateway = MemoryGateway()
    client = gateway.session()
    for each in texts:
        client.call(1, name="say", arguments={"text": f"it is {each}", each: 1})
        gateway.child._receiver.line_received(f"stray {each}".encode())
    redact = gateway.observation.redactor.redact
    found: list[Any] = []
    recording = Recording(gateway.hub.tapes, gateway.health.histories, gateway.clock, redact)
    Deferred.fromCoroutine(recording.export("shared", None)).addCallback(found.append)
    while not found:
        gateway.clock.advance(0)
    return json.dumps(found)


def error(texts: tuple[str, ...]) -> str:
    """The last words of a child, which its callers are told, and what a server that is tried has said."""
    said = []
    for each in texts:
        tail = StderrTail((), Redactor().redact)
        tail.feed(f"cannot use {each}\n".encode())
        said += [tail.text(), quoted(f"it said: {each}", ())]
    return "\n".join(said)


def result(texts: tuple[str, ...]) -> str:
    """The result of a tool, where they are to be masked."""
    whole = {
        "content": [
            {"type": "text", "text": json.dumps(texts)},
            {"type": "text", "text": " ".join(texts)},
            {"type": "resource", "resource": {"uri": "file:///x", "text": "\n".join(texts)}},
        ],
        "structuredContent": {"all": list(texts)},
    }
    return bytes(result_masked(Raw(json.dumps(whole).encode()), Redactor().mask)[0]).decode()


def metrics(texts: tuple[str, ...]) -> str:
    """The labels of the numbers for Prometheus."""
    gateway = MemoryGateway()
    client = gateway.session()
    for number, each in enumerate(texts):
        for name in (each, f"tool {each}"):
            client.call(number, name=name, arguments={})
            gateway.child.answer(gateway.child.asked("tools/call")[-1], {"content": []})
        client.call(number, each)
    return gateway.client().ask(b"", "GET", "/metrics").body.decode()


Surface = Callable[[tuple[str, ...]], str]
SURFACES: tuple[Surface, ...] = (
    configuration_view,
    command_line,
    why,
    log,
    events,
    server_log,
    activity,
    record,
    error,
    result,
    metrics,
)


@cache
def shown(surface: Surface, texts: tuple[str, ...]) -> str:
    """The output of a surface for these texts."""
    return surface(texts)


def secret_part(sample: str) -> str:
    """The part of a sample that is the secret, where an address is around it."""
    return sample.rpartition("/")[2] if sample.startswith("https://") else sample


class EverywhereTests:
    """Every shape in every place."""

    def test_samples(self) -> None:
        """There is a sample of every shape, so that nothing is left out."""
        assert set(TOKENS) == {*SHAPES, "private key"}

    @pytest.mark.parametrize("surface", SURFACES, ids=lambda each: each.__name__)
    @pytest.mark.parametrize("shape", TOKENS)
    def test_shapes(self, surface: Surface, shape: str) -> None:
        """A token is shown nowhere, and the mask stands where it has stood."""
        text = shown(surface, SHAPED)
        for each in TOKENS[shape]:
            assert secret_part(each) not in text
            assert secret_part(each)[6:] not in text
        assert MASK in text or surface is metrics

    @pytest.mark.parametrize(
        "surface", [each for each in SURFACES if each is not result], ids=lambda each: each.__name__
    )
    @pytest.mark.parametrize("number", range(len(RANDOM)))
    def test_generic(self, surface: Surface, number: int) -> None:
        """A long run of mixed characters is shown nowhere but in results, where digests and ids are worked with."""
        assert RANDOM[number] not in shown(surface, RANDOM)

    @pytest.mark.parametrize("text", ORDINARY)
    def test_ordinary(self, text: str) -> None:
        """Prose, paths and identifiers stay as they are, in logs, results and in the view of a configuration."""
        assert Redactor().redact(text) == text
        assert Redactor().mask(text) == (text, 0)
        assert masked({"description": text}) == {"description": text}

    @pytest.mark.parametrize("number", range(len(RANDOM)))
    def test_addresses(self, number: int) -> None:
        """A key in the path of a server's address is not shown in the view of a configuration."""
        url = f"https://mcp.example.com/api/s/{RANDOM[number]}/mcp"
        assert masked({"url": url})["url"] == f"https://mcp.example.com/api/s/{MASK}/mcp"


SECRETS = st.text(
    st.characters(codec="ascii", categories=["L", "N", "P", "S"]), min_size=8, max_size=40
).filter(is_telling)


def spellings(secret: str) -> Iterator[str]:
    """How programs write a value that they were given."""
    yield secret
    yield secret.upper()
    yield secret.lower()
    yield secret.swapcase()
    for before, after in (("", ""), ("user:", ""), ("u:", "x"), ("", ":rest"), ("abc", "defg")):
        whole = (before + secret + after).encode()
        yield b64encode(whole).decode()
        yield b64encode(whole).decode().rstrip("=")
        yield urlsafe_b64encode(whole).decode()


class KnownTests:
    """Values that are known."""

    @given(SECRETS)
    def test_spellings(self, secret: str) -> None:
        """Upper-cased and in base64, whatever else is encoded with it, a known value is taken out."""
        redactor = Redactor()
        redactor.learn([secret])
        for each in spellings(secret):
            kept = redactor.redact(f"it is {each} here")
            assert MASK in kept, each
            assert each not in kept
            assert MASK in redactor.mask(f"it is {each} here")[0]

    def test_many(self) -> None:
        """Each of thousands is found, and the oldest are forgotten without leaving anything behind."""
        redactor = Redactor()
        values = [f"value-{number:05}-x" for number in range(8000)]
        redactor.learn(values)
        assert redactor.redact(f"a {values[-1]} b") == f"a {MASK} b"
        assert redactor.redact(f"a {values[0]} b") == f"a {values[0]} b"
        redactor.learn(values[:3000])
        assert redactor.redact(f"a {values[0]} b {values[2999]}") == f"a {MASK} b {MASK}"
