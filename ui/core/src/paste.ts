/**
 * What a user pastes to add a server: a URL, a command line, the JSON of another client's file, the line of another
 * program's command such as `claude mcp add`, or an install link; `mcpgateway servers add` reads the same.
 */

/** A server's definition, as `POST /api/v1/servers` takes it. */
export interface Definition {
  name: string;
  config: Record<string, unknown>;
}

/** A text that says nothing about a server; the message tells what is expected. */
export class NotUnderstood extends Error {}

const RUNNERS = new Set([
  "npx",
  "uvx",
  "pnpm",
  "dlx",
  "bunx",
  "yarn",
  "node",
  "python",
  "python3",
  "deno",
  "run",
]);
const MEMBERS = ["mcpServers", "servers", "context_servers", "mcp"];
const REACHES = ["command", "url", "httpUrl", "serverUrl", "openapi", "rest_url"];
/** Options of `mcp add` that say something about the server. */
const GIVEN: Record<string, "env" | "headers" | "url"> = {
  "-e": "env",
  "--env": "env",
  "-H": "headers",
  "--header": "headers",
  "--url": "url",
};
/** Those with a value that says nothing about it. */
const VALUES = new Set([
  "-s",
  "--scope",
  "-t",
  "--transport",
  "--callback-port",
  "--client-id",
  "--bearer-token-env-var",
]);
const SWITCHES = new Set(["--client-secret", "--json"]);
const FENCE = /^```\w*\s*\n([\s\S]*?)\n```\s*$/;
/** The URL or the file of an OpenAPI document, whose operations become tools. */
const DESCRIPTION = /^(?:https?:\/\/|[~.]{0,2}\/)\S*(?:openapi|swagger|api)\S*\.(?:json|ya?ml)$/i;

/**
 * Return the servers that a text defines.
 *
 * @throws NotUnderstood the text is no URL, no command and no JSON with servers.
 */
export function pasted(text: string): Definition[] {
  const given = text
    .trim()
    .replace(FENCE, "$1")
    .trim()
    .replace(/^\$\s+/, "");
  if (!given) throw new NotUnderstood("Paste a URL, a command, or JSON with mcpServers");
  if (given.startsWith("{") || given.startsWith('"')) return fromJson(given);
  if (given.startsWith("[")) throw new NotUnderstood("TOML is read by mcpgateway servers add");
  if (/^(vscode(-insiders)?:|[a-z]+:\/\/.*\/mcp\/install\?)/i.test(given)) return fromLink(given);
  if (DESCRIPTION.test(given)) return [fromDescription(given)];
  if (/^https?:\/\//i.test(given)) return [fromUrl(given)];
  const line = words(given);
  const at = line.indexOf("mcp");
  if (at >= 0 && at < 3 && line.includes("add-json")) {
    const [name = "", json = ""] = line.slice(line.indexOf("add-json") + 1);
    return fromJson(json).map((each) => ({ ...each, name: name || each.name }));
  }
  if (at >= 0 && at < 3 && line.includes("add")) return [fromLine(line.slice(line.indexOf("add") + 1))];
  return [fromCommand(given)];
}

/** Read what follows `mcp add` in the command line of a client. */
function fromLine(line: string[]): Definition {
  const given: Record<"env" | "headers" | "url", string[]> = { env: [], headers: [], url: [] };
  const plain: string[] = [];
  for (let rest = line; rest.length; ) {
    const [word = "", ...more] = rest;
    const [option = "", ...value] = word.split("=");
    const kind = GIVEN[option];
    rest = more;
    if (word === "--") {
      plain.push(...rest);
      break;
    }
    if (kind) given[kind].push(value.length ? value.join("=") : (rest.shift() ?? ""));
    else if (VALUES.has(option)) {
      if (!value.length) rest.shift();
    } else if (!SWITCHES.has(word)) plain.push(word);
  }
  const [name = "", ...reach] = plain;
  const [target = given.url[0] ?? "", ...args] = reach;
  if (!target) throw new NotUnderstood("The line has neither a command nor a URL behind the name");
  const config: Record<string, unknown> = /^https?:\/\//i.test(target)
    ? { url: target }
    : { command: target, ...(args.length && { args }) };
  if (given.env.length) config.env = Object.fromEntries(given.env.map((each) => pair(each, "=")));
  if (given.headers.length) config.headers = Object.fromEntries(given.headers.map((each) => pair(each, ":")));
  return { name, config };
}

function pair(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  if (at < 0) throw new NotUnderstood("An option of the line has no value");
  const value = text.slice(at + 1);
  return [text.slice(0, at).trim(), separator === ":" ? value.trim() : value];
}

/** Read an install link of Cursor or of VS Code. */
function fromLink(text: string): Definition[] {
  const query = text.slice(text.indexOf("?") + 1);
  const named = new URLSearchParams(query);
  const config = named.get("config");
  try {
    if (config === null) return fromJson(decodeURIComponent(query));
    const json = config.trimStart().startsWith("{")
      ? config
      : atob(config.replaceAll(" ", "+").replaceAll("-", "+").replaceAll("_", "/"));
    return fromJson(json).map((each) => ({ ...each, name: named.get("name") || each.name }));
  } catch {
    throw new NotUnderstood("The link holds no server");
  }
}

function fromUrl(text: string): Definition {
  if (!URL.canParse(text)) throw new NotUnderstood(`${text} is no URL`);
  const labels = new URL(text).hostname.split(".").filter((each) => !["www", "mcp", "api"].includes(each));
  return { name: nameOf(labels[0] ?? "remote"), config: { url: text } };
}

function fromDescription(text: string): Definition {
  const isUrl = URL.canParse(text);
  const named = isUrl ? fromUrl(text).name : nameOf(base(text).replace(/\.\w+$/, ""));
  return { name: named, config: { openapi: text } };
}

function fromJson(text: string): Definition[] {
  let value: unknown;
  try {
    value = JSON.parse(text.startsWith("{") ? text : `{${text.replace(/,\s*$/, "")}}`);
  } catch (why) {
    throw new NotUnderstood(`The JSON is broken: ${why instanceof Error ? why.message : why}`);
  }
  const outer = value as Record<string, unknown>;
  if (typeof outer.openapi === "string" && isObject(outer.paths))
    throw new NotUnderstood("This is an OpenAPI document: paste its URL, or the path of its file");
  const inner = MEMBERS.map((each) => outer[each]).find(isObject) ?? outer;
  if (isEntry(inner)) {
    const { name, gallery: _, ...config } = inner;
    return [{ name: typeof name === "string" && name ? name : nameOf(guess(config)), config }];
  }
  const found = Object.entries(inner).filter((each): each is [string, Record<string, unknown>] =>
    isEntry(each[1]),
  );
  if (!found.length) throw new NotUnderstood("The JSON has no server: an entry has a command or a url");
  return found.map(([name, config]) => ({ name, config }));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isEntry(value: unknown): value is Record<string, unknown> {
  return isObject(value) && REACHES.some((each) => typeof value[each] === "string");
}

function fromCommand(text: string): Definition {
  const env: Record<string, string> = {};
  const all = words(text);
  while (all[0] && /^[A-Za-z_]\w*=/.test(all[0])) {
    const [name = "", ...value] = (all.shift() ?? "").split("=");
    env[name] = value.join("=");
  }
  const [command, ...args] = all;
  if (!command) throw new NotUnderstood("The command names no program");
  const config: Record<string, unknown> = { command, args };
  if (Object.keys(env).length) config.env = env;
  return { name: nameOf(guess(config)), config };
}

/** Split a command line as a shell does, with quotes and backslashes, and without any of its other powers. */
export function words(text: string): string[] {
  const found: string[] = [];
  let word: string | undefined;
  let quote = "";
  for (let at = 0; at < text.length; at++) {
    const each = text.charAt(at);
    if (quote) {
      if (each === quote) quote = "";
      else if (each === "\\" && quote === '"' && '"\\$`'.includes(text.charAt(at + 1)))
        word += text.charAt(++at);
      else word += each;
    } else if (each === '"' || each === "'") {
      quote = each;
      word ??= "";
    } else if (each === "\\" && at + 1 < text.length) {
      const next = text.charAt(++at);
      if (next !== "\n") word = (word ?? "") + next;
    } else if (/\s/.test(each)) {
      if (word !== undefined) found.push(word);
      word = undefined;
    } else {
      word = (word ?? "") + each;
    }
  }
  if (quote) throw new NotUnderstood(`A quote ${quote} is not closed`);
  if (word !== undefined) found.push(word);
  return found;
}

/** Return the word of an entry that tells what it runs. */
function guess(config: Record<string, unknown>): string {
  const place = config.url ?? config.httpUrl ?? config.serverUrl ?? config.openapi ?? config.rest_url;
  if (typeof place === "string") return URL.canParse(place) ? fromUrl(place).name : nameOf(place);
  const args = Array.isArray(config.args) ? config.args.map(String) : [];
  const all = [String(config.command), ...args].filter((each) => !each.startsWith("-"));
  return all.find((each) => !RUNNERS.has(base(each))) ?? all[0] ?? "server";
}

function base(word: string): string {
  return word.split("/").pop() ?? word;
}

/** Return a name for a server from the name of its package: `@scope/server-git@1.2` is `git`. */
export function nameOf(text: string): string {
  const plain = text.startsWith("@") ? text.slice(1) : text;
  const last = base(plain.replace(/@[^/@]*$/, "")).replace(/\.(py|js|mjs|ts|exe)$/, "");
  const short = last.replace(/^(mcp-server-|server-|mcp-)/, "").replace(/(-mcp-server|-mcp|-server)$/, "");
  return (
    short
      .toLowerCase()
      .replace(/[^a-z0-9_-]+/g, "-")
      .replace(/^-+|-+$/g, "") || "server"
  );
}
