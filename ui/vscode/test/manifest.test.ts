import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

const HERE = join(process.cwd(), "vscode");
const manifest = JSON.parse(readFileSync(join(HERE, "package.json"), "utf8"));
const { commands, menus, views, viewsWelcome, configuration, viewsContainers } = manifest.contributes;
const source = readdirSync(join(HERE, "src"), { recursive: true, encoding: "utf8" })
  .filter((each) => each.endsWith(".ts"))
  .map((each) => readFileSync(join(HERE, "src", each), "utf8"))
  .join("\n");
const names = new Set<string>(commands.map((each: { command: string }) => each.command));
const viewNames: string[] = Object.values(views as Record<string, { id: string; name: string }[]>)
  .flat()
  .map((each) => each.id);

test("each command of the palette is done, and has a place there", () => {
  for (const each of names) assert.ok(source.includes(`"${each}"`), `${each} is not done`);
  for (const { category, title } of commands) assert.ok(category === "MCP Gateway" && title);
});

test("menus and welcome texts name commands that exist", () => {
  const used = Object.values(menus as Record<string, { command: string }[]>).flatMap((each) =>
    each.map(({ command }) => command),
  );
  const steps: { description: string; completionEvents: string[] }[] =
    manifest.contributes.walkthroughs.flatMap((each: { steps: object[] }) => each.steps);
  const texts = [...viewsWelcome.map((each: { contents: string }) => each.contents)];
  texts.push(...steps.map((each) => each.description));
  for (const each of texts)
    for (const [, command] of each.matchAll(/\(command:([\w.]+)/g)) used.push(command);
  for (const { completionEvents } of steps)
    for (const each of completionEvents)
      if (each.startsWith("onCommand:")) used.push(each.slice("onCommand:".length));
  const ofViews = new Set(viewNames.map((each) => `${each}.focus`));
  for (const each of used)
    assert.ok(names.has(each) || ofViews.has(each) || each.startsWith("workbench."), `${each} is no command`);
});

test("conditions go by what is set, by views that exist, and by rows that are made", () => {
  const conditions: string[] = [...Object.values(menus), viewsWelcome, commands, ...Object.values(views)]
    .flat()
    .flatMap((each) => [(each as { when?: string }).when, (each as { enablement?: string }).enablement])
    .filter((each) => each !== undefined);
  const isSet = /#set\("(\w+)"/g;
  const keys = new Set([...source.matchAll(isSet)].map(([, key]) => key).concat("isReady"));
  assert.ok(source.includes('"mcpgateway.isReady"'));
  for (const each of conditions) {
    for (const [, view] of each.matchAll(/view == (mcpgateway\.\w+)/g))
      assert.ok(viewNames.includes(view ?? ""), each);
    const rest = each.replaceAll(/view == mcpgateway\.\w+/g, "").replaceAll(/\/[^/]*\//g, "");
    for (const [, key] of rest.matchAll(/mcpgateway\.(\w+)/g))
      assert.ok(keys.has(key), `${key} is never set: ${each}`);
  }
  for (const { view } of viewsWelcome) assert.ok(viewNames.includes(view));
});

test("icons exist", () => {
  const steps: { media: { markdown: string } }[] = manifest.contributes.walkthroughs.flatMap(
    (each: { steps: object[] }) => each.steps,
  );
  for (const { media } of steps) assert.ok(existsSync(join(HERE, media.markdown)), media.markdown);
  const icons = [manifest.icon, ...viewsContainers.activitybar.map((each: { icon: string }) => each.icon)];
  for (const each of icons) assert.ok(existsSync(join(HERE, each)), each);
  for (const { icon } of commands) if (icon) assert.match(icon, /^\$\([a-z-]+\)$/);
});

test("what a workspace must not choose is a setting of the machine, and no setting is for a secret", () => {
  const properties: Record<string, { scope: string; type: string }> = configuration.properties;
  const ofMachine = ["url", "home", "path", "tokenFile", "autoStart"].map((each) => `mcpgateway.${each}`);
  ofMachine.push(
    ...["apiUrl", "daemonPath", "authTokenPath", "autoStart"].map((each) => `mcpGateway.${each}`),
  );
  for (const each of ofMachine) assert.equal(properties[each]?.scope, "machine", each);
  for (const [name, { scope }] of Object.entries(properties)) {
    assert.ok(["machine", "window"].includes(scope), name);
    assert.doesNotMatch(name, /token$|secret|password/i);
    assert.ok(source.includes(`"${name}"`), `${name} is not read`);
  }
});

test("nothing is needed at run time, and an untrusted workspace is not read", () => {
  assert.equal(manifest.dependencies, undefined);
  const { supported, restrictedConfigurations } = manifest.capabilities.untrustedWorkspaces;
  assert.equal(supported, "limited");
  const properties: Record<string, { scope: string }> = configuration.properties;
  const ofWorkspaces = Object.keys(properties).filter((each) => properties[each]?.scope === "window");
  assert.deepEqual(restrictedConfigurations, ofWorkspaces);
  assert.deepEqual(manifest.extensionKind, ["workspace"]);
  assert.deepEqual(manifest.activationEvents, ["onStartupFinished"]);
});

test("decisions know no editor", () => {
  const free = [
    "bar",
    "client_rows",
    "connection",
    "diff",
    "lens",
    "log_lines",
    "page_text",
    "place",
    "program",
    "program_answers",
    "recovery",
    "relay",
    "releases",
    "rows",
  ];
  for (const each of [
    ...free,
    "chat",
    "install",
    "processes",
    "project",
    "settings",
    "starter",
    "texts",
    "transport",
    "watch",
  ])
    assert.doesNotMatch(readFileSync(join(HERE, "src", `${each}.ts`), "utf8"), /from "vscode"/, each);
});
