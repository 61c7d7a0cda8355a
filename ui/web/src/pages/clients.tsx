/** The clients' files that use the gateway, the clients that could, and the sessions. */

import type { DetectedClient, Sessions } from "@mcpgateway/core/model";
import { counted, plain } from "@mcpgateway/core/words";
import { overview } from "../gateway";
import { switchingGateway } from "../operations";
import { ProjectSection, useProjectFiles } from "../parts/approvals";
import { ActButton, Command, Empty, Refused, Section } from "../parts/basics";
import { DetectedRow, EnrolledRow, filesWith } from "../parts/enrol";
import { LooseClients, SessionTable } from "../parts/sessions";
import { useResource } from "../resource";

/** The entries that stay as they are, since they have the URL of another server. */
function Remotes({ clients }: { clients: DetectedClient[] }) {
  const found = filesWith("remote", clients);
  if (!found.length) return null;
  return (
    <>
      <ul class="list">
        {found.map(({ title, path, many }) => (
          <li key={path}>
            <b>{plain(title)}</b> <code>{plain(path)}</code>{" "}
            <span class="quiet">{counted(many, "entry", "entries")} with a URL of their own</span>
          </li>
        ))}
      </ul>
      <p class="quiet">
        Clients reach these servers without the gateway; <Command text="mcpgateway clients apply --remote" />{" "}
        has the gateway serve them, too.
      </p>
    </>
  );
}

export function ClientsPage() {
  const detected = useResource<{ detected: DetectedClient[] }>("/clients/detect");
  const sessions = useResource<Sessions>("/api/v1/sessions?limit=1000", { every_s: 5 });
  const found = overview.value;
  const power = found && switchingGateway(found.disabled);
  const projects = useProjectFiles().value?.files ?? [];
  const inProjects = new Set(projects.map((each) => each.path));
  const files = (found?.clients ?? []).filter((each) => !inProjects.has(each.path));
  const paths = new Set(files.map((each) => each.path));
  const others = (detected.value?.detected ?? []).filter((each) => !paths.has(each.configPath));
  return (
    <>
      <header class="page">
        <h1>Clients</h1>
        {power && <ActButton {...power}>{power.label}</ActButton>}
      </header>
      <Section title="Files that use the gateway">
        {files.length ? (
          <ul class="list">
            {files.map((each) => (
              <EnrolledRow key={each.path} file={each} />
            ))}
          </ul>
        ) : (
          found && (
            <Empty>
              {projects.some((each) => each.mode)
                ? "Only files of projects use the gateway."
                : "No client's file uses the gateway yet."}
            </Empty>
          )
        )}
      </Section>
      <ProjectSection files={projects} />
      <Section title="Clients of this machine">
        {detected.error && <Refused error={detected.error} />}
        {others.length ? (
          <ul class="list">
            {others.map((each) => (
              <DetectedRow key={each.configPath} client={each} />
            ))}
          </ul>
        ) : (
          !detected.error &&
          (detected.value ? (
            <Empty>Every client that this machine has uses the gateway.</Empty>
          ) : (
            <p role="status">Asking the gateway.</p>
          ))
        )}
        <Remotes clients={detected.value?.detected ?? []} />
        <p class="quiet">
          <Command text="mcpgateway clients apply" /> shows every change before it is made;{" "}
          <Command text="mcpgateway clients undo" /> restores the files.
        </p>
      </Section>
      <Section title="Sessions">
        {sessions.error && <Refused error={sessions.error} />}
        {sessions.value && (
          <>
            <SessionTable sessions={sessions.value.sessions} empty="No client has a session now." />
            <LooseClients clients={sessions.value.without} />
          </>
        )}
      </Section>
    </>
  );
}
