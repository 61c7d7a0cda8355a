/** The commands that show pages in panels. */

import type { Call } from "@mcpgateway/core/calls";
import { clock, plain } from "@mcpgateway/core/words";
import type { Panels } from "../panels";
import { picked, rowOf, serverFor, toolFor } from "../picks";
import type { Command } from "../workbench";

const LATEST = 50;

/** Return the commands, by their names. */
export function pageCommands(panels: Panels): Record<string, Command> {
  const show = (kind: string, id: string, title = id) =>
    panels.show(`/ui/${kind}/${encodeURIComponent(id)}`, plain(title));
  return {
    "mcpgateway.showDetails": async (bench, row) => {
      const name = await serverFor(bench, row, "Show the details of which server?");
      if (name) show("servers", name);
    },
    "mcpgateway.tryTool": async (bench, row) => {
      const found = await toolFor(bench, row, "Try which tool?");
      if (found) show("tools", `${found.server}__${found.tool}`, found.tool);
    },
    "mcpgateway.showCall": async (bench, row) => {
      const id = rowOf(row)?.id.replace(/^call\//, "") ?? (await pickedCall(bench));
      if (id) show("calls", id);
    },
  };
}

const pickedCall = async (bench: Parameters<Command>[0]): Promise<string | undefined> => {
  const found = await bench.act("Asking for the calls", () =>
    bench.connection.api.get<{ records: Call[] }>(`/api/v1/activity?kind=call&limit=${LATEST}`),
  );
  const choices = [...(found?.records ?? [])].reverse().map((each) => ({
    label: plain(`${each.server} ${each.tool ?? each.method}`),
    description: `${clock(each.at)} ${each.outcome}`,
    value: each.id,
  }));
  return await picked("Show which call?", choices, "No tool was called yet");
};
