// Run the tests of the core: each file is bundled, since Node does not read TypeScript in every release.

import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const target = mkdtempSync(join(tmpdir(), "mcpgateway-ui-"));
try {
  await build({
    entryPoints: readdirSync(here)
      .filter((each) => each.endsWith(".test.ts"))
      .map((each) => join(here, each)),
    bundle: true,
    platform: "node",
    format: "esm",
    outdir: target,
    outExtension: { ".js": ".mjs" },
    logLevel: "warning",
  });
  const files = readdirSync(target).map((each) => join(target, each));
  process.exitCode = spawnSync(process.execPath, ["--test", ...files], { stdio: "inherit" }).status ?? 1;
} finally {
  rmSync(target, { recursive: true });
}
