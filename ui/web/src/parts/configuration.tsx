/** The configuration: its files, their problems, the gateway's own settings, and where each value comes from. */

import { type Field, fieldsOf, nested, type Schema } from "@mcpgateway/core/settings";
import { matches } from "@mcpgateway/core/tables";
import { counted, plain } from "@mcpgateway/core/words";
import { useState } from "preact/hooks";
import { useResource } from "../resource";
import { may } from "../session";
import { Command, Empty, Refused, Section } from "./basics";
import { Merge, SaveButton, useEditing } from "./editing";
import { Filter } from "./filter";
import { Fields } from "./settings_form";
import { type Column, Table } from "./table";

type Values = Record<string, { value: unknown; from: string }>;

interface Configuration {
  ok: boolean;
  file: string;
  files: { path: string; exists: boolean }[];
  problems: { level: "error" | "warning"; file: string; line: number; says: string }[];
  restart_needed: string[];
  gateway: Values;
  servers: Record<string, Values>;
}

interface Row {
  key: string;
  value: unknown;
  from: string;
}

const PATH = "/api/v1/config";
const COLUMNS: Column<Row>[] = [
  { name: "key", title: "Key", by: (each) => each.key, show: (each) => <code>{plain(each.key)}</code> },
  { name: "value", title: "Value", show: (each) => <code>{plain(JSON.stringify(each.value) ?? "")}</code> },
  { name: "from", title: "From", by: (each) => each.from, show: (each) => plain(each.from), isMinor: true },
];
const USUAL = [
  "http_port",
  "expose",
  "auth_mcp_transport",
  "registry_url",
  "log_level",
  "ping_interval",
  "ui",
];

export function ConfigurationSections() {
  const { value, error } = useResource<Configuration>(PATH);
  if (error) return <Refused error={error} />;
  if (!value) return <p role="status">Asking the gateway.</p>;
  return (
    <>
      <Files found={value} />
      {may("admin") && <GatewaySettings sources={value.gateway} />}
      <Effective found={value} />
    </>
  );
}

function Files({ found }: { found: Configuration }) {
  const read = found.files.filter((each) => each.exists);
  return (
    <Section title="Configuration files">
      {found.problems.length > 0 && (
        <ol class="problems" aria-label="Problems">
          {found.problems.map((each) => (
            <li key={each.says} class={each.level === "error" ? "failed" : "warned"}>
              <span aria-hidden="true">{each.level === "error" ? "✖" : "⚠"}</span> {each.level}:{" "}
              {plain(each.says)}
            </li>
          ))}
        </ol>
      )}
      {!found.ok && <p>The gateway keeps the former settings until the errors are mended.</p>}
      {found.restart_needed.length > 0 && (
        <p>{found.restart_needed.map(plain).join(", ")}: counts when the gateway starts again.</p>
      )}
      <ul class="list">
        {read.map((each) => (
          <li key={each.path}>
            <code>{plain(each.path)}</code>
            {each.path === found.file && <span class="quiet">new servers and settings go here</span>}
          </li>
        ))}
      </ul>
      {!read.length && (
        <Empty>
          The gateway has no configuration file yet; {plain(found.file)} is made for the first server.
        </Empty>
      )}
    </Section>
  );
}

function GatewaySettings({ sources }: { sources: Values }) {
  const schema = useResource<{ properties: { gateway: Schema } }>(`${PATH}/schema`, { isLive: false });
  const editing = useEditing<Configuration>(PATH, (value) => nested(value.gateway));
  const [query, setQuery] = useState("");
  const error = schema.error ?? editing.error;
  if (error) return <Refused error={error} />;
  if (!schema.value || !editing.found) return <p role="status">Asking the gateway.</p>;
  const { changes, drafts, setDrafts, faults, setFaults, present, version } = editing;
  const all = fieldsOf(schema.value.properties.gateway);
  const shown = (each: Field) =>
    query ? matches(`${each.key} ${each.says}`, query) : USUAL.includes(each.key) || each.key in drafts;
  const isSame = ![changes.set, changes.unset, faults].some((each) => Object.keys(each).length);
  return (
    <Section title="Settings of the gateway">
      <Merge editing={editing} />
      <div class="form">
        <div class="filters">
          <Filter query={query} onQuery={setQuery} what="settings" />
          <span class="quiet">{counted(all.length, "setting")}</span>
        </div>
        <Fields
          {...{
            fields: all.filter(shown),
            present,
            sources,
            drafts,
            onDrafts: setDrafts,
            faults,
            onFaults: setFaults,
          }}
          key={version}
        />
        <div class="filters">
          <SaveButton
            editing={editing}
            what="the gateway"
            path={`${PATH}/gateway`}
            above="gateway."
            done={({ changed }: { changed: { key: string; counts: string }[] }) =>
              `Changed: ${changed.map((each) => `${each.key} (counts ${each.counts})`).join(", ")}`
            }
          >
            <p>The changes count for all clients of the gateway.</p>
            {changes.set.ui === false && (
              <p>
                The dashboard is switched off, and this page with it. In a terminal{" "}
                <Command text="mcpgateway config set gateway.ui=true" /> switches it on again.
              </p>
            )}
          </SaveButton>
          <button type="button" disabled={isSame} onClick={() => void editing.renew(true)}>
            Discard
          </button>
        </div>
      </div>
    </Section>
  );
}

function Effective({ found }: { found: Configuration }) {
  const [query, setQuery] = useState("");
  const rowsOf = (above: string, values: Values): Row[] =>
    Object.entries(values).map(([key, each]) => ({ key: `${above}.${key}`, ...each }));
  const rows = [
    ...rowsOf("gateway", found.gateway),
    ...Object.entries(found.servers).flatMap(([name, values]) => rowsOf(`servers.${name}`, values)),
  ];
  const shown = rows.filter((each) => matches(`${each.key} ${each.from}`, query));
  return (
    <Section title="Values that count">
      <details>
        <summary>{counted(rows.length, "value")}, each with its source</summary>
        <div class="filters">
          <Filter query={query} onQuery={setQuery} what="values" />
        </div>
        <Table
          caption="Values that count"
          columns={COLUMNS}
          rows={shown}
          id={(each) => each.key}
          order={{ column: "key", isDescending: false }}
          empty="No value matches."
        />
      </details>
    </Section>
  );
}
