# From nothing to shared servers, as a script; tests/functional/test_tutorial.py runs it from the second part on.
set -eu

# [home]
export HOME=$(mktemp -d)
URL=http://localhost:9100

# [servers]
cat > ~/.claude.json <<'END'
{
  "mcpServers": {
    "clock": {"command": "python3", "args": ["-m", "mcpgateway.demo.clock"]},
    "calendar": {"command": "python3", "args": ["-m", "mcpgateway.demo.clock"], "env": {"API_KEY": "k-123"}}
  }
}
END
cp ~/.claude.json ~/before.json

# [start]
mcpgateway start

# [plan]
mcpgateway clients plan --diff

# [apply]
mcpgateway clients apply

# [list]
mcpgateway clients list

# [twenty]
JSON='Content-Type: application/json'
for SERVER in clock calendar; do
  for SESSION in $(seq 20); do
    ID=$(curl -s -o /dev/null -D - $URL/$SERVER/mcp -H "$JSON" -d '{"jsonrpc": "2.0", "id": 1,
      "method": "initialize", "params": {"protocolVersion": "2025-11-25", "capabilities": {},
      "clientInfo": {"name": "curl", "version": "1"}}}' | tr -d '\r' | awk '/^Mcp-Session-Id:/ {print $2}')
    curl -s $URL/$SERVER/mcp -H "$JSON" -H "Mcp-Session-Id: $ID" -d '{"jsonrpc": "2.0", "id": 2,
      "method": "tools/call", "params": {"name": "now", "arguments": {}}}'
    echo
  done
done

# [look]
mcpgateway status
mcpgateway status --health

# [stop]
mcpgateway stop

# [same]
cmp ~/.claude.json ~/before.json && echo "The file is as it was."

# [done]
