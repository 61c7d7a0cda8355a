/** The commands about tools. */

import { toolFor } from "../picks";
import type { Command } from "../workbench";

function offering(isOffered: boolean): Command {
  return async (bench, row) => {
    const found = await toolFor(bench, row, isOffered ? "Offer which tool?" : "Offer which tool no more?");
    if (!found) return;
    const body = { tools: [`${found.server}__${found.tool}`], offered: isOffered };
    const done = await bench.act(`Changing ${found.tool}`, () =>
      bench.connection.api.send<object>("PATCH", "/api/v1/tools", body),
    );
    if (!done) return;
    bench.done(`${found.tool} is ${isOffered ? "offered" : "not offered"} to clients`);
    bench.trees.servers.refresh();
  };
}

export const TOOL_COMMANDS: Record<string, Command> = {
  "mcpgateway.offerTool": offering(true),
  "mcpgateway.hideTool": offering(false),
};
