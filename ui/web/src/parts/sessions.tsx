/** The table of sessions. */

import type { Session } from "@mcpgateway/core/model";
import { count, duration, plain, UNKNOWN } from "@mcpgateway/core/words";
import { ActButton } from "./basics";
import { type Column, Table } from "./table";

const COLUMNS: Column<Session>[] = [
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
