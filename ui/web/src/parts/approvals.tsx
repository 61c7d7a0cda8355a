/** The clients' files of projects: their enrolment, what a repository's file would run, and the user's answers. */

import { plain } from "@mcpgateway/core/words";
import { useResource } from "../resource";
import { ActButton, Refused, Section } from "./basics";
import { EnrolButton, FileVersions, RestoreButton, WAYS } from "./enrol";

interface ProjectServer {
  name: string;
  runs: string;
  cwd: string;
  env: string[];
  /** The variables that can make it run other code. */
  code_loading: string[];
}

interface ProjectFile {
  path: string;
  sha256: string;
  state: "waiting" | "changed" | "approved" | "refused";
  servers: ProjectServer[];
}

type Answer = "approve" | "refuse" | "revoke";

const PATH = "/api/v1/approvals";
const STATES = {
  waiting: { tone: "bad", mark: "●", word: "waits for your approval" },
  changed: { tone: "bad", mark: "●", word: "has changed since your answer" },
  approved: { tone: "good", mark: "✓", word: "approved" },
  refused: { tone: "calm", mark: "○", word: "refused" },
};
const WORDS: Record<Answer, { label: string; done: string }> = {
  approve: { label: "Approve", done: "approved, until it changes" },
  refuse: { label: "Refuse", done: "refused, until it changes" },
  revoke: { label: "Withdraw the answer", done: "waits for an answer again" },
};

/** A client's file in a project, of `GET /clients/projects`. */
interface ClientFile {
  path: string;
  client: string;
  title: string;
  mode: string;
  suspended: string;
  enrolled: string[];
  error: string;
}

/** The paths of these files are told to the page, which does not show them again. */
export function useProjectFiles() {
  return useResource<{ files: ClientFile[] }>("/clients/projects", { every_s: 30 });
}

export function ProjectSection({ files }: { files: ClientFile[] }) {
  const { value, error } = useResource<{ items: ProjectFile[] }>(PATH, { every_s: 30 });
  const waiting = new Map(value?.items.map((each) => [each.path, each]));
  const enrollable = new Map(files.map((each) => [each.path, each]));
  const paths = [...new Set([...waiting.keys(), ...enrollable.keys()])];
  if (error) return <Refused error={error} />;
  if (!paths.length) return null;
  return (
    <Section title="Files of projects">
      <p class="quiet">
        A repository's .mcp.json names programs that run with all your rights. Its servers run only while you
        approve the file as it is. To enrol a file approves it.
      </p>
      <ul class="list">
        {paths.map((each) => (
          <Row key={each} path={each} repository={waiting.get(each)} file={enrollable.get(each)} />
        ))}
      </ul>
    </Section>
  );
}

function Row(props: { path: string; repository: ProjectFile | undefined; file: ClientFile | undefined }) {
  const { path, repository, file } = props;
  return (
    <li class="file">
      <code>{plain(path)}</code>
      {repository && <Approval file={repository} />}
      {file && <Enrolment file={file} />}
    </li>
  );
}

function Enrolment({ file }: { file: ClientFile }) {
  const { client, path, title, mode, suspended, enrolled, error } = file;
  const way = WAYS[mode] ?? mode;
  const state = suspended ? "paused: it has its own entries" : `uses the gateway, ${way}`;
  return (
    <div class="enrolment">
      <span class="quiet">
        {plain(title)}: {mode ? state : "does not use the gateway"}
      </span>
      {error ? (
        <span class="failed">{plain(error)}</span>
      ) : mode ? (
        <RestoreButton tool={client} path={path} label={path} servers={enrolled} />
      ) : (
        <EnrolButton tool={client} path={path} label={path} />
      )}
      <FileVersions tool={client} path={path} label={path} />
    </div>
  );
}

function Approval({ file }: { file: ProjectFile }) {
  const { tone, mark, word } = STATES[file.state];
  const isOpen = file.state === "waiting" || file.state === "changed";
  return (
    <>
      <span class={`state ${tone}`}>
        <span aria-hidden="true">{mark}</span> {word}
      </span>
      {isOpen ? (
        <>
          <AnswerButton file={file} answer="approve" />
          <AnswerButton file={file} answer="refuse" />
        </>
      ) : (
        <AnswerButton file={file} answer="revoke" />
      )}
      <ul>
        {file.servers.map((each) => (
          <li key={each.name}>
            <b>{plain(each.name)}</b> <code>{plain(each.runs)}</code>
            {each.cwd && <span class="quiet"> in {plain(each.cwd)}</span>}
            {each.env.length > 0 && <span class="quiet"> with {each.env.map(plain).join(", ")} set</span>}
            {each.code_loading.length > 0 && (
              <span class="failed">
                {" "}
                Beware: {each.code_loading.map(plain).join(", ")} can make it run other code.
              </span>
            )}
          </li>
        ))}
      </ul>
    </>
  );
}

function AnswerButton({ file, answer }: { file: ProjectFile; answer: Answer }) {
  const { label, done } = WORDS[answer];
  const path = plain(file.path);
  const question = {
    title: `Approve ${path}?`,
    effect: `Clients in that directory can then start ${file.servers.map((each) => plain(each.runs)).join("; ")}, with all your rights.`,
    yes: label,
  };
  return (
    <ActButton
      label={`${label}: ${path}`}
      act={{
        method: "POST",
        path: PATH,
        body: { path: file.path, sha256: file.sha256, answer },
        done: `${path}: ${done}`,
        rights: "admin",
      }}
      {...(answer === "approve" ? { question } : {})}
    >
      {label}
    </ActButton>
  );
}
