// Build the pages into `mcpgateway/data/ui`: files named by their content, and `index.json`, the table of them all.

import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { build } from "esbuild";

const HERE = dirname(fileURLToPath(import.meta.url));
const TARGET = process.env.MCPGATEWAY_UI_TARGET ?? join(HERE, "..", "..", "mcpgateway", "data", "ui");
const TYPES = { ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html" };

const files = {};

function store(name, content, isNamedByContent = true, given = "") {
  const digest = createHash("sha256").update(content).digest("hex");
  const extension = extname(name);
  const path =
    given || (isNamedByContent ? name.replace(extension, `.${digest.slice(0, 8)}${extension}`) : name);
  const level = { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } };
  writeFileSync(join(TARGET, path), content);
  writeFileSync(join(TARGET, `${path}.br`), brotliCompressSync(content, level));
  writeFileSync(join(TARGET, `${path}.gz`), gzipSync(content, { level: 9 }));
  files[path] = {
    type: `${TYPES[extension]}; charset=utf-8`,
    tag: digest.slice(0, 16),
    is_fixed: isNamedByContent,
  };
  return path;
}

rmSync(TARGET, { recursive: true, force: true });
mkdirSync(TARGET, { recursive: true });
const made = await build({
  entryPoints: [join(HERE, "src", "main.tsx"), join(HERE, "src", "style.css")],
  bundle: true,
  minify: true,
  // What few visits need is a file of its own, which esbuild names by its content, since others name it.
  splitting: true,
  chunkNames: "[name].[hash]",
  entryNames: "[name]",
  format: "esm",
  target: "es2022",
  jsx: "automatic",
  jsxImportSource: "preact",
  write: false,
  outdir: TARGET,
  metafile: true,
  legalComments: "none",
  logLevel: "warning",
});
const found = Object.fromEntries(
  made.outputFiles.map((each) => [basename(each.path), Buffer.from(each.contents)]),
);
const names = {
  script: store("app.js", found["main.js"]),
  style: store("app.css", found["style.css"]),
  icon: store("icon.svg", readFileSync(join(HERE, "src", "icon.svg"))),
};
for (const [name, content] of Object.entries(found))
  if (!["main.js", "style.css"].includes(name)) store(name, content, true, name);
const first = loadedFirst();
// The browser asks for these files with the script, and not only once it has read that.
const preloads = [...first]
  .filter((each) => each !== "main.js")
  .map((each) => `    <link rel="modulepreload" href="/ui/${each}">`);
const page = readFileSync(join(HERE, "src", "index.html"), "utf8")
  .replace("{preloads}", preloads.join("\n"))
  .replace(/\{(\w+)\}/g, (_, name) => `/ui/${names[name]}`);
store("index.html", Buffer.from(page), false);
check();
writeFileSync(join(TARGET, "index.json"), `${JSON.stringify(files, null, 1)}\n`);

/** Return the script of the page and the files that it imports at once. */
function loadedFirst() {
  const outputs = Object.fromEntries(
    Object.entries(made.metafile.outputs).map(([path, each]) => [basename(path), each]),
  );
  const loaded = new Set(["main.js"]);
  for (const name of loaded)
    for (const each of outputs[name].imports)
      if (each.kind === "import-statement") loaded.add(basename(each.path));
  return loaded;
}

/** End with an error where the pages have become larger than they may be. */
function check() {
  const size = (names) =>
    names.reduce(
      (sum, each) =>
        sum + brotliCompressSync(found[each], { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }).length,
      0,
    );
  const scripts = Object.keys(found).filter((each) => extname(each) === ".js");
  const facts = [
    ["KB of script at first", size([...first]) / 1024, 45],
    ["KB of script in all", size(scripts) / 1024, 110],
    ["KB of style", size(["style.css"]) / 1024, 10],
    ["requests for the first page", first.size + 3, 6], // with the page, its style and its icon
  ];
  for (const [what, is, most] of facts) {
    if (process.argv.includes("--sizes")) console.log(`${is.toFixed(1)} ${what}, of ${most}`);
    if (is > most) throw new Error(`the dashboard has ${is.toFixed(1)} ${what}; ${most} are allowed`);
  }
}
