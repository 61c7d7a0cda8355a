/** The settings of a server: a form from the schema, tried and shown as changes before it is written. */

import type { Server } from "@mcpgateway/core/model";
import { outcome, serverPath } from "@mcpgateway/core/operations";
import { type Field, fieldsOf, type Schema, valueAt } from "@mcpgateway/core/settings";
import { matches } from "@mcpgateway/core/tables";
import { counted, plain } from "@mcpgateway/core/words";
import { yaml } from "@mcpgateway/core/yaml";
import { useEffect, useState } from "preact/hooks";
import type { Notice } from "../act";
import { overview } from "../gateway";
import { perform } from "../operations";
import { useResource } from "../resource";
import { go, to } from "../router";
import { surroundings } from "../surroundings";
import { Refused, Section } from "./basics";
import { type Editing, Merge, SaveButton, useEditing } from "./editing";
import { FileVersions } from "./enrol";
import { Filter } from "./filter";
import { Fields } from "./settings_form";
import { Trial } from "./trial";

interface ServerConfig extends Server {
  config: Record<string, unknown> | null;
  overlay?: { file: string; config: unknown };
}

type Sources = Record<string, { value: unknown; from: string }>;

const PROGRAM = ["command", "args", "cwd", "env"];
const REMOTE = ["url", "headers"];
const USUAL = ["timeout", "share", "concurrency", "lazy.enabled", "pinned", "description"];
/** Their change makes the gateway run or reach something else. */
const POWERFUL = /^(command|args|env|cwd|docker|url|headers|port|rest_url|openapi)/;
/** They have a place of their own in the dashboard, or mark an entry. */
const LEFT_OUT = new Set(["name", "enabled", "disabled", "overlay"]);

/** Begin with the field that the address names, such as `?key=env.TOKEN`. */
function begin({ drafts, setDrafts }: Editing<ServerConfig>): void {
  const key = surroundings.address().searchParams.get("key") ?? "";
  const [, group, name] = /^(env|headers)\.(.+)$/.exec(key) ?? [];
  if (group) setDrafts({ ...drafts, [key]: "" });
  requestAnimationFrame(() => {
    const place = name
      ? document.querySelector<HTMLElement>(`[aria-label=${JSON.stringify(`Value of ${name}`)}]`)
      : document.getElementById(`field-${key}`);
    place?.focus();
    place?.scrollIntoView({ block: "center" });
  });
}

interface Changed {
  changed?: string[];
  restarts?: boolean;
  /** The server after the change. */
  server?: Server;
}

/** What came of a change: a server that does not start with it is told as such. */
function written(name: string, { changed = [], restarts, server }: Changed): Notice {
  const what = `${name} is changed: ${changed.join(", ")}`;
  if (server?.need) return { text: `${what}; ${outcome(server).text}`, isError: true };
  return { text: `${what}${restarts ? "; its processes are replaced" : ""}`, isError: false };
}

export function ServerSettings({ name }: { name: string }) {
  const schema = useResource<{ $defs: { server: Schema } }>("/api/v1/config/schema", { isLive: false });
  const values = useResource<{ servers: Record<string, Sources> }>(
    `/api/v1/config?server=${encodeURIComponent(name)}`,
  );
  const editing = useEditing<ServerConfig>(serverPath(name), (value) => value.config ?? {});
  const [query, setQuery] = useState("");
  const isReady = Boolean(editing.found && schema.value && values.value);
  useEffect(() => {
    if (isReady) begin(editing);
  }, [isReady]);
  const error = editing.error ?? schema.error ?? values.error;
  const server = editing.found?.value;
  if (error) return <Refused error={error} />;
  if (!server || !schema.value || !values.value) return <p role="status">Asking the gateway.</p>;
  if (!server.config) return <p>This server stands in no file: its settings cannot be changed.</p>;
  const { changes, drafts, setDrafts, faults, setFaults, present, version } = editing;
  // The gateway keeps the former versions of the clients' files that it changes.
  const file = overview.value?.clients.find((each) => server.source.includes(each.path));
  const sources = values.value.servers[name] ?? {};
  const all = fieldsOf(schema.value.$defs.server).filter((each) => !LEFT_OUT.has(each.key));
  const isRemote = valueAt(present, "url") !== undefined;
  const first = [...(isRemote ? REMOTE : PROGRAM), ...USUAL];
  const usual = first.flatMap((key) => all.filter((each) => each.key === key));
  const others = all.filter((each) => !usual.includes(each));
  const shown = query ? others.filter((each) => matches(`${each.key} ${each.says}`, query)) : others;
  const form = (fields: Field[]) => (
    <Fields
      {...{ fields, present, sources, drafts, onDrafts: setDrafts, faults, onFaults: setFaults }}
      key={version}
    />
  );
  const runs = ["command", "args"].flatMap(
    (key) => (key in drafts ? drafts[key] : valueAt(present, key)) ?? [],
  );
  const isPowerful = [...Object.keys(changes.set), ...changes.unset].some((each) => POWERFUL.test(each));
  const isSame = ![changes.set, changes.unset, faults].some((each) => Object.keys(each).length);
  return (
    <>
      <p class="quiet">
        From <code>{plain(sources.command?.from ?? sources.url?.from ?? server.source)}</code>.
        {!server.is_own && (
          <>
            {" "}
            That file is a client's, and stays as it is: changes lie over it in{" "}
            <code>{plain(server.overlay?.file ?? "the gateway's configuration")}</code>.
          </>
        )}
      </p>
      <Merge editing={editing} />
      <div class="form">
        {form(usual)}
        <details>
          <summary>{counted(others.length, "other setting")}</summary>
          <div class="filters">
            <Filter query={query} onQuery={setQuery} what="settings" />
          </div>
          {form(shown)}
        </details>
        <div class="filters">
          <Trial name={name} body={isSame ? {} : changes} />
          <SaveButton
            editing={editing}
            what={name}
            path={`${serverPath(name)}?wait=30s`}
            above={`servers.${name}.`}
            done={(answer: Changed) => written(name, answer)}
          >
            {isPowerful && (
              <p>
                {isRemote ? "The gateway connects to" : "The gateway runs, as you,"}{" "}
                <code>
                  {plain(isRemote ? String(drafts.url ?? valueAt(present, "url")) : runs.join(" "))}
                </code>
                {server.pids.length > 0 &&
                  "; the processes that run now are replaced, and calls under way fail"}
                .
              </p>
            )}
          </SaveButton>
          <button type="button" disabled={isSame} onClick={() => void editing.renew(true)}>
            Discard
          </button>
        </div>
      </div>
      {server.is_own && <Rename name={name} />}
      {file && (
        <Section title="Changes of its file">
          <FileVersions tool={file.name} path={file.path} label={file.name} />
        </Section>
      )}
      <Section title="As YAML">
        <pre tabIndex={0}>{plain(yaml({ [name]: server.config }))}</pre>
      </Section>
    </>
  );
}

/** Calls a server by another name, under which its clients reach it from then on. */
function Rename({ name }: { name: string }) {
  const [wanted, setWanted] = useState(name);
  const rename = async (event: Event) => {
    event.preventDefault();
    const done = await perform({
      label: `Rename ${name}`,
      act: {
        method: "PATCH",
        path: serverPath(name),
        body: { new_name: wanted },
        done: `${name} is called ${wanted} now`,
      },
      question: {
        title: `Rename ${plain(name)} to ${plain(wanted)}?`,
        effect: `Clients reach it at /${plain(wanted)}/mcp then, and no longer at /${plain(name)}/mcp. Its processes are replaced.`,
        yes: "Rename it",
      },
    });
    if (done) go(to("servers", wanted, "settings"));
  };
  return (
    <Section title="Name">
      <form class="filters" onSubmit={(event) => void rename(event)}>
        <input
          aria-label="New name"
          required
          pattern="[A-Za-z0-9][A-Za-z0-9_.\-]*"
          value={wanted}
          onInput={(event) => setWanted(event.currentTarget.value)}
        />
        <button type="submit" disabled={wanted === name}>
          Rename
        </button>
      </form>
    </Section>
  );
}
