/** The resources and prompts of a server: listed, read and got in a session of the page's own. */

import {
  type Entries,
  entriesOf,
  expanded,
  fieldsOf,
  filled,
  schemaOfArguments,
  variablesOf,
} from "@mcpgateway/core/form";
import type { McpClient } from "@mcpgateway/core/mcp";
import { counted, plain } from "@mcpgateway/core/words";
import { useMemo, useState } from "preact/hooks";
import { type Playground, usePlayground } from "../playground";
import { AskedForm } from "./asked";
import { Empty } from "./basics";
import { Frames } from "./call_extras";
import { type Complete, Fields } from "./fields";
import { listOf, Part } from "./result";

type Entry = Record<string, unknown>;
/** Does something in the session; its failure is told in place of the outcome. */
type Run = <T>(work: (client: McpClient) => Promise<T>) => Promise<T | undefined>;

interface Found {
  entries: Entry[];
  templates: Entry[];
}

export function Offers({ name, kind }: { name: string; kind: "resources" | "prompts" }) {
  const session = usePlayground(name);
  const [found, setFound] = useState<Found | undefined>(undefined);
  const [fault, setFault] = useState("");
  const [isBusy, setBusy] = useState(false);
  const run: Run = async (work) => {
    setBusy(true);
    setFault("");
    try {
      return await session.use(work);
    } catch (why) {
      setFault(why instanceof Error ? why.message : String(why));
      return undefined;
    } finally {
      setBusy(false);
    }
  };
  const list = async () => {
    const entries = await run((client) => client.list<Entry>(`${kind}/list`, kind));
    if (!entries) return;
    // Servers without templates may refuse the question for them.
    const templates = kind === "resources" ? await session.use(templatesOf).catch(() => []) : [];
    setFound({ entries, templates });
  };
  const all = found ? [...found.entries, ...found.templates] : [];
  return (
    <>
      <div class="filters">
        <button
          type="button"
          class="primary"
          disabled={isBusy}
          aria-busy={isBusy}
          onClick={() => void list()}
        >
          List {kind}
        </button>
        <span class="quiet" role="status">
          {found ? counted(all.length, "entry", "entries") : `A session of this page asks ${plain(name)}.`}
        </span>
      </div>
      {fault && (
        <p role="alert" class="refused">
          {plain(fault)}
        </p>
      )}
      {session.asked.value.map((each) => (
        <AskedForm key={each.id} asked={each} />
      ))}
      {found && !all.length && <Empty>The server has none.</Empty>}
      <ul class="tools">
        {all.map((each, index) => (
          <li key={`${each.uri ?? each.uriTemplate ?? each.name} ${index}`}>
            <h2>
              {plain(String(each.title ?? each.name ?? ""))}{" "}
              {typeof each.title === "string" && <code>{plain(String(each.name))}</code>}
            </h2>
            <p>{plain(String(each.description ?? ""))}</p>
            {kind === "prompts" ? (
              <Prompt prompt={each} run={run} session={session} />
            ) : (
              <Resource resource={each} run={run} session={session} />
            )}
          </li>
        ))}
      </ul>
      {found && <Frames session={session} />}
    </>
  );
}

function templatesOf(client: McpClient): Promise<Entry[]> {
  return client.list<Entry>("resources/templates/list", "resourceTemplates");
}

/** Return the values that a server completes an argument to; none where it fails, since nobody has asked for them. */
function completer(session: Playground, ref: Entry, entries: Entries): Complete {
  const others = Object.fromEntries(
    Object.entries(entries).flatMap(([name, each]) =>
      typeof each === "string" && each ? [[name, each]] : [],
    ),
  );
  return (name, value) =>
    session.use((client) => client.complete(ref, { name, value }, others)).catch(() => []);
}

/** A resource, or a template whose variables the user fills in. */
function Resource({ resource, run, session }: { resource: Entry; run: Run; session: Playground }) {
  const template = typeof resource.uriTemplate === "string" ? resource.uriTemplate : "";
  const variables = variablesOf(template);
  const fields = useMemo(
    () => fieldsOf(schemaOfArguments((variables ?? []).map((name) => ({ name, required: true })))),
    [template],
  );
  const [entries, setEntries] = useState(() => entriesOf(fields));
  const [typed, setTyped] = useState(String(resource.uri ?? template));
  const [contents, setContents] = useState<Entry[] | undefined>(undefined);
  const uri = template && variables ? expanded(template, entries) : typed;
  const read = async (event: Event) => {
    event.preventDefault();
    const result = await run((client) => client.request("resources/read", { uri }));
    if (result) setContents(listOf(result.contents));
  };
  return (
    <form onSubmit={read}>
      {template && variables && (
        <Fields
          id={`template-${String(resource.name)}`}
          fields={fields}
          entries={entries}
          faults={{}}
          onChange={setEntries}
          complete={completer(session, { type: "ref/resource", uri: template }, entries)}
        />
      )}
      {template && !variables ? (
        <label>
          URI, with its places filled in
          <input value={typed} onInput={(event) => setTyped(event.currentTarget.value)} />
        </label>
      ) : (
        <code>{plain(uri)}</code>
      )}{" "}
      <button type="submit" aria-label={`Read ${plain(String(resource.name ?? uri))}`}>
        Read
      </button>
      {contents?.map((each, index) => (
        <Part key={index} part={each} />
      ))}
    </form>
  );
}

function Prompt({ prompt, run, session }: { prompt: Entry; run: Run; session: Playground }) {
  const fields = useMemo(() => fieldsOf(schemaOfArguments(listOf(prompt.arguments))), [prompt]);
  const [entries, setEntries] = useState(() => entriesOf(fields));
  const [faults, setFaults] = useState<Record<string, string>>({});
  const [messages, setMessages] = useState<Entry[] | undefined>(undefined);
  const name = String(prompt.name);
  const get = async (event: Event) => {
    event.preventDefault();
    const { values, faults: wrong } = filled(fields, entries);
    setFaults(wrong);
    if (Object.keys(wrong).length) return;
    const result = await run((client) => client.request("prompts/get", { name, arguments: values }));
    if (result) setMessages(listOf(result.messages));
  };
  return (
    <form onSubmit={get}>
      <Fields
        id={`prompt-${name}`}
        fields={fields}
        entries={entries}
        faults={faults}
        onChange={setEntries}
        complete={completer(session, { type: "ref/prompt", name }, entries)}
      />
      <button type="submit" aria-label={`Get ${plain(name)}`}>
        Get
      </button>
      {messages?.map((each, index) => (
        <div key={index}>
          <p class="quiet">{plain(String(each.role))}</p>
          {listOf([each.content]).map((part, at) => (
            <Part key={at} part={part} />
          ))}
        </div>
      ))}
    </form>
  );
}
