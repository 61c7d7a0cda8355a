/** All servers. */

import { grouped } from "@mcpgateway/core/groups";
import type { Server } from "@mcpgateway/core/model";
import { look, rank } from "@mcpgateway/core/states";
import { matches } from "@mcpgateway/core/tables";
import { count, counted, duration, memory, plain, tokens } from "@mcpgateway/core/words";
import { useState } from "preact/hooks";
import { Empty, Refused, State } from "../parts/basics";
import { Filter } from "../parts/filter";
import { ServerButtons } from "../parts/server_buttons";
import { ServerGroupPart } from "../parts/server_group";
import { type Column, Table } from "../parts/table";
import { useResource } from "../resource";
import { to } from "../router";

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

export function ServersPage() {
  const { value, error } = useResource<Server[]>("/api/v1/servers?tools=false", { every_s: 10 });
  const [query, setQuery] = useState("");
  const [state, setState] = useState("");
  const servers = value ?? [];
  const shown = servers.filter(
    (each) =>
      (!state || look(each.state).word === state) &&
      matches(`${each.name} ${each.title} ${each.group} ${each.runs} ${each.source}`, query),
  );
  const { groups, others } = grouped(shown);
  const table = (caption: string, rows: Server[]) => (
    <Table
      caption={caption}
      columns={COLUMNS}
      rows={rows}
      id={(each) => each.name}
      order={{ column: "state", isDescending: false }}
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
  const words = new Map(ordered.map((each) => [look(each).word, look(each)]));
  return (
    <>
      <header class="page">
        <h1>Servers</h1>
        <a class="button primary" href={to("add")}>
          Add a server
        </a>
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
          <span class="quiet" role="status">
            {counted(shown.length, "server")}
          </span>
        </div>
      )}
      {groups.map((each) => (
        <ServerGroupPart key={`${each.title} ${each.name}`} group={each} isOpen={Boolean(query || state)}>
          {table(`Servers of ${each.name}`, each.servers)}
        </ServerGroupPart>
      ))}
      {value && (others.length > 0 || !groups.length) && table("Servers", others)}
    </>
  );
}
