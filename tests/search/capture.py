"""Captures what real servers list: ``python -m tests.search.capture <recipes.json> <folder>``.

A recipe has ``server``, ``package``, ``version``, ``license``, ``source``, ``argv`` and perhaps ``env``.  Nothing that
is started has a network (``unshare --net``, which needs root) or credentials that are any.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

KEPT = ("name", "title", "description", "inputSchema")  # what is searched
PATIENCE_S = 90.0


def main():
    recipes, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    for recipe in recipes:
        try:
            tools = captured(recipe["argv"], recipe.get("env", {}))
        except (OSError, ValueError, TimeoutError, KeyError) as why:
            print(f"{recipe['server']}: {why!r}")
            continue
        about = {name: recipe[name] for name in ("server", "package", "version", "license", "source")}
        kept = [{name: tool[name] for name in KEPT if tool.get(name)} for tool in tools]
        for tool in kept:
            tool["inputSchema"] = schema(tool.get("inputSchema", {}))
        (folder / f"{recipe['server']}.json").write_text(written(about, kept))
        print(f"{recipe['server']}: {len(kept)}")


def schema(full):
    """Return the names and descriptions of a JSON Schema; its limits and defaults are left out, which keeps it
    compact.
    """
    if isinstance(full, list):
        return [schema(each) for each in full]
    if not isinstance(full, dict):
        return full
    kept = {name: full[name] for name in ("type", "description", "required", "enum") if name in full}
    for name in ("items", "anyOf", "oneOf", "allOf"):
        if name in full:
            kept[name] = schema(full[name])
    for name in ("properties", "$defs"):
        if isinstance(full.get(name), dict):
            kept[name] = {each: schema(inner) for each, inner in full[name].items()}
    return kept


def written(about, tools):
    """Return a server's line, then a line for each tool; the whole is one JSON object."""
    lines = ",\n".join(json.dumps(tool, separators=(",", ":"), ensure_ascii=False) for tool in tools)
    return json.dumps(about, ensure_ascii=False)[:-1] + f', "tools": [\n{lines}\n]}}\n'


def captured(argv, env):
    """All the tools that a server lists; it has an empty home, and no network."""
    with tempfile.TemporaryDirectory() as home:
        child = subprocess.Popen(
            ["unshare", "--net", *argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "HOME": home, **env},
            cwd=home,
            start_new_session=True,
        )
        try:
            return list(listed(child))
        finally:
            with contextlib.suppress(OSError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait(10)


def listed(child):
    hello = {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "capture", "version": "1"},
    }
    answers = Answers(child.stdout.fileno())
    send(child, id=1, method="initialize", params=hello)
    answers.to(1)
    send(child, method="notifications/initialized")
    number, cursor = 1, {}
    while True:
        number += 1
        send(child, id=number, method="tools/list", params=cursor)
        result = answers.to(number)["result"]
        yield from result["tools"]
        if not result.get("nextCursor"):
            return
        cursor = {"cursor": result["nextCursor"]}


def send(child, **message):
    child.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
    child.stdin.flush()


class Answers:
    """Lines of a child, until one answers."""

    def __init__(self, descriptor):
        self.descriptor, self.rest = descriptor, b""
        self.until = time.monotonic() + PATIENCE_S

    def to(self, number):
        while True:
            line, found, rest = self.rest.partition(b"\n")
            if not found:
                if not select.select([self.descriptor], [], [], max(0, self.until - time.monotonic()))[0]:
                    raise TimeoutError("no answer")
                chunk = os.read(self.descriptor, 1 << 16)
                if not chunk:
                    raise ValueError("it ended")
                self.rest += chunk
                continue
            self.rest = rest
            with contextlib.suppress(ValueError):
                message = json.loads(line)
                if isinstance(message, dict) and message.get("id") == number and "method" not in message:
                    return message


if __name__ == "__main__":
    main()
