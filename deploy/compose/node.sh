#!/bin/sh
# Starts a node. A new home gets the two files of its configuration that are beside this script.
set -eu
home=${MCPGATEWAY_HOME:-$HOME/.mcp-gateway}
mkdir -p -m 700 "$home"
for file in node.yaml config.yaml; do
    if [ ! -e "$home/$file" ]; then
        cp "$(dirname "$0")/$file" "$home/$file"
    fi
done
exec twist --log-format=text mcpgateway --managed --no-adopt --home "$home" --port "${MCPGATEWAY_PORT:-9100}"
