-- POST MCP calls for wrk, going round a pool of open sessions.
--   SESSIONS=file (a line for each: path, then the session id or nothing)  OPERATION=echo|list|big  SIZE=bytes  VERSION=revision
-- With the VERSION of the era without sessions, each call has its envelope and the headers that say it again.
-- done() prints one line of JSON.  Only HTTP statuses are looked at here: driver.py is what verifies answers.
local paths, ids, n = {}, {}, 0
local operation, size = os.getenv("OPERATION"), tonumber(os.getenv("SIZE"))
local pad
local version = os.getenv("VERSION")
local is_modern = version >= "2026-07-28"
local envelope = '"_meta":{"io.modelcontextprotocol/protocolVersion":"' .. version
  .. '","io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}'

function init(args)
  for line in io.lines(os.getenv("SESSIONS")) do
    local path, id = line:match("^(%S+) ?(%S*)$")
    paths[#paths + 1] = path
    ids[#ids + 1] = id
  end
  pad = string.rep("x", math.max(0, size - 12))
end

local function params()
  local meta = is_modern and envelope or ""
  if operation == "list" then return '"tools/list","params":{' .. meta .. '}' end
  local arguments = '{"text":"' .. string.format("%011d-", n) .. pad .. '"}'
  if operation == "big" then arguments = '{"bytes":' .. size .. '}' end
  return '"tools/call","params":{"name":"' .. operation .. '","arguments":' .. arguments .. (is_modern and "," or "") .. meta .. '}'
end

function request()
  local session = n % #paths + 1
  n = n + 1
  local headers = {
    ["Content-Type"] = "application/json",
    ["Accept"] = "application/json, text/event-stream",
    ["MCP-Protocol-Version"] = version,
  }
  if is_modern then
    headers["Mcp-Method"] = operation == "list" and "tools/list" or "tools/call"
    if operation ~= "list" then headers["Mcp-Name"] = operation end
  end
  if ids[session] ~= "" then headers["Mcp-Session-Id"] = ids[session] end
  return wrk.format("POST", paths[session], headers, '{"jsonrpc":"2.0","id":' .. n .. ',"method":' .. params() .. '}')
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\n{"requests":%d,"seconds":%.6f,"p50_ms":%.3f,"p99_ms":%.3f,"refused":%d,"lost":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.status, e.timeout + e.connect + e.read + e.write))
end
