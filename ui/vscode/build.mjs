// Build the extension into `dist`: a folder that VS Code and vsce take as it is.

import { execFileSync } from "node:child_process";
import { copyFileSync, cpSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const HERE = dirname(fileURLToPath(import.meta.url));
const ROOT = join(HERE, "..", "..");
const TARGET = process.env.MCPGATEWAY_EXTENSION_TARGET ?? join(HERE, "dist");
const MOST_KB = 150;
// A window waits for this file: 3 ms until it is read, and 5 to 8 ms until it has registered everything.
const MOST_FIRST_KB = 5;

rmSync(TARGET, { recursive: true, force: true });
mkdirSync(TARGET, { recursive: true });
await build({
  entryPoints: { extension: join(HERE, "src", "extension.ts"), main: join(HERE, "src", "main.ts") },
  bundle: true,
  minify: true,
  platform: "node",
  format: "cjs",
  target: "node22",
  // What a window needs at once is a small file, which loads the other one.
  external: ["vscode", "./main"],
  supported: { "dynamic-import": false },
  outdir: TARGET,
  legalComments: "none",
  logLevel: "warning",
});
await build({
  entryPoints: [
    join(ROOT, "ui", "web", "src", "embedded", "main.tsx"),
    join(ROOT, "ui", "web", "src", "embedded", "style.css"),
  ],
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  jsx: "automatic",
  jsxImportSource: "preact",
  outdir: join(TARGET, "pages"),
  legalComments: "none",
  logLevel: "warning",
});
cpSync(join(HERE, "media"), join(TARGET, "media"), { recursive: true });
for (const [folder, name] of [
  [ROOT, "LICENSE"],
  [HERE, "README.md"],
])
  copyFileSync(join(folder, name), join(TARGET, name));
writeFileSync(join(TARGET, "schema.json"), schema());
const manifest = JSON.parse(readFileSync(join(HERE, "package.json"), "utf8"));
const { devDependencies, ...shipped } = manifest;
writeFileSync(
  join(TARGET, "package.json"),
  `${JSON.stringify({ ...shipped, version: version() }, null, 2)}\n`,
);
check();

/** Return the release of the Python package; VS Code takes three numbers. */
function version() {
  const found = /__version__ = "(\d+)\.(\d+)(?:\.(\d+))?/.exec(
    readFileSync(join(ROOT, "mcpgateway", "__init__.py"), "utf8"),
  );
  if (!found) throw new Error("mcpgateway/__init__.py names no version");
  const [, major, minor, patch = "0"] = found;
  return `${major}.${minor}.${patch}`;
}

/** Return the schema of configuration files, of which the Python package is the author. */
function schema() {
  const python = process.env.MCPGATEWAY_PYTHON || join(ROOT, ".venv", "bin", "python");
  const script =
    "import json; from mcpgateway.config.schema import json_schema; print(json.dumps(json_schema()))";
  return execFileSync(python, ["-c", script], { cwd: ROOT, encoding: "utf8", maxBuffer: 4 << 20 });
}

/** End with an error where the extension has become larger than it may be. */
function check() {
  const sizes = ["extension.js", "main.js"].map((each) => statSync(join(TARGET, each)).size / 1024);
  const sum = sizes.reduce((one, other) => one + other, 0);
  if (process.argv.includes("--sizes")) console.log(sizes.map((each) => `${each.toFixed(1)} KB`).join(", "));
  if (sizes[0] > MOST_FIRST_KB)
    throw new Error(`extension.js has ${sizes[0].toFixed(1)} KB; what can wait belongs to main.js`);
  if (sum > MOST_KB)
    throw new Error(`the extension has ${sum.toFixed(0)} KB of script; ${MOST_KB} are allowed`);
}
