/** Add a server: from the catalogue, or by pasting what is known about it, looking at what was understood, and trying it. */

import type { DetectedClient, Server } from "@mcpgateway/core/model";
import { type Definition, NotUnderstood, pasted } from "@mcpgateway/core/paste";
import { counted, plain } from "@mcpgateway/core/words";
import { useState } from "preact/hooks";
import { act, isBusy } from "../act";
import { overview } from "../gateway";
import { useUnsaved } from "../leaving";
import { Command, Section } from "../parts/basics";
import { Catalogue } from "../parts/catalogue";
import { EnrolButton, filesWith } from "../parts/enrol";
import { Fix } from "../parts/server_buttons";
import { TrialReport, useTrial, wantsSignIn } from "../parts/trial";
import { useResource } from "../resource";
import { to } from "../router";
import { surroundings } from "../surroundings";

const WAIT = "45s";
const PATH = `/api/v1/servers?wait=${WAIT}`;

export function AddPage() {
  return (
    <>
      <header class="page">
        <h1>Add a server</h1>
      </header>
      <Section title="From the catalogue">
        <Catalogue />
      </Section>
      <FromClients />
      <Section title="From a text">
        <Paste />
      </Section>
    </>
  );
}

/** The clients' files with servers of their own, which the gateway runs once the file is enrolled. */
function FromClients() {
  const { value } = useResource<{ detected: DetectedClient[] }>("/clients/detect", { isLive: false });
  const found = filesWith("program", value?.detected);
  if (!found.length) return null;
  return (
    <Section title="From clients">
      <ul class="list">
        {found.map(({ tool, title, path, many }) => (
          <li key={path}>
            <b>{plain(title)}</b> <code>{plain(path)}</code>{" "}
            <span class="quiet">{counted(many, "server")} of its own</span>
            <span class="acts">
              <EnrolButton tool={tool} path={path} label={tool} />
            </span>
          </li>
        ))}
      </ul>
    </Section>
  );
}

/** The field for a text about servers, and what was understood of it. */
export function Paste() {
  const [text, setText] = useState("");
  const [drafts, setDrafts] = useState<Draft[]>([]);
  const [fault, setFault] = useState("");
  const [isAdded, setAdded] = useState(false);
  useUnsaved(Boolean(text.trim()) && !isAdded);
  const understand = (given: string) => {
    setText(given);
    setAdded(false);
    setFault("");
    setDrafts([]);
    if (!given.trim()) return;
    try {
      setDrafts(pasted(given).map(drafted));
    } catch (why) {
      if (!(why instanceof NotUnderstood)) throw why;
      setFault(why.message);
    }
  };
  return (
    <>
      <label class="block" for="pasted">
        A URL, a command, a line such as <code>claude mcp add …</code>, an install link, JSON with{" "}
        <code>mcpServers</code>, or the URL or file of an OpenAPI document
      </label>
      <textarea
        id="pasted"
        rows={5}
        spellcheck={false}
        placeholder={"npx -y @modelcontextprotocol/server-memory\nhttps://mcp.example.com/mcp"}
        value={text}
        aria-describedby="pasted-fault"
        onInput={(event) => understand(event.currentTarget.value)}
      />
      <p id="pasted-fault" role="status" class={fault ? "refused" : "unseen"}>
        {fault}
      </p>
      {drafts.map((each, index) => (
        <DraftForm
          key={index}
          draft={each}
          onAdded={() => setAdded(true)}
          onChange={(changed) => setDrafts(drafts.map((former, at) => (at === index ? changed : former)))}
        />
      ))}
      <p class="quiet">
        The gateway starts the server once to try it, and writes its entry into its own configuration once
        that has worked. In a terminal: <Command text="mcpgateway servers add NAME -- COMMAND" />
      </p>
    </>
  );
}

interface Draft {
  name: string;
  json: string;
}

function told({ need, tool_count }: Server): string {
  if (need) return plain(need.says);
  return tool_count === null ? "its tools are not known yet" : counted(tool_count, "tool");
}

function drafted(found: Definition): Draft {
  return { name: found.name, json: JSON.stringify(found.config, null, 2) };
}

interface DraftProps {
  draft: Draft;
  onAdded: () => void;
  onChange: (draft: Draft) => void;
}

function DraftForm({ draft, onAdded, onChange }: DraftProps) {
  const [outcome, setOutcome] = useState<Server | undefined>(undefined);
  const [tried, setTried] = useState<Draft | undefined>(undefined);
  const isAdded = outcome !== undefined && tried === draft;
  const isTaken = Boolean(overview.value?.backends.some((each) => each.name === draft.name)) && !isAdded;
  let config: { command?: string; args?: string[]; url?: string; openapi?: string } | undefined;
  try {
    config = JSON.parse(draft.json);
  } catch {
    // The field says so.
  }
  const { report, isUnderWay: isTrying, run } = useTrial(draft.name, { config });
  const hasFailed = report?.passed === false && !wantsSignIn(report) && tried === draft;
  const tryIt = async () => {
    setTried(draft);
    setOutcome(undefined);
    return await run();
  };
  const submit = async (event: Event) => {
    event.preventDefault();
    const found = await tryIt();
    // The user signs in at a server that is there.
    if (found && (found.passed || wantsSignIn(found))) await add();
  };
  const add = async () => {
    const found = await act<{ server?: Server }>({
      method: "POST",
      path: PATH,
      body: { name: draft.name, config, keep_secrets: true },
      done: `${draft.name} is added`,
      rights: "admin",
      limit_ms: 60_000,
    });
    if (!found?.server) return;
    setOutcome(found.server);
    onAdded();
  };
  const runs = config?.url ?? config?.openapi ?? [config?.command, ...(config?.args ?? [])].join(" ");
  const isUnderWay = isTrying || isBusy("POST", PATH);
  const isOff = !config || isTaken || isUnderWay || isAdded;
  return (
    <form class="draft" onSubmit={submit}>
      <label>
        Name
        <input
          required
          pattern="[A-Za-z0-9][A-Za-z0-9_.\-]*"
          value={draft.name}
          onInput={(event) => onChange({ ...draft, name: event.currentTarget.value })}
        />
      </label>
      {isTaken && <p class="refused">There is a server of this name already: choose another one.</p>}
      <label>
        Definition
        <textarea
          rows={8}
          spellcheck={false}
          value={draft.json}
          aria-invalid={!config}
          onInput={(event) => onChange({ ...draft, json: event.currentTarget.value })}
        />
      </label>
      {!config && <p class="refused">The definition is no JSON.</p>}
      {config && (
        <p>
          The gateway {(config.url ?? config.openapi) ? "connects to" : "runs, as you,"}{" "}
          <code>{plain(runs)}</code>
        </p>
      )}
      <div class="buttons">
        <button type="submit" class="primary" disabled={isOff} aria-busy={isUnderWay}>
          {isUnderWay ? "Trying it" : isAdded ? "Added" : "Try it and add it"}
        </button>
        {!isAdded && (
          <button type="button" disabled={isOff} onClick={() => void tryIt()}>
            Try it first
          </button>
        )}
      </div>
      <TrialReport name={draft.name} report={tried === draft ? report : undefined} />
      {hasFailed && !isAdded && (
        <p class="outcome">
          The trial has failed, so nothing is added. Put the definition right and try it again, or{" "}
          <button type="button" disabled={isOff} onClick={() => void add()}>
            Add it all the same
          </button>
        </p>
      )}
      {outcome && isAdded && (
        <p role="status" class="outcome">
          <a href={to("servers", outcome.name)}>{plain(outcome.name)}</a> is added: {told(outcome)}.{" "}
          {outcome.need && (
            <span class="buttons">
              <Fix name={outcome.name} remedy={outcome.need} />
            </span>
          )}{" "}
          Its address is <Command text={`${surroundings.origin}/${encodeURIComponent(outcome.name)}/mcp`} />
        </p>
      )}
    </form>
  );
}
