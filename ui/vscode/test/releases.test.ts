import assert from "node:assert/strict";
import { test } from "node:test";
import { otherRelease } from "../src/releases";

test("a gateway of another release is told, with what brings the older one up to date", () => {
  assert.equal(otherRelease("0.1.0", "0.1.7"), "");
  assert.equal(otherRelease("unknown", "0.1.0"), "");
  assert.equal(
    otherRelease("0.9.1", "0.10.0"),
    "The gateway is of release 0.9.1, the extension of 0.10.0: mcpgateway upgrade brings the gateway up to date",
  );
  assert.match(otherRelease("1.0.0", "0.10.0"), /install --vscode brings the extension up to date$/);
});
