"""Whole results, read page by page as a model would, to be held beside what their servers have said."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from mcpgateway.truncation import documents
from tests.support.http_client import Answer

Ask = Callable[[dict[str, Any]], Awaitable[str]]
"""Calls ``gateway_get_result``; the text of its answer."""


def exactly(text: str | bytes) -> Any:
    """A value with the text of its numbers, so that 1.0 is not 1."""
    return json.loads(
        text, parse_int=lambda each: ("number", each), parse_float=lambda each: ("number", each)
    )


def result_of(answer: Answer) -> bytes:
    """The result in an answer, as it was written."""
    body = answer.body
    if answer.is_stream:
        lines = [
            each.removeprefix(b"data:").strip() for each in body.splitlines() if each.startswith(b"data:")
        ]
        body = next(each for each in reversed(lines) if each)
    message = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    if "result" not in message:
        raise AssertionError(f"no result: {body[:500]!r}")
    return bytes(message["result"])


def whole(original: bytes) -> Any:
    """Return all pages of a result, joined."""
    return exactly(bytes(documents.root_of(original)))


def ref_of(result: bytes) -> str:
    """Under which reference the original of a result is kept; "" where nothing was cut."""
    return str(json.loads(result).get("_ref", ""))


async def joined(ask: Ask, ref: str, path: str = "$") -> Any:
    """All pages of a value, and those of the parts that are too large for one, put together."""
    parts: list[Any] = []
    offset, has_more, is_json = 0, True, False
    while has_more:
        answer = exactly(await ask({"ref": ref, "path": path, "offset": offset}))
        parts.append(await _filled(ask, ref, answer["data"], answer.get("tooLarge", [])))
        is_json = is_json or answer.get("isJson", False)
        has_more = answer["hasMore"]
        if has_more:
            following = int(answer["nextOffset"][1])
            assert following > offset, f"page {offset} of {path} leads back to {following}"
            offset = following
    return _together(parts, is_json=is_json)


async def _filled(ask: Ask, ref: str, data: Any, too_large: list[str]) -> Any:
    async def filled(value: Any) -> Any:
        is_stand_in = isinstance(value, dict) and value.get("_path") in too_large
        return await joined(ask, ref, value["_path"]) if is_stand_in else value

    if isinstance(data, list):
        return [await filled(each) for each in data]
    if isinstance(data, dict):
        return {name: await filled(each) for name, each in data.items()}
    return data


def _together(parts: list[Any], *, is_json: bool) -> Any:
    first = parts[0]
    if isinstance(first, str):
        text = "".join(parts)
        return exactly(text) if is_json else text
    if isinstance(first, list):
        return [item for part in parts for item in part]
    if isinstance(first, dict):
        return {name: value for part in parts for name, value in part.items()}
    return first
