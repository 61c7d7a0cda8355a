/** All servers. */

import { grouped } from "@mcpgateway/core/groups";
import type { Server } from "@mcpgateway/core/model";
import { look, rank } from "@mcpgateway/core/states";
import { matches } from "@mcpgateway/core/tables";
import { count, counted, duration, memory, placing, plain, tokens } from "@mcpgateway/core/words";
import { useLayoutEffect, useState } from "preact/hooks";
import { overview } from "../gateway";
import { rowKeys } from "../keys";
import { perform, starting, stopping, switching } from "../operations";
import { ActButton, Empty, Refused, State } from "../parts/basics";
import { BulkButtons, SELECTED } from "../parts/bulk";
import { Filter } from "../parts/filter";
import { distinct, named, Select } from "../parts/select";
import { ServerButtons } from "../parts/server_buttons";
import { ServerGroupPart } from "../parts/server_group";
import { type Column, Table } from "../parts/table";
import { useResource } from "../resource";
import { follow, to } from "../router";

const COLUMNS: Column<Server>[] = [
  {
    name: "name",
    title: "Server",
    by: (each) => each.name,
    show: (each) => (
      <a href={to("servers", each.name)} title={plain(each.runs)}>
        {plain(each.name)}
      </a>
    ),
  },
  {
    name: "state",
    title: "State",
    by: (each) => rank(each.state),
    show: (each) => <State state={each.state} />,
  },
  { name: "share", title: "Share", by: (each) => each.share, show: (each) => each.share, isMinor: true },
  {
    name: "nodes",
    title: "Nodes",
    by: (each) => each.nodes?.join() ?? "",
    show: (each) =>
      each.nodes ? (
        <span title={plain(placing(each))}>{plain(each.nodes.join(", ")) || "none"}</span>
      ) : (
        "each"
      ),
    isMinor: true,
  },
  {
    name: "sessions",
    title: "Sessions",
    by: (each) => each.sessions,
    show: (each) => count(each.sessions),
    isNumber: true,
  },
  {
    name: "calls",
    title: "Calls",
    by: (each) => each.tool_calls,
    show: (each) => count(each.tool_calls),
    isNumber: true,
  },
  {
    name: "errors",
    title: "Failed",
    by: (each) => each.call_errors,
    show: (each) => <span class={each.call_errors ? "bad" : undefined}>{count(each.call_errors)}</span>,
    isNumber: true,
    isMinor: true,
  },
  {
    name: "memory",
    title: "Memory",
    by: (each) => each.memory_mb,
    show: (each) => memory(each.memory_mb),
    isNumber: true,
    isMinor: true,
  },
  {
    name: "tools",
    title: "Tools",
    by: (each) => each.tool_count,
    show: (each) => count(each.tool_count),
    isNumber: true,
  },
  {
    name: "tokens",
    title: "Tokens",
    by: (each) => each.tool_tokens,
    show: (each) => tokens(each.tool_tokens),
    isNumber: true,
    isMinor: true,
  },
  {
    name: "restarts",
    title: "Restarts",
    by: (each) => each.restart_count,
    show: (each) => count(each.restart_count),
    isNumber: true,
    isMinor: true,
  },
  {
    name: "up",
    title: "Up for",
    by: (each) => (each.pids.length ? each.uptime_seconds : null),
    show: (each) => (each.pids.length ? duration(each.uptime_seconds) : duration(null)),
    isNumber: true,
    isMinor: true,
  },
  {
    name: "act",
    title: "Actions",
    show: (each) => <ServerButtons server={each} />,
  },
];

/** Whether a column can be left out. */
const isOptional = ({ name }: Column<Server>) => name !== "name" && name !== "act";
const KEY = "mcpgateway-columns-off";
const STOP = "Calls under way at them end. The next request of a client starts its server again.";

function leftOut(): string[] {
  try {
    return (localStorage.getItem(KEY) ?? "restarts").split(" ").filter(Boolean);
  } catch {
    return []; // a user may forbid storage
  }
}

/** Let keys act on the row with the focus. */
function useRowKeys(servers: readonly Server[]): void {
  const pressed = (key: string, id: string) => {
    const server = servers.find((each) => each.name === id);
    if (!server) return;
    const isUp = server.pids.length > 0;
    if (key === "l") void follow(to("servers", id, "logs"));
    else if (key === "d") void perform(switching(server));
    else if (key === "r" && server.enabled) void perform(starting(id, "Restart"));
    else if (key === "s" && server.enabled) void perform(isUp ? stopping(id) : starting(id, "Start"));
  };
  // An effect after the drawing would act on what was shown before.
  useLayoutEffect(() => {
    rowKeys.value = pressed;
    return () => {
      rowKeys.value = undefined;
    };
  }, [servers]);
}

export function ServersPage() {
  const { value, error } = useResource<Server[]>("/api/v1/servers?tools=false", { every_s: 10 });
  const [query, setQuery] = useState("");
  const [state, setState] = useState("");
  const [group, setGroup] = useState("");
  const [source, setSource] = useState("");
  const [client, setClient] = useState("");
  const [off, setOff] = useState(leftOut);
  const isPlaced = value?.some((each) => each.nodes);
  const columns = COLUMNS.filter((each) => each.name !== "nodes" || isPlaced);
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const servers = value ?? [];
  useRowKeys(servers);
  const clients = overview.value?.clients ?? [];
  const used = new Set(clients.filter((each) => each.name === client).flatMap((each) => each.servers));
  const shown = servers.filter(
    (each) =>
      (!state || look(each.state).word === state) &&
      (!group || each.group === group) &&
      (!source || each.source === source) &&
      (!client || used.has(each.name)) &&
      matches(`${each.name} ${each.title} ${each.group} ${each.runs} ${each.source}`, query),
  );
  const { groups, others } = grouped(shown);
  const table = (caption: string, rows: Server[]) => (
    <Table
      caption={caption}
      columns={columns.filter((each) => !off.includes(each.name))}
      rows={rows}
      id={(each) => each.name}
      order={{ column: "state", isDescending: false }}
      chosen={chosen}
      onChoose={setChosen}
      empty={
        servers.length ? (
          "No server matches."
        ) : (
          <Empty>
            No server is configured. <a href={to("add")}>Add one.</a>
          </Empty>
        )
      }
    />
  );
  const ordered = servers.map((each) => each.state).sort((one, other) => rank(one) - rank(other));
  const lists: [label: string, chosen: string, values: string[], choose: (value: string) => void][] = [
    ["Group", group, distinct(servers.map((each) => each.group)), setGroup],
    ["Source", source, distinct(servers.map((each) => each.source)), setSource],
    ["Client", client, distinct(clients.map((each) => each.name)), setClient],
  ];
  const selected = shown.filter((each) => chosen.has(each.name));
  const change = (name: string, isShown: boolean) => {
    const made = isShown ? off.filter((each) => each !== name) : [...off, name];
    setOff(made);
    try {
      if (made.length) localStorage.setItem(KEY, made.join(" "));
      else localStorage.removeItem(KEY);
    } catch {
      // The choice lasts as long as the page.
    }
  };
  const words = new Map(ordered.map((each) => [look(each).word, look(each)]));
  return (
    <>
      <header class="page">
        <h1>Servers</h1>
        <span class="buttons">
          <BulkButtons of="all" servers={shown} kinds={["start", "stop"]} isTold question={beforeStop} />
          {servers.some((each) => each.enabled && each.tool_count === null) && (
            <ActButton {...ASKING}>Ask for tools</ActButton>
          )}
          <a class="button primary" href={to("add")}>
            Add a server
          </a>
        </span>
      </header>
      {error && <Refused error={error} />}
      {servers.length > 0 && (
        <div class="filters">
          <Filter query={query} onQuery={setQuery} what="servers" />
          <ul class="pills" aria-label="Filter by state">
            {[...words.values()].map(({ word, tone }) => {
              const many = servers.filter((each) => look(each.state).word === word).length;
              return (
                <li key={word}>
                  <button
                    type="button"
                    class={`pill ${tone}`}
                    aria-pressed={state === word}
                    onClick={() => setState(state === word ? "" : word)}
                  >
                    {word} {count(many)}
                  </button>
                </li>
              );
            })}
          </ul>
          {lists.map(
            ([label, chosen, values, choose]) =>
              values.length > 0 && (
                <Select key={label} label={label} value={chosen} values={named(values)} onValue={choose} />
              ),
          )}
          <details class="columns">
            <summary>Columns</summary>
            <fieldset aria-label="Columns">
              {columns.filter(isOptional).map(({ name, title }) => (
                <label key={name} class="check">
                  <input
                    type="checkbox"
                    checked={!off.includes(name)}
                    onChange={(event) => change(name, event.currentTarget.checked)}
                  />
                  {title}
                </label>
              ))}
            </fieldset>
          </details>
          <span class="quiet" role="status">
            {counted(shown.length, "server")}
            {selected.length > 0 && `, ${count(selected.length)} selected`}
          </span>
          <BulkButtons of={SELECTED} servers={selected} kinds={["start", "restart", "stop", "off", "on"]} />
        </div>
      )}
      {groups.map((each) => (
        <ServerGroupPart
          key={`${each.title} ${each.name}`}
          group={each}
          isOpen={Boolean(query || state || group || source || client)}
        >
          {table(`Servers of ${each.name}`, each.servers)}
        </ServerGroupPart>
      ))}
      {value && (others.length > 0 || !groups.length) && table("Servers", others)}
    </>
  );
}

const ASKING = {
  label: "Ask for tools of all servers",
  act: { method: "POST", path: "/api/v1/discover", body: {}, done: "The servers are asked for their tools" },
} as const;

function beforeStop(word: string, many: number) {
  if (word !== "Stop") return undefined;
  return { title: `Stop ${counted(many, "server")}?`, effect: STOP, yes: "Stop all" };
}
