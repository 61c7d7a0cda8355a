/** What the palette offers: pages, servers, tools and clients to go to, and operations on them. */

import type {
  DetectedClient,
  EnrolledFile,
  Overview,
  Server,
  Session,
  ToolRow,
} from "@mcpgateway/core/model";
import { setting } from "@mcpgateway/core/operations";
import type { Entry } from "@mcpgateway/core/palette";
import { look } from "@mcpgateway/core/states";
import { plain } from "@mcpgateway/core/words";
import { type Notice, unlock } from "./act";
import { opened } from "./keys";
import * as operations from "./operations";
import { signOut } from "./parts/unlock";
import { follow, to } from "./router";
import { signed } from "./session";
import { switchTheme } from "./theme";

/** A row of the palette, and what it does. */
export interface Choice extends Entry {
  /** What stands behind it. */
  note: string;
  run: () => unknown;
}

const PAGES: [page: string, title: string, words: string][] = [
  ["", "Overview", "home status verdict health"],
  ["servers", "Servers", "list"],
  ["tools", "Tools", "list offer"],
  ["calls", "Calls", "activity history log"],
  ["clients", "Clients", "enrol restore files approvals sessions"],
  ["usage", "Usage", "savings cost tokens"],
  ["access", "Access", "tokens sign-ins revoke"],
  ["nodes", "Nodes", "cluster drain store"],
  ["gateway", "Gateway", "doctor findings log settings configuration events"],
];
const TABS: [tab: string, text: string, words: string][] = [
  ["logs", "Log", "stderr output"],
  ["tools", "Tools", ""],
  ["calls", "Calls", "activity"],
  ["sessions", "Sessions", "clients"],
  ["prompts", "Prompts", ""],
  ["resources", "Resources", ""],
  ["settings", "Settings", "edit configuration environment"],
];

/** What is known of the gateway so far. */
export interface Known {
  overview: Overview | undefined;
  /** The outcome of the latest act. */
  notice: Notice | undefined;
  servers: readonly Server[];
  tools: readonly ToolRow[];
  detected: readonly DetectedClient[];
  sessions: readonly Session[];
}

/** Return all rows, first those that help where the user is needed. */
export function choices({ overview, notice, servers, tools, detected, sessions }: Known): Choice[] {
  return [
    ...(notice?.undo ? [does(plain(`Undo: ${notice.text}`), notice.undo, "back")] : []),
    ...servers.flatMap(remedies),
    ...PAGES.filter(([page]) => page !== "nodes" || overview?.cluster).map(([page, text, words]) =>
      lead("page", text, page ? to(page) : to(), "page", words),
    ),
    ...onGateway(overview),
    ...servers.map(({ name, state, title }) =>
      lead("server", plain(name), to("servers", name), look(state).word, title),
    ),
    ...servers.flatMap(onServer),
    ...clients(overview?.clients ?? [], detected, sessions),
    ...tools.map(({ name, tool, server }) =>
      lead("tool", plain(tool), to("tools", name), `tool of ${plain(server)}`, `${server} ${name}`),
    ),
  ];
}

/** Return a row for each client: those whose files use the gateway, those that could, and those with a session. */
function clients(
  files: readonly EnrolledFile[],
  detected: readonly DetectedClient[],
  sessions: readonly Session[],
): Choice[] {
  const enrolled = new Set(files.map((each) => each.path));
  const others = detected.filter((each) => !enrolled.has(each.configPath));
  const here = new Set(sessions.map((each) => each.client.name ?? ""));
  return [
    ...files.map(({ name, path }) => lead("client", plain(name), to("clients"), "client", path)),
    ...others.map(({ tool, configPath }) =>
      lead("client", plain(tool), to("clients"), "client without the gateway", configPath),
    ),
    ...[...here]
      .filter(Boolean)
      .map((name) => lead("client", plain(name), to("clients"), "client with a session")),
  ];
}

function lead(kind: Entry["kind"], text: string, address: string, note: string, words = ""): Choice {
  return { kind, text, note, words, run: () => follow(address) };
}

function does(text: string, run: () => unknown, words = ""): Choice {
  return { kind: "action", text, note: "action", words, run };
}

function operate(operation: operations.Operation, words = ""): Choice {
  return does(plain(operation.label), () => operations.perform(operation), words);
}

function remedies({ name, need, pids }: Server): Choice[] {
  if (need?.action === "sign-in")
    return [
      does(plain(operations.signingIn(name).label), async () => {
        // Its page has the button, where the browser keeps the tab from being opened.
        await follow(to("servers", name));
        await operations.signIn(name);
      }),
    ];
  const set =
    need?.action === "set" && `${to("servers", name, "settings")}?key=${encodeURIComponent(need.key)}`;
  return [
    ...(set ? [lead("action", plain(`${setting(need.key)} of ${name}`), set, "action")] : []),
    ...(need && !pids.length
      ? [does(plain(operations.resetting(name).label), () => operations.tryAgain(name), "retry")]
      : []),
  ];
}

function onServer(server: Server): Choice[] {
  const { name, enabled: isEnabled, pids, need } = server;
  const isUp = pids.length > 0;
  return [
    ...(isEnabled && (isUp || !need) ? [operate(operations.starting(name, isUp ? "Restart" : "Start"))] : []),
    ...(isEnabled && isUp ? [operate(operations.stopping(name))] : []),
    operate(operations.switching(server), isEnabled ? "disable" : "enable"),
    ...TABS.map(([tab, text, words]) =>
      lead("tab", `${text} of ${plain(name)}`, to("servers", name, tab), "page", words),
    ),
  ];
}

function onGateway(overview: Overview | undefined): Choice[] {
  const showKeys = () => {
    opened.value = "keys";
  };
  const sessions = overview?.sessions ?? 0;
  return [
    lead("action", "Add a server", to("add"), "action", "install catalogue paste new"),
    signed.value.token
      ? does("Sign out", signOut, "lock")
      : does("Unlock the dashboard", () => unlock("operate"), "sign in"),
    does("Switch the theme", switchTheme, "light dark colours"),
    does("Show the keys", showKeys, "keyboard shortcuts help"),
    operate(operations.restartingGateway(sessions), "upgrade"),
    operate(operations.switchingGateway(overview?.disabled ?? false)),
    operate(operations.shuttingDown(sessions), "stop end"),
  ];
}
