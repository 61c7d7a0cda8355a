"""``python -m mcpgateway.local``: what `mcpgateway config` becomes."""

from __future__ import annotations

import sys

from mcpgateway.local.commands import run

if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
