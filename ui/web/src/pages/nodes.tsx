/** The nodes of the cluster: their states, draining one, and what waits while the store is gone. */

import type { Cluster, ClusterNode } from "@mcpgateway/core/model";
import { rank } from "@mcpgateway/core/states";
import { clock, count, counted, duration, plain, UNKNOWN } from "@mcpgateway/core/words";
import { Fragment } from "preact";
import { now } from "../gateway";
import { draining } from "../operations";
import { ActButton, Command, Empty, Refused, State } from "../parts/basics";
import { ServerLink } from "../parts/server_link";
import { type Column, Table } from "../parts/table";
import { useResource } from "../resource";

const EVERY_S = 3;
const LIVE_S = 15; // a node that renews its row was seen at most so long ago

export function NodesPage() {
  const { value, error } = useResource<Cluster>("/api/v1/cluster", { every_s: EVERY_S });
  return (
    <>
      <header class="page">
        <h1>Nodes</h1>
      </header>
      {error && <Refused error={error} />}
      {!value && !error && <p role="status">Asking the gateway.</p>}
      {value && (value.node ? <Nodes cluster={value} /> : <Alone />)}
    </>
  );
}

function Alone() {
  return (
    <Empty>
      This gateway is no node of a cluster. <Command text="mcpgateway cluster init" /> makes it one.
    </Empty>
  );
}

function Nodes({ cluster }: { cluster: Cluster }) {
  const { items, node } = cluster;
  const serving = items.filter((each) => each.state === "serving");
  return (
    <>
      <Trouble cluster={cluster} />
      <Table
        caption="Nodes"
        columns={columns(node, serving.length).filter(
          (each) => each.name !== "sole" || items.some(({ sole }) => sole?.length),
        )}
        rows={items}
        id={(each) => each.name}
        order={{ column: "name", isDescending: false }}
        empty={<Empty>No node is known yet.</Empty>}
      />
      <p class="quiet">
        {counted(serving.length, "node takes", "nodes take")} clients. A node that is drained gives its
        clients to others, such as before an upgrade; <Command text="mcpgateway cluster drain" /> does the
        same.
      </p>
    </>
  );
}

function columns(here: string, serving: number): Column<ClusterNode>[] {
  const ago = (seconds: number) => now.value / 1000 - seconds;
  return [
    {
      name: "name",
      title: "Node",
      by: (each) => each.name,
      show: (each) => (
        <>
          {plain(each.name)} {each.name === here && <span class="quiet">(this one)</span>}
        </>
      ),
    },
    {
      name: "state",
      title: "State",
      by: (each) => rank(each.state),
      show: (each) => <State state={each.state} />,
    },
    {
      name: "sessions",
      title: "Sessions",
      by: (each) => each.sessions,
      show: (each) => count(each.sessions),
      isNumber: true,
    },
    {
      name: "clients",
      title: "For clients",
      by: (each) => each.clients,
      show: (each) => <code>{plain(each.clients || UNKNOWN)}</code>,
    },
    {
      name: "address",
      title: "For nodes",
      by: (each) => each.address,
      show: (each) => <code>{plain(each.address)}</code>,
      isMinor: true,
    },
    {
      name: "sole",
      title: "Runs for all",
      show: ({ sole = [] }) =>
        sole.map((each) => (
          <Fragment key={each}>
            <ServerLink name={each} />{" "}
          </Fragment>
        )),
    },
    { name: "version", title: "Version", by: (each) => each.version, show: (each) => plain(each.version) },
    {
      name: "labels",
      title: "Labels",
      by: (each) => each.labels.join(),
      show: (each) => plain(each.labels.join(", ") || "none"),
    },
    {
      name: "since",
      title: "Since",
      by: (each) => each.since,
      show: (each) => (each.since ? clock(each.since * 1000) : UNKNOWN),
      isNumber: true,
      isMinor: true,
    },
    {
      name: "seen",
      title: "Last seen",
      by: (each) => each.seen ?? 0,
      show: ({ seen }) => (!seen ? UNKNOWN : ago(seen) < LIVE_S ? "now" : `${duration(ago(seen))} ago`),
      isNumber: true,
    },
    {
      name: "act",
      title: "Actions",
      show: (each) =>
        each.state === "serving" || each.state === "draining" ? (
          <ActButton {...draining(each, serving - 1)}>
            {each.state === "serving" ? "Drain" : "Undo"}
          </ActButton>
        ) : (
          UNKNOWN
        ),
    },
  ];
}

/** What goes on and what waits while the store of the cluster is gone. */
function Trouble({ cluster }: { cluster: Cluster }) {
  if (cluster.refused) return <p class="refused">{cluster.refused}.</p>;
  if (cluster.store === "lost") return <Lost cluster={cluster} />;
  return cluster.member ? null : <Unknown node={cluster.node} />;
}

function Lost({ cluster }: { cluster: Cluster }) {
  const { lost_since = "", tokens_until } = cluster;
  const lost_s = (now.value - new Date(lost_since).getTime()) / 1000;
  return (
    <section aria-label="The store is gone">
      <p class="refused" role="status">
        {cluster.node} does not reach the store of the cluster since {clock(lost_since)}, for{" "}
        {duration(lost_s)}. Calls and sessions go on.
      </p>
      <p>Until the store is back these wait, or are refused:</p>
      <ul class="notes">
        <li>edits of the configuration</li>
        <li>tokens that are given or revoked, and sign-ins of dashboards</li>
        <li>sessions of a node that ends: no other node takes them over</li>
        <li>the states of other nodes, which are shown as they were heard last</li>
      </ul>
      {tokens_until && (
        <p>
          If it is still gone at {clock(tokens_until)}, the node refuses the tokens that it knows from the
          store, and balancers send it no clients.
        </p>
      )}
    </section>
  );
}

function Unknown({ node }: { node: string }) {
  return (
    <p class="refused" role="status">
      {node} does not count as alive: another gateway may serve under its name (
      <code>gateway.cluster.node</code>), and other nodes may serve its sessions.
    </p>
  );
}
