"""The cluster's key, as each node has it: in a variable or a file, the newest first."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

from mcpgateway.cluster.node import ClusterKeys, read_keys
from mcpgateway.config.cluster import ClusterSettings
from mcpgateway.errors import ConfigError
from mcpgateway.hints import cli
from mcpgateway.system import files

KEY_VARIABLE = "MCPGATEWAY_CLUSTER_KEY"
KEY_LEAST = 32  # characters
KEY_FILE_LIMIT = 4096


def read_key(settings: ClusterSettings, environ: Mapping[str, str]) -> ClusterKeys:
    """Return the keys of the cluster, from its variable or its file.

    :raise ConfigError: there is no key, it can be guessed, or others can read its file.
    """
    path = settings.key_file
    if environ.get(KEY_VARIABLE):
        where, lines = f"${KEY_VARIABLE}", environ[KEY_VARIABLE].splitlines()
    elif path:
        where = path
        try:
            mode = os.stat(path).st_mode
            lines = files.read_text(path, KEY_FILE_LIMIT).splitlines()
        except OSError as why:
            raise ConfigError(f"{path}: the key of the cluster cannot be read: {why.strerror}") from why
        if mode & (stat.S_IWGRP | stat.S_IRWXO):
            raise ConfigError(
                f"{path}: other users can use the key of the cluster",
                f"let its owner alone read it: chmod 600 {path}",
            )
    else:
        raise ConfigError(
            "gateway.cluster has no key: name its file as gateway.cluster.key_file",
            f"{cli('cluster key')} makes one",
        )
    keys = read_keys(lines)
    if keys is None or any(len(each) < KEY_LEAST for each in (keys.newest, *keys.former)):
        raise ConfigError(
            f"{where}: a key of the cluster has at least {KEY_LEAST} characters",
            f"{cli('cluster key')} makes one",
        )
    return keys
