import assert from "node:assert/strict";
import { test } from "node:test";
import { type Inspected, settingsFrom } from "../src/settings";

const from = (values: Record<string, Inspected>) => settingsFrom((name) => values[name]);

test("settings have defaults, and the older names count unless the present ones are set", () => {
  assert.equal(from({}).pollInterval, 5000);
  assert.equal(from({}).autoStart, false);
  const older = {
    "mcpGateway.apiUrl": { globalValue: "http://localhost:8765" },
    "mcpGateway.autoStart": { globalValue: true },
    "mcpGateway.daemonPath": { globalValue: "/opt/gateway" },
    "mcpGateway.pollInterval": { globalValue: 2000 },
    "mcpGateway.authTokenPath": { globalValue: "~/token" },
  };
  const { url, autoStart, path, pollInterval, tokenFile } = from(older);
  assert.deepEqual(
    [url, autoStart, path, pollInterval, tokenFile],
    ["http://localhost:8765", true, "/opt/gateway", 2000, "~/token"],
  );
  assert.equal(from({ ...older, "mcpgateway.autoStart": { globalValue: false } }).autoStart, false);
});

test("a workspace chooses no program, no address and no file of a token", () => {
  const ofWorkspace = (value: unknown) => ({ workspaceValue: value, workspaceFolderValue: value });
  const found = from({
    "mcpgateway.url": ofWorkspace("http://evil.test"),
    "mcpgateway.home": ofWorkspace("/evil"),
    "mcpgateway.path": ofWorkspace("/evil/program"),
    "mcpGateway.daemonPath": ofWorkspace("/evil/program"),
    "mcpgateway.tokenFile": ofWorkspace("/etc/passwd"),
    "mcpgateway.autoStart": ofWorkspace(true),
    "mcpgateway.statusBar": ofWorkspace("never"),
  });
  assert.deepEqual(found, { ...from({}), statusBar: "never" });
});

test("values of another type do not count, and the interval has its bounds", () => {
  assert.equal(from({ "mcpgateway.path": { globalValue: 7 } }).path, "");
  assert.equal(from({ "mcpgateway.pollInterval": { globalValue: 1 } }).pollInterval, 1000);
  assert.equal(from({ "mcpgateway.pollInterval": { globalValue: 1e12 } }).pollInterval, 600_000);
});
