/** Calls in the background, which clients begin with `gateway_invoke_async`. */

import type { Job } from "@mcpgateway/core/model";
import { clock, duration, plain, UNKNOWN } from "@mcpgateway/core/words";
import { useResource } from "../resource";
import { ActButton, Empty, Refused, Section } from "./basics";
import { type Column, Table } from "./table";

const COLUMNS: Column<Job>[] = [
  { name: "tool", title: "Tool", by: (each) => each.tool, show: (each) => <code>{plain(each.tool)}</code> },
  {
    name: "status",
    title: "Status",
    by: (each) => each.status,
    show: (each) => (
      <span class={each.status === "failed" ? "bad" : undefined} title={plain(each.error)}>
        {each.status}
      </span>
    ),
  },
  {
    name: "created",
    title: "Begun",
    by: (each) => each.created_at,
    show: (each) => <time dateTime={each.created_at}>{clock(each.created_at)}</time>,
  },
  { name: "took", title: "Took", show: (each) => took(each), isNumber: true },
  {
    name: "acts",
    title: "Actions",
    show: (each) =>
      each.finished_at === null && (
        <ActButton
          label={`Cancel ${plain(each.tool)}, begun at ${clock(each.created_at)}`}
          act={{
            method: "DELETE",
            path: `/api/v1/jobs/${encodeURIComponent(each.id)}`,
            done: `${plain(each.tool)} is cancelled`,
          }}
        >
          Cancel
        </ActButton>
      ),
  },
];

function took({ started_at, finished_at }: Job): string {
  if (started_at === null || finished_at === null) return UNKNOWN;
  return duration((Date.parse(finished_at) - Date.parse(started_at)) / 1000);
}

export function JobsSection() {
  const { value, error } = useResource<{ items: Job[] }>("/api/v1/jobs", { every_s: 10 });
  return (
    <Section title="Calls in the background">
      {error && <Refused error={error} />}
      {value && (
        <Table
          caption="Calls in the background"
          columns={COLUMNS}
          rows={value.items}
          id={(each) => each.id}
          order={{ column: "created", isDescending: true }}
          empty={<Empty>No client has begun one: the tool gateway_invoke_async does.</Empty>}
        />
      )}
    </Section>
  );
}
