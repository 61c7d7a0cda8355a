/** The table of sessions. */

import type { LooseClient, Session } from "@mcpgateway/core/model";
import { count, duration, plain, UNKNOWN } from "@mcpgateway/core/words";
import { ActButton } from "./basics";
import { type Column, Table } from "./table";

/** Who a client is and where: the columns of clients with a session, and of those without. */
function who<T extends Session | LooseClient>(): Column<T>[] {
  return [
    {
      name: "client",
      title: "Client",
      by: (each) => each.client.name ?? "",
      show: (each) => (
        <>
          {plain(each.client.name || "a client without a name")}{" "}
          <span class="quiet">{plain(each.client.version ?? "")}</span>
        </>
      ),
    },
    { name: "server", title: "Server", by: (each) => each.server, show: (each) => plain(each.server) },
    {
      name: "workspace",
      title: "Directory",
      by: (each) => each.workspace,
      show: (each) => plain(each.workspace || UNKNOWN),
      isMinor: true,
    },
    {
      name: "pid",
      title: "Process",
      by: (each) => each.pid,
      show: (each) => each.pid ?? UNKNOWN,
      isNumber: true,
      isMinor: true,
    },
  ];
}

const WITHOUT: Column<LooseClient>[] = [
  ...who<LooseClient>(),
  {
    name: "requests",
    title: "Requests",
    by: (each) => each.requests,
    show: (each) => count(each.requests),
    isNumber: true,
    isMinor: true,
  },
  {
    name: "calls",
    title: "Calls of tools",
    by: (each) => each.calls,
    show: (each) => count(each.calls),
    isNumber: true,
  },
  {
    name: "seen",
    title: "Seen",
    by: (each) => each.idle_seconds,
    show: (each) => `${duration(each.idle_seconds)} ago`,
    isNumber: true,
  },
];

const COLUMNS: Column<Session>[] = [
  ...who<Session>(),
  {
    name: "revision",
    title: "Revision",
    by: (each) => each.revision,
    show: (each) => each.revision,
    isMinor: true,
  },
  {
    name: "calls",
    title: "Calls under way",
    by: (each) => each.calls,
    show: (each) => count(each.calls),
    isNumber: true,
  },
  {
    name: "idle",
    title: "Idle for",
    by: (each) => each.idle_seconds,
    show: (each) => duration(each.idle_seconds),
    isNumber: true,
  },
  {
    name: "act",
    title: "Actions",
    show: (each) => (
      <ActButton
        label={`End the session of ${each.client.name ?? "a client"} with ${each.server}`}
        act={{
          method: "DELETE",
          path: `/api/v1/sessions/${encodeURIComponent(each.id)}`,
          done: "The session is ended",
        }}
      >
        End
      </ActButton>
    ),
  },
];

export function SessionTable({ sessions, empty }: { sessions: Session[]; empty: string }) {
  return (
    <Table
      caption="Table of sessions"
      columns={COLUMNS}
      rows={sessions}
      id={(each) => each.id}
      order={{ column: "idle", isDescending: false }}
      empty={empty}
    />
  );
}

/** The clients without a session that were seen lately; nothing where there is none. */
export function LooseClients({ clients }: { clients: LooseClient[] }) {
  if (!clients.length) return null;
  return (
    <>
      <h3>Without a session</h3>
      <p class="quiet">Clients of MCP 2026-07-28 need none: each request says whose it is.</p>
      <Table
        caption="Clients without a session"
        columns={WITHOUT}
        rows={clients}
        id={(each) => [each.client.name, each.server, each.workspace, each.principal, each.pid].join(" ")}
        order={{ column: "seen", isDescending: false }}
        empty=""
      />
    </>
  );
}
