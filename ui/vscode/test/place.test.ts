import assert from "node:assert/strict";
import { mkdtempSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { endingOf, homeOf, isOwn, placeOf, portOf, type Surroundings, socketOf } from "../src/place";

const AROUND: Surroundings = {
  environ: {},
  userHome: "/home/a",
  temporary: "/tmp",
  uid: 7,
  hasSockets: true,
};

test("the home is the chosen one, that of the environment, or the usual one", () => {
  assert.equal(homeOf("~/x", AROUND), "/home/a/x");
  assert.equal(homeOf("", { ...AROUND, environ: { MCPGATEWAY_HOME: "/b" } }), "/b");
  assert.equal(homeOf("", AROUND), "/home/a/.mcp-gateway");
});

test("the socket is in the home, or by the digest of a long home in a private directory", () => {
  assert.equal(socketOf("/home/a/.mcp-gateway", AROUND), "/home/a/.mcp-gateway/gateway.sock");
  const long = `/home/${"a".repeat(100)}`;
  assert.match(socketOf(long, AROUND), /^\/tmp\/mcpgateway-7\/[0-9a-f]{16}\.sock$/);
  assert.match(
    socketOf(long, { ...AROUND, environ: { XDG_RUNTIME_DIR: "/run/7" } }),
    /^\/run\/7\/[0-9a-f]{16}\.sock$/,
  );
});

test("a URL is used without its path, and a text that is none is refused with the name of the setting", () => {
  assert.equal(placeOf({ url: "https://gate.test:9/mcp", home: "" }, AROUND).base, "https://gate.test:9");
  for (const url of ["nonsense", "ftp://gate.test", "http://name:secret@gate.test"])
    assert.throws(() => placeOf({ url, home: "" }, AROUND), /mcpgateway\.url/);
  assert.equal(
    placeOf({ url: "", home: "" }, { ...AROUND, hasSockets: false }).base,
    "http://localhost:9100",
  );
});

test("only a gateway of this machine is the user's own", () => {
  const at = (url: string) => isOwn(placeOf({ url, home: "" }, AROUND));
  assert.deepEqual(["", "http://localhost:9100", "http://127.0.0.1", "http://[::1]:1"].map(at), [
    true,
    true,
    true,
    true,
  ]);
  assert.deepEqual(["http://localhost.evil.test", "http://10.0.0.1", "https://127.0.0.1.evil.test"].map(at), [
    false,
    false,
    false,
  ]);
});

test("a gateway has crashed where the record of its state is left, and a stop counts until the machine starts anew", () => {
  const home = mkdtempSync(join(tmpdir(), "home-"));
  assert.equal(endingOf(home, 0), "ended");
  writeFileSync(join(home, "state.json"), '{"port": 4711}');
  assert.equal(endingOf(home, 0), "crashed");
  assert.equal(portOf(home), 4711);
  writeFileSync(join(home, "stopped"), "1");
  assert.equal(endingOf(home, 0), "stopped");
  utimesSync(join(home, "stopped"), 100, 100);
  assert.equal(endingOf(home, 200_000), "crashed");
});
