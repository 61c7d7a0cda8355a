/** The enrolment of a client's file, its restoration, and what was done before; each change is shown before it is made. */

import type { DetectedClient, EnrolledFile } from "@mcpgateway/core/model";
import { counted, plain } from "@mcpgateway/core/words";
import { useState } from "preact/hooks";
import type { Act } from "../act";
import { ReviewButton, type Version, Versions } from "./versions";

/** What the gateway has done with a client's file. */
interface FileChange extends Version {
  act: string;
  mode: string;
  servers: string[];
}

export const WAYS: Record<string, string> = {
  http: "by URL",
  "fail-open": "by command",
  single: "by one entry for all servers",
};
// Clients' files are changed by a program of their own.
const LIMIT_MS = 60_000;
const UNCHANGED = "Nothing is changed yet";

function posted(path: string, body: object, done: string): Act {
  return { method: "POST", path, body, done, rights: "admin", limit_ms: LIMIT_MS };
}

/** A file that does not use the gateway: a client's, or that of a project. */
export function EnrolButton(props: { tool: string; path: string; label: string }) {
  const { tool, path, label } = props;
  const [mode, setMode] = useState("");
  const body = { tool, configPath: path, ...(mode && { mode }) };
  return (
    <>
      <label class="choice">
        How
        <select value={mode} onChange={(event) => setMode(event.currentTarget.value)}>
          <option value="">the usual way</option>
          {Object.entries(WAYS).map(([each, words]) => (
            <option key={each} value={each}>
              {words}
            </option>
          ))}
        </select>
      </label>
      <ReviewButton
        label={`Enrol ${label}`}
        reviewed={{
          title: `Enrol ${plain(label)}?`,
          effect:
            "The file is changed as below. Its original is kept, and is restored when the client is no longer enrolled.",
          yes: "Enrol",
          look: posted("/clients/plan", body, UNCHANGED),
          make: posted("/clients/apply", body, `${label} uses the gateway from its next start`),
        }}
      >
        Enrol
      </ReviewButton>
    </>
  );
}

/** Restore a file, after a look at the change. */
export function RestoreButton(props: { tool: string; path: string; label: string; servers: string[] }) {
  const { tool, path, label, servers } = props;
  const body = { tool, configPath: path };
  return (
    <ReviewButton
      label={`Restore ${label}`}
      reviewed={{
        title: `Restore ${plain(label)}?`,
        effect: `${plain(path)} gets its own entries of ${servers.map(plain).join(", ")} back, and uses the gateway no more.`,
        yes: "Restore",
        look: posted("/clients/undo/plan", body, UNCHANGED),
        make: posted("/clients/undo", body, `${label} has its own servers again, from its next start`),
      }}
    >
      Restore
    </ReviewButton>
  );
}

/** What the gateway has done with a file, and the way back. */
export function FileVersions({ tool, path, label }: { tool: string; path: string; label: string }) {
  return (
    <Versions<FileChange>
      path={`/clients/ledger?path=${encodeURIComponent(path)}`}
      of={label}
      told={({ act, mode, servers }) =>
        [act, WAYS[mode] ?? mode].join(", ") + (servers.length ? `: ${servers.map(plain).join(", ")}` : "")
      }
      look={(each) => ({
        title: `Change ${each.version} of ${plain(label)}`,
        effect: `${plain(path)} was ${each.act}.`,
        yes: "",
        look: {
          method: "GET",
          path: `/clients/ledger/${each.version}`,
          done: "",
          rights: "admin",
          limit_ms: LIMIT_MS,
        },
      })}
      back={(each) => {
        const body = { tool, configPath: path, version: each.version };
        return {
          title: `Return ${plain(label)} to before change ${each.version}?`,
          effect: `${plain(path)} holds exactly what it held before; the latest changes of other programs are lost.`,
          yes: "Return",
          look: posted("/clients/undo/plan", body, UNCHANGED),
          make: posted("/clients/undo", body, `${label} is as it was before change ${each.version}`),
        };
      }}
    />
  );
}

/** The files of clients with entries of a kind, each with their number. */
export function filesWith(kind: string, clients: readonly DetectedClient[] = []) {
  return clients.flatMap(({ tool, title = tool, files = [] }) =>
    files.flatMap(({ path, servers: { [kind]: many = 0 } }) => (many ? [{ tool, title, path, many }] : [])),
  );
}

/** A client whose file does not use the gateway. */
export function DetectedRow({ client }: { client: DetectedClient }) {
  const { tool, configPath } = client;
  return (
    <li>
      <b>{plain(tool)}</b>
      <code>{plain(configPath)}</code>
      <span class="acts">
        <EnrolButton tool={tool} path={configPath} label={tool} />
      </span>
      <FileVersions tool={tool} path={configPath} label={tool} />
    </li>
  );
}

/** A client's file that uses the gateway. */
export function EnrolledRow({ file }: { file: EnrolledFile }) {
  const { name, path, servers } = file;
  return (
    <li>
      <b>{plain(name)}</b>
      <code>{plain(path)}</code>
      <span class="quiet">
        {counted(servers.length, "server")},{" "}
        {file.suspended ? "paused: it has its own entries" : (WAYS[file.mode] ?? file.mode)}
      </span>
      <span class="acts">
        <RestoreButton tool={name} path={path} label={name} servers={servers} />
      </span>
      <FileVersions tool={name} path={path} label={name} />
    </li>
  );
}
