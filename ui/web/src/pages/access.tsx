/** Who may: tokens of agents, whether clients of this machine need one, and the dashboards that are signed in. */

import { access, clock, count, counted, plain } from "@mcpgateway/core/words";
import { Fragment } from "preact";
import { useState } from "preact/hooks";
import { unlock } from "../act";
import { overview } from "../gateway";
import { ActButton, Command, Empty, Refused, Section } from "../parts/basics";
import { NewToken } from "../parts/new_token";
import { type Column, Table } from "../parts/table";
import { useResource } from "../resource";
import { to } from "../router";
import { may, signed } from "../session";

interface AgentToken {
  id: string;
  name: string;
  servers: string[];
  tools: string[];
  read_only: boolean;
  created: number;
  expires: number | null;
  expired: boolean;
  calls: number;
  last_used_at: string | null;
  last_from: string | null;
}

interface Tokens {
  required: boolean;
  tokens: AgentToken[];
}

interface DashboardSession {
  id: string;
  rights: string;
  created_at: string;
  last_used_at: string;
  expires_at: string;
  /** The browser and its system, such as `Firefox 140 on Linux`. */
  browser?: string;
  address?: string;
  issuer?: string;
  principal?: string;
}

export function AccessPage() {
  if (!may("admin"))
    return (
      <>
        <h1>Access</h1>
        <Empty>Tokens and sign-ins are shown to administrators.</Empty>
        <button type="button" class="primary" onClick={() => unlock("admin")}>
          Unlock
        </button>
      </>
    );
  return (
    <>
      <header class="page">
        <h1>Access</h1>
      </header>
      <Agents />
      <Dashboards />
      <Others />
      <Own />
    </>
  );
}

function Agents() {
  const { value, error } = useResource<Tokens>("/api/v1/tokens", { every_s: 30 });
  const [isMaking, setMaking] = useState(false);
  const columns: Column<AgentToken>[] = [
    { name: "name", title: "Token", by: (each) => each.name, show: (each) => plain(each.name) },
    { name: "may", title: "May", show: (each) => plain(scope(each)) },
    {
      name: "expires",
      title: "Expires",
      by: (each) => each.expires ?? Number.POSITIVE_INFINITY,
      show: (each) =>
        each.expired ? <span class="bad">expired</span> : each.expires ? clock(each.expires * 1000) : "never",
    },
    {
      name: "calls",
      title: "Calls in 30 days",
      by: (each) => each.calls,
      show: (each) => count(each.calls),
      isNumber: true,
    },
    {
      name: "last",
      title: "Last used",
      by: (each) => each.last_used_at ?? "",
      show: (each) =>
        each.last_used_at
          ? `${clock(each.last_used_at)}${each.last_from ? ` from ${plain(each.last_from)}` : ""}`
          : "never",
      isNumber: true,
      isMinor: true,
    },
    {
      name: "act",
      title: "Actions",
      show: (each) => (
        <ActButton
          label={`Revoke the token ${plain(each.name)}`}
          question={{
            title: `Revoke ${plain(each.name)}?`,
            effect: "Its next request is refused, and its sessions end. This cannot be undone.",
            yes: "Revoke",
          }}
          act={{
            method: "DELETE",
            path: `/api/v1/tokens/${encodeURIComponent(each.id)}`,
            done: `${plain(each.name)} is revoked`,
            rights: "admin",
          }}
        >
          Revoke
        </ActButton>
      ),
    },
  ];
  return (
    <Section
      title="Tokens of agents"
      extra={
        <button type="button" onClick={() => setMaking(true)}>
          New token
        </button>
      }
    >
      {error && <Refused error={error} />}
      {isMaking && <NewToken onClose={() => setMaking(false)} />}
      {value && (
        <>
          <Table
            caption="Tokens"
            columns={columns}
            rows={value.tokens}
            id={(each) => each.id}
            order={{ column: "name", isDescending: false }}
            empty={
              <Empty>
                No agent has a token. A token lets a program in from afar, or gives it fewer servers and
                tools.
              </Empty>
            }
          />
          <Required isRequired={value.required} />
        </>
      )}
    </Section>
  );
}

function scope(token: AgentToken): string {
  const servers = token.servers.length ? token.servers.join(", ") : "all servers";
  const tools = token.tools.length ? `; tools ${token.tools.join(", ")}` : "";
  return `${token.read_only ? "read from " : ""}${servers}${tools}`;
}

function Required({ isRequired }: { isRequired: boolean }) {
  return (
    <p>
      {isRequired
        ? "Clients on this machine need a token, too."
        : "Clients on this machine need no token; from other machines every client needs one."}{" "}
      <ActButton
        label={isRequired ? "Require no token on this machine" : "Require a token on this machine, too"}
        question={{
          title: isRequired
            ? "Let clients of this machine in without a token?"
            : "Require tokens everywhere?",
          effect: isRequired
            ? "Every program of yours on this machine can then call all tools."
            : "Clients whose entries have no token are refused until they are enrolled again.",
          yes: isRequired ? "Require none" : "Require tokens",
        }}
        act={{
          method: "PUT",
          path: "/api/v1/tokens/required",
          body: { required: !isRequired },
          done: isRequired ? "Clients of this machine need no token" : "All clients need a token",
          rights: "admin",
        }}
      >
        {isRequired ? "Require no token on this machine" : "Require a token on this machine, too"}
      </ActButton>
    </p>
  );
}

function Dashboards() {
  const { value, error } = useResource<{ items: DashboardSession[] }>("/api/v1/ui/sessions", { every_s: 30 });
  return (
    <Section title="Dashboards that are signed in">
      {error && <Refused error={error} />}
      <ul class="list">
        {value?.items.map((each) => (
          <li key={each.id}>
            <b>{plain(each.browser || "A browser that has not named itself")}</b>
            <span>
              {each.rights}, from {plain(each.address || "an unknown address")}, since{" "}
              {clock(each.created_at)}
            </span>
            <span class="quiet">
              used {clock(each.last_used_at)}, ends {clock(each.expires_at)}
              {each.issuer && `, at ${each.issuer} as ${each.principal}`}
              {each.id === signed.value.id && ", this browser"}
            </span>
            <ActButton
              label={`End the session of ${plain(each.browser || "the dashboard")} since ${clock(each.created_at)}`}
              act={{
                method: "DELETE",
                path: `/api/v1/ui/sessions/${encodeURIComponent(each.id)}`,
                done: "The dashboard is signed out",
                rights: "admin",
              }}
            >
              End
            </ActButton>
          </li>
        ))}
      </ul>
    </Section>
  );
}

const REMOTE: [key: string, says: string][] = [
  ["allow_remote", "Other machines may connect"],
  ["bind_address", "Listens at"],
  ["allowed_hosts", "Names of this machine"],
  ["allowed_origins", "Origins of web pages"],
  ["tls_cert_path", "Certificate"],
];

/** Whether other machines may connect, and what that takes. */
function Others() {
  const { value, error } = useResource<{
    gateway: Record<string, { value: unknown; from: string }>;
    issuer: { url: string; dashboards: boolean };
  }>("/api/v1/config");
  const issuer = value?.issuer;
  const origin = (from = "") => (from === "default" ? "(by default)" : plain(from));
  const told = (held: unknown) =>
    typeof held === "boolean" ? (held ? "yes" : "no") : plain([held ?? ""].flat().join(", ")) || "none";
  return (
    <Section title="Other machines">
      {error && <Refused error={error} />}
      {value && (
        <dl class="facts">
          {REMOTE.filter(([key]) => value.gateway[key]).map(([key, says]) => (
            <Fragment key={key}>
              <dt>{says}</dt>
              <dd>
                {told(value.gateway[key]?.value)}{" "}
                <span class="quiet">{origin(value.gateway[key]?.from)}</span>
              </dd>
            </Fragment>
          ))}
          <dt>Authorization server</dt>
          <dd>
            {plain(issuer?.url || "none")}{" "}
            <span class="quiet">
              {issuer?.url
                ? `whose tokens let clients in${issuer.dashboards ? ", and where users of the dashboard sign in" : ""}`
                : "(by default)"}
            </span>
          </dd>
        </dl>
      )}
      <p class="quiet">
        Clients of other machines need a token, and a certificate that they trust.{" "}
        <a href={to("gateway")}>Settings of the gateway</a>
      </p>
    </Section>
  );
}

function Own() {
  return (
    <Section title="The gateway's own token">
      <p>
        At the moment {access(overview.value?.auth ?? "")}. <Command text="mcpgateway token show" /> prints
        the token that enrolled clients use.
      </p>
      <p class="buttons">
        <ActButton
          label="Rotate the gateway's own token"
          question={{
            title: "Rotate the gateway's own token?",
            effect: `The former token is invalid at once. ${counted(overview.value?.sessions ?? 0, "session")} may have to sign in again.`,
            yes: "Rotate",
          }}
          act={{
            method: "POST",
            path: "/api/v1/tokens/rotate",
            body: { which: ["auth"] },
            done: "The token is rotated; enrolled files get the new one",
            rights: "admin",
          }}
        >
          Rotate
        </ActButton>
      </p>
    </Section>
  );
}
