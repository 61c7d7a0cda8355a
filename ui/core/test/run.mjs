// Run the tests of folders: each file is bundled, since Node does not read TypeScript in every release.

import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";

const folders = process.argv.slice(2);
const target = mkdtempSync(join(tmpdir(), "mcpgateway-ui-"));
try {
  await build({
    entryPoints: folders.flatMap((folder) =>
      readdirSync(folder)
        .filter((each) => each.endsWith(".test.ts"))
        .map((each) => join(folder, each)),
    ),
    bundle: true,
    platform: "node",
    format: "esm",
    outdir: target,
    outExtension: { ".js": ".mjs" },
    logLevel: "warning",
  });
  const files = readdirSync(target, { recursive: true })
    .filter((each) => each.endsWith(".mjs"))
    .map((each) => join(target, each));
  process.exitCode = spawnSync(process.execPath, ["--test", ...files], { stdio: "inherit" }).status ?? 1;
} finally {
  rmSync(target, { recursive: true });
}
