/** The endpoints for several servers: what each lists and costs, what a client with a limit sees, and profiles. */

import type { Profile, View } from "@mcpgateway/core/model";
import { count, counted, plain, tokens } from "@mcpgateway/core/words";
import { useState } from "preact/hooks";
import { act } from "../act";
import { overview } from "../gateway";
import { useResource } from "../resource";
import { surroundings } from "../surroundings";
import { ActButton, Command, Empty, Refused, Section } from "./basics";
import { Dialog } from "./dialog";
import { type Column, Table } from "./table";

const PROFILES = "/api/v1/profiles";
/** The most tools that some clients take. */
const MOST = [40, 80, 128];
const KINDS: Record<string, string> = {
  full: "all tools",
  search: "tools that find and call the others",
  hybrid: "tools that find and call the others, and the most used",
  meta: "tools that find and call the others",
  admin: "tools that look after the gateway",
};

export function ViewsSection() {
  const { value, error } = useResource<{ items: View[] }>("/api/v1/views", { every_s: 30 });
  const profiles = useResource<{ items: Profile[] }>(PROFILES);
  const [edited, setEdited] = useState<Profile | "new" | undefined>(undefined);
  const [shown, setShown] = useState("");
  const known = new Map(profiles.value?.items.map((each) => [each.name, each]));
  const button = (
    <button type="button" onClick={() => setEdited("new")}>
      New profile
    </button>
  );
  return (
    <Section title="Endpoints" extra={button}>
      <p class="quiet">
        A client that has one of these addresses uses several servers through it. A profile shows the servers
        that you choose.
      </p>
      {error && <Refused error={error} />}
      {value && (
        <Table
          caption="Endpoints for several servers"
          columns={columnsOf(known, shown, setShown, setEdited)}
          rows={value.items}
          id={(each) => each.name}
          order={{ column: "path", isDescending: false }}
          empty={<Empty>The gateway has no such endpoint.</Empty>}
        />
      )}
      {value?.items.some((each) => each.name === shown) && <Listed key={shown} name={shown} />}
      {edited && (
        <ProfileForm profile={edited === "new" ? undefined : edited} onClose={() => setEdited(undefined)} />
      )}
    </Section>
  );
}

function columnsOf(
  profiles: ReadonlyMap<string, Profile>,
  shown: string,
  onShow: (name: string) => void,
  onEdit: (profile: Profile) => void,
): Column<View>[] {
  return [
    {
      name: "path",
      title: "Address",
      by: (each) => each.path,
      show: (each) => <Command text={surroundings.origin + each.path} />,
    },
    { name: "kind", title: "Lists", show: (each) => KINDS[each.kind] ?? each.kind, isMinor: true },
    {
      name: "servers",
      title: "Servers",
      by: (each) => each.servers.length,
      show: (each) => <span title={each.servers.map(plain).join(", ")}>{count(each.servers.length)}</span>,
      isNumber: true,
    },
    {
      name: "tools",
      title: "Tools listed",
      by: (each) => each.tools,
      show: (each) => count(each.tools),
      isNumber: true,
    },
    {
      name: "tokens",
      title: "Tokens",
      by: (each) => each.tokens,
      show: (each) => (each.unknown.length ? `${tokens(each.tokens)} or more` : tokens(each.tokens)),
      isNumber: true,
    },
    {
      name: "all",
      title: "Can be called",
      by: (each) => each.all_tools,
      show: (each) => count(each.all_tools),
      isNumber: true,
      isMinor: true,
    },
    {
      name: "acts",
      title: "Actions",
      show: (each) => {
        const profile = profiles.get(each.profile);
        const isShown = shown === each.name;
        return (
          <span class="buttons">
            <button
              type="button"
              aria-expanded={isShown}
              aria-label={`Tools of ${plain(each.path)}`}
              onClick={() => onShow(isShown ? "" : each.name)}
            >
              Tools
            </button>
            {profile && (
              <button
                type="button"
                aria-label={`Change ${plain(profile.name)}`}
                onClick={() => onEdit(profile)}
              >
                Change
              </button>
            )}
            {profile && !profile.own.length && <DeleteButton name={profile.name} />}
          </span>
        );
      },
    },
  ];
}

function DeleteButton({ name }: { name: string }) {
  const shown = plain(name);
  return (
    <ActButton
      label={`Delete ${shown}`}
      act={{
        method: "DELETE",
        path: `${PROFILES}/${encodeURIComponent(name)}`,
        done: `${shown} is deleted`,
        rights: "admin",
      }}
      question={{
        title: `Delete the profile ${shown}?`,
        effect: `/mcp/p/${shown} is no address any more; its servers stay.`,
        yes: "Delete",
      }}
    >
      Delete
    </ActButton>
  );
}

/** The tools that a view lists, for a client that takes all of them or only so many. */
function Listed({ name }: { name: string }) {
  const [most, setMost] = useState(0);
  const path = `/api/v1/views?view=${encodeURIComponent(name)}${most ? `&most=${most}` : ""}`;
  const { value, error } = useResource<{ items: View[] }>(path);
  const view = value?.items[0];
  const beyond = view?.beyond ?? [];
  return (
    <div class="list">
      <div class="filters">
        <label>
          A client that takes{" "}
          <select value={most} onChange={(event) => setMost(Number(event.currentTarget.value))}>
            <option value={0}>all tools</option>
            {MOST.map((each) => (
              <option key={each} value={each}>
                {each} tools
              </option>
            ))}
          </select>
        </label>
        <span class="quiet" role="status">
          {view && `${counted(view.listed?.length ?? 0, "tool")} at /${plain(name)}`}
          {beyond.length > 0 && `, ${count(beyond.length)} left out`}
        </span>
      </div>
      {error && <Refused error={error} />}
      {view && view.unknown.length > 0 && (
        <p class="quiet">Not asked yet: {view.unknown.map(plain).join(", ")}.</p>
      )}
      <p>
        <Names names={view?.listed ?? []} />
      </p>
      {beyond.length > 0 && (
        <>
          <h3>Left out</h3>
          <p>
            <Names names={beyond} />
          </p>
        </>
      )}
    </div>
  );
}

function Names({ names }: { names: readonly string[] }) {
  return names.flatMap((each) => [<code key={each}>{plain(each)}</code>, " "]);
}

function ProfileForm({ profile, onClose }: { profile: Profile | undefined; onClose: () => void }) {
  const [name, setName] = useState(profile?.name ?? "");
  const [include, setInclude] = useState<string[]>(profile?.include ?? []);
  const [off, setOff] = useState((profile?.tools_off ?? []).join("\n"));
  const [description, setDescription] = useState(profile?.description ?? "");
  const own = profile?.own ?? [];
  const others = (overview.value?.backends ?? []).filter((each) => !own.includes(each.name));
  const turn = (server: string) =>
    setInclude(include.includes(server) ? include.filter((each) => each !== server) : [...include, server]);
  const save = async (event: Event) => {
    event.preventDefault();
    const tools_off = off.split(/[\n,]/).flatMap((each) => each.trim() || []);
    const made = await act({
      method: "PUT",
      path: `${PROFILES}/${encodeURIComponent(name.trim())}`,
      body: { include, tools_off, description, capabilities: profile?.capabilities ?? [] },
      headers: profile ? {} : { "If-None-Match": "*" },
      done: `${plain(name)} is at /mcp/p/${plain(name)}`,
      rights: "admin",
    });
    if (made) onClose();
  };
  return (
    <Dialog title={profile ? `Profile ${plain(profile.name)}` : "New profile"} onClose={onClose}>
      <form onSubmit={save}>
        {!profile && (
          <div class="field">
            <label for="profile-name">Name</label>
            <input
              id="profile-name"
              required
              maxLength={64}
              pattern="[A-Za-z0-9][A-Za-z0-9._\-]*"
              title="Letters, digits, '.', '_' and '-'"
              value={name}
              onInput={(event) => setName(event.currentTarget.value)}
            />
          </div>
        )}
        {own.length > 0 && <p class="quiet">It defines {own.map(plain).join(", ")} itself.</p>}
        <fieldset>
          <legend>Servers</legend>
          {others.map(({ name: each }) => (
            <label key={each} class="check">
              <input type="checkbox" checked={include.includes(each)} onChange={() => turn(each)} />
              {plain(each)}
            </label>
          ))}
        </fieldset>
        <div class="field">
          <label for="profile-off">Tools without, one per line; * stands for any characters</label>
          <textarea
            id="profile-off"
            rows={3}
            value={off}
            onInput={(event) => setOff(event.currentTarget.value)}
          />
        </div>
        <div class="field">
          <label for="profile-description">Description</label>
          <input
            id="profile-description"
            value={description}
            onInput={(event) => setDescription(event.currentTarget.value)}
          />
        </div>
        <div class="buttons">
          <button type="submit" class="primary">
            Save
          </button>
          <button type="button" onClick={onClose}>
            Cancel
          </button>
        </div>
      </form>
    </Dialog>
  );
}
