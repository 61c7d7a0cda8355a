#!/bin/sh
# Starts a node. A new home gets the configuration that is beside this script.
set -eu
home=${MCPGATEWAY_HOME:-$HOME/.mcp-gateway}
mkdir -p -m 700 "$home"
if [ ! -e "$home/config.yaml" ]; then
    cp "$(dirname "$0")/config.yaml" "$home/config.yaml"
fi
exec twist --log-format=text mcpgateway --managed --no-adopt --home "$home" --port "${MCPGATEWAY_PORT:-9100}"
