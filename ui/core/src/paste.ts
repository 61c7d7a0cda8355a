/** What a user pastes to add a server: a URL, a command line, or the JSON of another client's file. */

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
const MEMBERS = ["mcpServers", "servers", "context_servers"];

/**
 * Return the servers that a text defines.
 *
 * @throws NotUnderstood the text is no URL, no command and no JSON with servers.
 */
export function pasted(text: string): Definition[] {
  const given = text.trim().replace(/^\$\s+/, "");
  if (!given) throw new NotUnderstood("Paste a URL, a command, or JSON with mcpServers");
  if (given.startsWith("{") || given.startsWith('"')) return fromJson(given);
  if (/^https?:\/\//i.test(given)) return [fromUrl(given)];
  return [fromCommand(given)];
}

function fromUrl(text: string): Definition {
  if (!URL.canParse(text)) throw new NotUnderstood(`${text} is no URL`);
  const labels = new URL(text).hostname.split(".").filter((each) => !["www", "mcp", "api"].includes(each));
  return { name: nameOf(labels[0] ?? "remote"), config: { url: text } };
}

function fromJson(text: string): Definition[] {
  let value: unknown;
  try {
    value = JSON.parse(text.startsWith("{") ? text : `{${text.replace(/,\s*$/, "")}}`);
  } catch (why) {
    throw new NotUnderstood(`The JSON is broken: ${why instanceof Error ? why.message : why}`);
  }
  const outer = value as Record<string, unknown>;
  const inner = MEMBERS.map((each) => outer[each]).find(isObject) ?? outer;
  if (isEntry(inner)) return [{ name: nameOf(guess(inner)), config: inner }];
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
  return isObject(value) && (typeof value.command === "string" || typeof value.url === "string");
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
  if (typeof config.url === "string") return fromUrl(config.url).name;
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
