"""JSON values without secrets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from mcpgateway.policy.secrets.shapes import MASK, is_secret
from mcpgateway.protocol import trace_context

Redact = Callable[[str], str]


def scrubbed(value: Any, redact: Redact) -> Any:
    """Return a JSON value whose texts are redacted; the value of a key that names a secret is masked as a whole.

    All texts are redacted in one go, a line each, since that costs about as much as one of them.

    :raise RecursionError: the value is nested too deeply.
    """
    texts = list(_texts(value))
    redacted = redact("\n".join(texts)).split("\n")
    counts = [text.count("\n") + 1 for text in texts]
    if len(redacted) != sum(counts):  # a secret of several lines has gone
        return _put(value, map(redact, texts))
    made = iter(redacted)
    return _put(value, ("\n".join(next(made) for _ in range(count)) for count in counts))


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for name, each in value.items():
                yield name
                if not (_hides(name, each) or _is_trace(name, each)):
                    yield from _texts(each)
        case list():
            for each in value:
                yield from _texts(each)


def _put(value: Any, texts: Iterator[str]) -> Any:
    match value:
        case str():
            return next(texts)
        case dict():
            # The order in which `_texts` returned them: a name, then its value.
            return {next(texts): _member(name, each, texts) for name, each in value.items()}
        case list():
            return [_put(each, texts) for each in value]
        case _:
            return value


def _member(name: str, value: Any, texts: Iterator[str]) -> Any:
    if _is_trace(name, value):
        return value
    return MASK if _hides(name, value) else _put(value, texts)


def _is_trace(name: str, value: Any) -> bool:
    # A trace id has the form of a key, and is there to be found again.
    return name == trace_context.PARENT and isinstance(value, str) and trace_context.read(value) is not None


def _hides(name: str, value: Any) -> bool:
    return isinstance(value, str) and bool(value) and is_secret(name)
