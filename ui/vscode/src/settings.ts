/** The settings of the extension, each also by the name that it has in the extension of blicksten/mcp-gateway. */

/** The values of one setting, as VS Code keeps them. */
export interface Inspected {
  defaultValue?: unknown;
  globalValue?: unknown;
  workspaceValue?: unknown;
  workspaceFolderValue?: unknown;
}

/** Looks a setting up by its full name. */
export type Inspect = (name: string) => Inspected | undefined;

export interface Settings {
  url: string;
  home: string;
  path: string;
  tokenFile: string;
  autoStart: boolean;
  pollInterval: number;
  statusBar: "always" | "attention" | "never";
  groupsView: "inline" | "own";
  offerToChat: string;
}

interface Declared {
  name: string;
  older?: string;
  /** Whether a workspace may set it: never where the gateway and its program are, nor a file that is read. */
  isOfWorkspace?: boolean;
}

const DECLARED: Record<keyof Settings, Declared> = {
  url: { name: "mcpgateway.url", older: "mcpGateway.apiUrl" },
  home: { name: "mcpgateway.home" },
  path: { name: "mcpgateway.path", older: "mcpGateway.daemonPath" },
  tokenFile: { name: "mcpgateway.tokenFile", older: "mcpGateway.authTokenPath" },
  autoStart: { name: "mcpgateway.autoStart", older: "mcpGateway.autoStart" },
  pollInterval: { name: "mcpgateway.pollInterval", older: "mcpGateway.pollInterval", isOfWorkspace: true },
  statusBar: { name: "mcpgateway.statusBar", isOfWorkspace: true },
  groupsView: { name: "mcpgateway.groups.view", isOfWorkspace: true },
  offerToChat: { name: "mcpgateway.offerToChat", isOfWorkspace: true },
};

const DEFAULTS: Settings = {
  url: "",
  home: "",
  path: "",
  tokenFile: "",
  autoStart: false,
  pollInterval: 5000,
  statusBar: "always",
  groupsView: "inline",
  offerToChat: "hybrid",
};

const SHORTEST_MS = 1000;
const LONGEST_MS = 600_000;

/** Return the settings that count: those of the user, then the older names, then the defaults. */
export function settingsFrom(inspect: Inspect): Settings {
  const found: Record<string, unknown> = {};
  for (const [key, { name, older, isOfWorkspace = false }] of Object.entries(DECLARED)) {
    const fallback = DEFAULTS[key as keyof Settings];
    const values = [name, older].map((each) => each && chosen(inspect(each), isOfWorkspace));
    const fits = values.find((each) => typeof each === typeof fallback);
    found[key] = typeof fits === "string" ? fits.trim() : (fits ?? fallback);
  }
  const settings = found as unknown as Settings;
  const interval = Math.min(Math.max(settings.pollInterval, SHORTEST_MS), LONGEST_MS);
  return { ...settings, pollInterval: Number.isFinite(interval) ? interval : DEFAULTS.pollInterval };
}

function chosen(values: Inspected | undefined, isOfWorkspace: boolean): unknown {
  if (!values) return undefined;
  const { workspaceFolderValue, workspaceValue, globalValue } = values;
  return isOfWorkspace ? (workspaceFolderValue ?? workspaceValue ?? globalValue) : globalValue;
}
