/** The answers of the gateway's REST API that the pages read; `GET /api/v1/openapi.json` describes them whole. */

/** A fault and its remedy. */
export interface Remedy {
  cause: string;
  says: string;
  do: string;
  /** What a page can do about it: `set` sets the key of the server's entry. */
  action: "sign-in" | "set" | "";
  /** The dotted key of the server's entry, such as `env.API_KEY`. */
  key: string;
}

/** Something that needs the gateway's user, worst first. */
export interface Need extends Remedy {
  /** Stays the same for as long as the need is there. */
  id: string;
  level: "error" | "warning";
  since: string;
  kind: "gateway" | "server" | "file";
  name: string;
  /** The command at the end of `do`; empty for none. */
  run: string;
  /** What the buttons of a page do about it, the best first: a request, or another page. */
  actions: { label: string; method?: "POST"; path?: string; page?: string }[];
}

/** A server's part of the overview. */
export interface OverviewServer {
  name: string;
  title: string;
  transport: string;
  share: string;
  /** The word for its status, which tells a server that has failed from one that is switched off. */
  state: string;
  last_error: string;
  pids: number[];
  sessions: number;
  calls: number;
  requests: number;
  tool_calls: number;
  restart_count: number;
  uptime_seconds: number;
  next_try_s: number | null;
  project: string;
}

/** `GET /api/v1/overview`: the verdict, and the numbers of the gateway. */
export interface Overview {
  ok: boolean;
  verdict: string;
  needs: Need[];
  status: string;
  disabled: boolean;
  servers: number;
  running: number;
  sessions: number;
  calls: number;
  auth: string;
  started_at: string;
  uptime_seconds: number;
  version: string;
  memory_mb: number;
  config: { ok: boolean; warnings: number; loaded_at: string };
  clients: EnrolledFile[];
  /** The addresses at which the gateway listens. */
  listeners?: string[];
  backends: OverviewServer[];
  /** The calls of the latest sixty minutes, oldest first; times in milliseconds. */
  calls60: { since: number; known_since: number; calls: number[]; failed: number[] };
  /** What sharing saves; the memory is null until it was measured. */
  saved: { processes: number; memory_mb: number | null; tokens_today: number };
  /** Of a node of a cluster: its name, whether it reaches the store, and the number of live nodes. */
  cluster?: { node: string; store: "up" | "lost"; nodes: number };
  /** The clients that are here, by their names. */
  who: { name: string; sessions: number; places: string[] }[];
}

/** A client's file that uses the gateway. */
export interface EnrolledFile {
  name: string;
  path: string;
  mode: string;
  servers: string[];
  suspended: boolean;
}

/** A client of this machine in `GET /clients/detect`. */
export interface DetectedClient {
  tool: string;
  configPath: string;
  title?: string;
  /** Its files, with the number of servers of each kind. */
  files?: { path: string; servers: Record<string, number> }[];
}

/** A node in `GET /api/v1/cluster`; its times in seconds since the epoch. */
export interface ClusterNode {
  name: string;
  state: "serving" | "draining" | "left" | "gone" | "unknown";
  /** Where other nodes reach it, and where clients do. */
  address: string;
  clients: string;
  labels: string[];
  version: string;
  sessions: number;
  /** The servers with one instance whose process it runs for all nodes. */
  sole?: string[];
  since: number;
  seen?: number | null;
}

/** `GET /api/v1/cluster`: the nodes; `node` is the one that answers, and empty for a gateway that is alone. */
export interface Cluster {
  node: string;
  store?: "up" | "lost";
  /** Whether the node counts as alive for the others. */
  member?: boolean;
  /** Only where the node does not join: why. */
  refused?: string;
  /** Only while the store is lost: since when, and when the node begins to refuse tokens; null for never. */
  lost_since?: string;
  tokens_until?: string | null;
  items: ClusterNode[];
}

/** `GET /api/v1/servers`: a server. */
export interface Server {
  name: string;
  title: string;
  /** As in the overview. */
  state: string;
  transport: string;
  enabled: boolean;
  share: string;
  /** null: the server was never asked. */
  tool_count: number | null;
  restart_count: number;
  uptime_seconds: number;
  next_try_s: number | null;
  sessions: number;
  calls: number;
  requests: number;
  tool_calls: number;
  /** The calls of tools that failed. */
  call_errors: number;
  /** The size of its tools' definitions; null where it was not asked for them yet. */
  tool_tokens: number | null;
  endpoint: string;
  pids: number[];
  /** null: no process of it runs on this machine. */
  memory_mb: number | null;
  runs: string;
  source: string;
  /** The line of its entry there; only in the answer for one server. */
  source_line?: number | null;
  calls_1h?: number;
  errors_1h?: number;
  /** 95 % of its latest calls took no longer. */
  p95_ms?: number | null;
  is_own: boolean;
  project: string;
  /** Empty: it is in no group. */
  group: string;
  group_title: string;
  /** Of a server that not every node of a cluster runs: `nodes` run it, or may run it where they have the labels. */
  instances?: "each" | "one";
  on?: string[];
  nodes?: string[];
  /** The cause for which its next call could not start it, or that needs the user otherwise. */
  need?: Remedy;
  tools?: Tool[];
}

export interface Tool {
  name: string;
  description: string;
  server: string;
  input_schema: unknown;
}

/** A cause of a server's state in `GET /api/v1/servers/{name}/why`. */
export interface Advice extends Remedy {
  trouble: boolean;
}

export interface Why {
  server: string;
  state: string;
  ok: boolean;
  verdict: string;
  advice: Advice[];
  history: { at: string; event: string; text: string; times: number }[];
  launch?: { command?: string[]; cwd?: string | null; program?: string | null; env?: string[] };
  source?: string;
  share_reason?: string;
  stderr?: string[];
  /** The unexpected ends of the last hour, the oldest first. */
  crashes?: { at: string; text: string; line: string }[];
  next_try_s?: number | null;
}

/** An event of the gateway. */
export interface GatewayEvent {
  time: string;
  level: string;
  event: string;
  text: string;
  server?: string;
}

/** A client's session. */
export interface Session {
  id: string;
  server: string;
  servers: string[];
  client: { name?: string; version?: string };
  principal: string;
  pid: number | null;
  workspace: string;
  revision: string;
  began_at: string;
  idle_seconds: number;
  calls: number;
  streams: number;
}

/** A client that needs no session, at one endpoint. */
export interface LooseClient {
  server: string;
  client: { name?: string; version?: string };
  principal: string;
  pid: number | null;
  workspace: string;
  last_activity_at: string;
  idle_seconds: number;
  requests: number;
  calls: number;
}

/** `GET /api/v1/sessions`. */
export interface Sessions {
  sessions: Session[];
  without: LooseClient[];
}

/** A minute of `GET /api/health/stats`. */
export interface Minute {
  minuteTs: number;
  requests: number;
  errors: number;
  totalMs: number;
  /** The calls of tools among the requests. */
  calls: number;
  callErrors: number;
  perServer: Record<string, number>;
}

/** The calls of a row, or of all, in `GET /api/v1/usage`. */
export interface CallCounts {
  calls: number;
  failed: number;
  refused: number;
  sessions: number;
  total_ms: number;
  p50_ms: number | null;
  p95_ms: number | null;
  last_at: string;
  /** The size of the servers' answers. */
  result_tokens: number;
}

/** A row of the usage; the most called ones have the calls of each step. */
export interface UsageRow extends CallCounts {
  name: string;
  server?: string;
  series?: number[];
}

/** The answer to `GET /api/v1/usage`. */
export interface Usage extends CallCounts {
  by: string;
  minutes: number;
  since: string;
  /** The activity log goes back to this time. */
  known_since: string;
  items: UsageRow[];
  series: { at: string; calls: number; failed: number }[];
}

/** The numbers of one tool in `GET /api/health/stats`. */
export interface ToolNumbers {
  server: string;
  calls: number;
  errors: number;
  /** Between 0 and 1. */
  errorRate: number;
  totalMs: number;
  avgMs: number;
  p99Ms: number;
  lastCalledAt: number;
}

export interface Stats {
  uptimeSeconds: number;
  totalRequests: number;
  totalErrors: number;
  totalCalls: number;
  totalCallErrors: number;
  toolStats: Record<string, ToolNumbers>;
  timeline: Minute[];
  /** The calls are known from this time on. */
  timelineSince: number;
}

export interface Savings {
  processes: { without: number; running: number; saved: number };
  memory: { saved_mb: number; running_mb: number; gateway_mb: number };
  tokens: { total: number; today: number };
}

/** `GET /api/v1/tools/{id}`: the complete description of a tool. */
export interface ToolDescription {
  id: string;
  server: string;
  name: string;
  title?: string;
  description?: string;
  inputSchema: unknown;
  outputSchema: unknown;
  annotations?: Record<string, unknown>;
  execution?: { taskSupport?: string };
  /** What it does to its server: `read`, `write` or `destructive`. */
  tier: string;
}

/** `GET /api/v1/tools`: a tool, and what is known of its use. */
export interface ToolRow {
  /** Its id at the endpoint of all servers. */
  name: string;
  /** Its own name at its server. */
  tool: string;
  description: string;
  server: string;
  offered: boolean;
  /** Whether it is listed before others. */
  pinned?: boolean;
  /** Whether only a session of the page has listed it, as a client that answers questions. */
  is_more?: boolean;
  tier?: string;
  tokens?: number;
  calls?: number;
  errors?: number;
  /** The endpoints for several servers that list it. */
  listed_on?: string[];
}

/** `GET /api/v1/views`: an endpoint for several servers. Of one view alone, `listed` and `beyond` name its tools. */
export interface View {
  name: string;
  path: string;
  kind: string;
  /** The profile that it shows, or empty. */
  profile: string;
  servers: string[];
  /** The servers whose tools are not known yet. */
  unknown: string[];
  tools: number;
  tokens: number;
  all_tools: number;
  all_tokens: number;
  /** It changes with the list of tools. */
  topology?: string;
  listed?: string[];
  beyond?: string[];
}

/** `GET /api/v1/profiles`: a profile. */
export interface Profile {
  name: string;
  path: string;
  servers: string[];
  /** The servers that it defines itself. */
  own: string[];
  include: string[];
  tools_off: string[];
  capabilities: string[];
  variables: string[];
  description: string;
}

/** `GET /api/v1/jobs`: a call in the background. */
export interface Job {
  id: string;
  status: string;
  tool: string;
  created_at: string;
  started_at: string | null;
  finished_at: string | null;
  error: string;
}

/** `GET /api/v1/series`: the numbers of a minute; the sizes are null where the gateway did not run. */
export interface SeriesMinute {
  at: string;
  requests: number;
  errors: number | null;
  calls: number | null;
  memory_mb: number | null;
  processes: number | null;
  sessions: number | null;
}
