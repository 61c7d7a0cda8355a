/** What the tools of each server cost a model's context, and the tools that nobody has called for long. */

import type { ToolRow, Usage } from "@mcpgateway/core/model";
import { count, counted, plain, tokens } from "@mcpgateway/core/words";
import { offerAgain } from "../operations";
import { useResource } from "../resource";
import { ActButton, Section } from "./basics";
import { ServerLink } from "./server_link";
import { type Column, Table } from "./table";

const MONTH_MINUTES = 43_200;

interface Cost {
  server: string;
  tools: number;
  tokens: number;
  /** Those of the tools that the endpoint of all servers lists. */
  listed: number;
  never: ToolRow[];
}

const columnsOf = (reload: () => void): Column<Cost>[] => [
  {
    name: "server",
    title: "Server",
    by: (each) => each.server,
    show: (each) => <ServerLink name={each.server} />,
  },
  {
    name: "tools",
    title: "Tools",
    by: (each) => each.tools,
    show: (each) => count(each.tools),
    isNumber: true,
  },
  {
    name: "tokens",
    title: "Tokens",
    by: (each) => each.tokens,
    show: (each) => tokens(each.tokens),
    isNumber: true,
  },
  {
    name: "listed",
    title: "Listed at /mcp",
    by: (each) => each.listed,
    show: (each) => tokens(each.listed),
    isNumber: true,
    isMinor: true,
  },
  {
    name: "never",
    title: "Never called",
    by: (each) => each.never.length,
    show: (each) => (
      <>
        <span title={each.never.map((tool) => plain(tool.tool)).join(", ")}>{count(each.never.length)}</span>{" "}
        {each.never.length > 0 && <Off cost={each} then={reload} />}
      </>
    ),
    isNumber: true,
  },
];

function Off({ cost, then }: { cost: Cost; then: () => void }) {
  const { server, never } = cost;
  const many = counted(never.length, "tool");
  const undo = () => void offerAgain(never).then(then);
  const names = never.map((each) => plain(each.tool)).join(", ");
  return (
    <ActButton
      then={then}
      label={`Do not offer the tools of ${plain(server)} that were never called`}
      question={{
        title: `Do not offer ${many} of ${plain(server)}?`,
        effect: `Clients do not see these any more, and save ${tokens(sum(never))} tokens: ${names}. The page Tools offers them again.`,
        yes: "Do not offer",
      }}
      act={{
        method: "PATCH",
        path: "/api/v1/tools",
        body: { tools: never.map((each) => each.name), offered: false },
        done: () => ({ text: `${many} of ${plain(server)} not offered any more`, isError: false, undo }),
      }}
    >
      Do not offer
    </ActButton>
  );
}

export function ContextCost() {
  const { value: known, reload } = useResource<ToolRow[]>("/api/v1/tools?asked=false", { isLive: false });
  const { value: used } = useResource<Usage>(`/api/v1/usage?by=tool&minutes=${MONTH_MINUTES}`, {
    isLive: false,
  });
  if (!known || !used) return null;
  const called = new Set(used.items.map((each) => `${each.server} ${each.name}`));
  const costs = new Map<string, Cost>();
  for (const each of known) {
    if (!each.offered) continue;
    const cost = costs.get(each.server) ?? { server: each.server, tools: 0, tokens: 0, listed: 0, never: [] };
    cost.tools++;
    cost.tokens += each.tokens ?? 0;
    if (each.listed_on?.includes("/mcp")) cost.listed += each.tokens ?? 0;
    if (!called.has(`${each.server} ${each.tool}`)) cost.never.push(each);
    costs.set(each.server, cost);
  }
  return (
    <Section title="Cost in a model's context">
      <p class="quiet">
        The definitions of a server's tools, in tokens: a client that lists them pays them in every
        conversation. Never called are those of which the activity log has no call in 30 days.
      </p>
      <Table
        caption="Cost of servers' tools"
        columns={columnsOf(reload)}
        rows={[...costs.values()]}
        id={(each) => each.server}
        order={{ column: "tokens", isDescending: true }}
        empty="No server was asked for its tools yet."
      />
    </Section>
  );
}

function sum(tools: readonly ToolRow[]): number {
  return tools.reduce((whole, each) => whole + (each.tokens ?? 0), 0);
}
