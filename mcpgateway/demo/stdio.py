"""A whole MCP server on stdin and stdout, for tools that answer at once; standard library only."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO

from mcpgateway import __version__

REVISIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602

JSON_TYPES: dict[str, type] = {"string": str, "object": dict, "array": list, "boolean": bool}


class ToolError(Exception):
    """A tool cannot do its call; the text tells the model why."""


class RequestError(Exception):
    """A request that deserves a JSON-RPC error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class DemoTool:
    """One tool: what a client is told about it, and the function that does it."""

    __slots__ = ("call", "description", "name", "properties", "required")

    def __init__(
        self,
        name: str,
        description: str,
        call: Callable[..., str],
        properties: dict[str, dict[str, Any]] | None = None,
        required: Iterable[str] = (),
    ) -> None:
        self.name = name
        self.description = description
        self.call = call
        self.properties = properties or {}
        self.required = list(required)

    def listed(self) -> dict[str, Any]:
        """The tool as ``tools/list`` shows it."""
        schema: dict[str, Any] = {
            "type": "object",
            "properties": self.properties,
            "additionalProperties": False,
        }
        if self.required:
            schema["required"] = self.required
        return {"name": self.name, "description": self.description, "inputSchema": schema}

    def problem(self, arguments: dict[str, Any]) -> str | None:
        """Why these arguments do not fit the schema, or None."""
        for name in self.required:
            if name not in arguments:
                return f"Missing argument {name!r}."
        for name, value in arguments.items():
            if name not in self.properties:
                return f"Unknown argument {name!r}; known are: {', '.join(self.properties) or 'none'}."
            wanted = self.properties[name]["type"]
            if not isinstance(value, JSON_TYPES[wanted]):
                return f"Argument {name!r} must be of type {wanted}."
        return None


class Server:
    """Answers one client's JSON-RPC messages with a fixed set of tools."""

    def __init__(self, name: str, instructions: str, tools: Iterable[DemoTool]) -> None:
        self.name = name
        self.instructions = instructions
        self.tools = {tool.name: tool for tool in tools}

    def answer(self, line: bytes) -> bytes | None:
        """The response to one line, its newline included; None for what is not to be answered."""
        request_id = None
        try:
            message = _parsed(line)
            request_id = message.get("id")
            if "method" not in message or "id" not in message:
                return None
            response = {"result": self._result(message["method"], message.get("params", {}))}
        except RequestError as why:
            response = {"error": {"code": why.code, "message": str(why)}}
        text = json.dumps({"jsonrpc": "2.0", "id": request_id, **response}, ensure_ascii=False)
        # A lone surrogate has no UTF-8; it goes out as the question mark that readers know.
        return text.encode("utf-8", "replace") + b"\n"

    def serve(self, lines: Iterable[bytes], out: BinaryIO) -> None:
        """Answer every line until the client closes the pipe."""
        for line in lines:
            if not line.strip():
                continue
            response = self.answer(line)
            if response is not None:
                out.write(response)
                out.flush()

    def main(self) -> None:
        """Serve the client at the other end of stdin and stdout."""
        try:
            self.serve(sys.stdin.buffer, sys.stdout.buffer)
        except (BrokenPipeError, KeyboardInterrupt):
            # The client is gone; what is still buffered for it has nowhere to go.
            sys.stdout = None

    def _result(self, method: object, params: object) -> dict[str, Any]:
        if not isinstance(params, dict):
            raise RequestError(INVALID_PARAMS, "params must be an object")
        match method:
            case "initialize":
                return self._initialize(params)
            case "ping":
                return {}
            case "tools/list":
                return {"tools": [tool.listed() for tool in self.tools.values()]}
            case "tools/call":
                return self._call(params)
            case _:
                raise RequestError(METHOD_NOT_FOUND, f"Method not found: {method}")

    def _initialize(self, params: dict[str, Any]) -> dict[str, Any]:
        asked = params.get("protocolVersion")
        return {
            "protocolVersion": asked if asked in REVISIONS else REVISIONS[0],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": self.name, "version": __version__},
            "instructions": self.instructions,
        }

    def _call(self, params: dict[str, Any]) -> dict[str, Any]:
        name, arguments = params.get("name"), params.get("arguments", {})
        tool = self.tools.get(name) if isinstance(name, str) else None
        if tool is None:
            raise RequestError(INVALID_PARAMS, f"Unknown tool: {name}")
        if not isinstance(arguments, dict):
            raise RequestError(INVALID_PARAMS, "arguments must be an object")
        problem = tool.problem(arguments)
        if problem is not None:
            return _said(problem, failed=True)
        try:
            return _said(tool.call(**arguments))
        except ToolError as why:
            return _said(str(why), failed=True)


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as why:
        raise RequestError(PARSE_ERROR, "Parse error") from why
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        raise RequestError(INVALID_REQUEST, "Invalid request")
    return message


def _said(text: str, *, failed: bool = False) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}], "isError": failed}
