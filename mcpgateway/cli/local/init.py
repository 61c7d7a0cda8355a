"""``config init``: a configuration file that explains every setting."""

from __future__ import annotations

import os
from collections.abc import Mapping

from mcpgateway.errors import ConfigError
from mcpgateway.system import files, paths, printing
from mcpgateway.system.config_template import template
from mcpgateway.system.settings import LoadOptions, config_file


def init(options: LoadOptions, environ: Mapping[str, str], *, force: bool) -> int:
    """Write the file; an existing one is replaced only with ``force``.

    :raise ConfigError: the file exists, or cannot be written.
    """
    path = config_file(options, environ)
    if os.path.lexists(path) and not force:
        raise ConfigError(f"{path}: is there already; --force replaces it")
    home = paths.gateway_home(environ, options.home or None)
    if os.path.dirname(path) == home:
        files.make_home(home)
    try:
        files.write_atomic(path, template())
    except OSError as why:
        raise ConfigError(f"{path}: cannot be written: {why.strerror}") from why
    printing.put(path)
    return 0
