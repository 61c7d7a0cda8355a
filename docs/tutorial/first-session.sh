# The first session with a gateway, as a script; tests/functional/test_tutorial.py runs it.
set -eu
URL="${URL:-http://localhost:9100}"
JSON='Content-Type: application/json'

# [ask]
curl -s $URL/clock/mcp -H "$JSON" -d '{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}'
# [call]
curl -s $URL/clock/mcp -H "$JSON" -d '{"jsonrpc": "2.0", "id": "two", "method": "tools/call",
  "params": {"name": "now", "arguments": {"timezone": "UTC"}}}'
# [initialize]
SESSION=$(curl -s -o /dev/null -D - $URL/notebook/mcp -H "$JSON" -d '{"jsonrpc": "2.0", "id": 1,
  "method": "initialize", "params": {"protocolVersion": "2025-11-25", "capabilities": {},
  "clientInfo": {"name": "curl", "version": "1"}}}' | tr -d '\r' | awk '/^Mcp-Session-Id:/ {print $2}')
# [note]
curl -s $URL/notebook/mcp -H "$JSON" -H "Mcp-Session-Id: $SESSION" -d '{"jsonrpc": "2.0", "id": 2,
  "method": "tools/call", "params": {"name": "add_note", "arguments": {"text": "buy milk"}}}'
# [health]
curl -s $URL/health
# [end]
curl -s -X DELETE $URL/notebook/mcp -H "Mcp-Session-Id: $SESSION"
# [done]
