/** The catalogue: servers that are installed by name, with the inputs that they need. */

import {
  effectOf,
  type Found,
  INSTALL_MS,
  type Item,
  installPath,
  isNeeded,
  type Need,
  searchPath,
} from "@mcpgateway/core/catalogue";
import type { Server } from "@mcpgateway/core/model";
import { counted, plain } from "@mcpgateway/core/words";
import { useEffect, useState } from "preact/hooks";
import { act, isBusy } from "../act";
import { useUnsaved } from "../leaving";
import { useResource } from "../resource";
import { to } from "../router";
import { surroundings } from "../surroundings";
import { Command, Empty, Refused } from "./basics";
import { confirmed } from "./dialog";

const TYPED_MS = 400;
const SHOWN = 5;

export function Catalogue() {
  const [typed, setTyped] = useState("");
  const [query, setQuery] = useState("");
  const [isWhole, setWhole] = useState(false);
  const [chosen, setChosen] = useState("");
  useEffect(() => {
    const timer = setTimeout(() => setQuery(typed.trim()), TYPED_MS);
    return () => clearTimeout(timer);
  }, [typed]);
  const { value, error } = useResource<Found>(searchPath(query), { isLive: false });
  const servers = useResource<Server[]>("/api/v1/servers?tools=false").value ?? [];
  const items = value?.items ?? [];
  const shown = query || isWhole ? items : items.slice(0, SHOWN);
  return (
    <>
      <label class="search">
        Search the catalogue
        <input
          type="search"
          spellcheck={false}
          placeholder="browser, database, notes"
          value={typed}
          onInput={(event) => setTyped(event.currentTarget.value)}
        />
      </label>
      {error && <Refused error={error} />}
      {value?.problem && <p class="refused">The registry could not be searched: {plain(value.problem)}</p>}
      <p class="quiet" role="status">
        {value ? counted(items.length, "server") : error ? "" : "Searching"}
      </p>
      {value && !items.length && <Empty>No server matches. Paste its command or its URL below.</Empty>}
      <ul class="catalogue">
        {shown.map((each) => (
          <li key={each.name}>
            <h2>{plain(each.name)}</h2>
            <p>
              {plain(each.description)}{" "}
              <span class="quiet">
                {each.source === "registry" ? `registry, ${plain(each.version)}` : "recipe"}
                {each.deprecated && ", deprecated by its author"}
              </span>
            </p>
            {installed(each, servers).map((name) => (
              <p key={name} class="quiet">
                Installed already: <a href={to("servers", name)}>{plain(name)}</a>
              </p>
            ))}
            {!each.installable ? (
              <p class="quiet">It cannot be run here: {plain(each.reason)}</p>
            ) : chosen === each.name ? (
              <InstallForm item={each} onClose={() => setChosen("")} />
            ) : (
              <button type="button" aria-label={`Install ${each.name}`} onClick={() => setChosen(each.name)}>
                Install
              </button>
            )}
          </li>
        ))}
      </ul>
      {shown.length < items.length && (
        <button type="button" onClick={() => setWhole(true)}>
          Show all {items.length}
        </button>
      )}
    </>
  );
}

/** The servers that run what an item of the catalogue installs. */
function installed({ name, runs }: Item, servers: readonly Server[]): string[] {
  const short = name.split("/").pop();
  const isIt = (each: Server) => each.name === short || (runs !== "" && each.runs.startsWith(runs));
  return servers.filter(isIt).map((each) => each.name);
}

function InstallForm({ item, onClose }: { item: Item; onClose: () => void }) {
  const [values, setValues] = useState<Record<string, string>>({});
  const [name, setName] = useState("");
  const [outcome, setOutcome] = useState<{ server: string; tools: string[] } | undefined>(undefined);
  const path = installPath(item);
  const isUnderWay = isBusy("POST", path);
  useUnsaved(!outcome && (Boolean(name) || Object.values(values).some(Boolean)));
  const install = async (event: Event) => {
    event.preventDefault();
    const effect = plain(effectOf(item));
    if (!(await confirmed({ title: `Install ${item.name}?`, effect, yes: "Install" }))) return;
    const given = Object.entries(values).filter(([, each]) => each !== "");
    const found = await act<{ server: string; tools: string[] }>({
      method: "POST",
      path,
      body: { values: Object.fromEntries(given), ...(name ? { name } : {}) },
      done: `${item.name} is installed`,
      rights: "admin",
      limit_ms: INSTALL_MS,
    });
    if (found) setOutcome(found);
  };
  if (outcome)
    return (
      <p role="status" class="outcome">
        <a href={to("servers", outcome.server)}>{plain(outcome.server)}</a> is installed:{" "}
        {counted(outcome.tools.length, "tool")}. Its address is{" "}
        <Command text={`${surroundings.origin}/${encodeURIComponent(outcome.server)}/mcp`} />
      </p>
    );
  return (
    <form class="draft" onSubmit={install}>
      {item.needs.map((each) => (
        <NeedField
          key={each.name}
          need={each}
          value={values[each.name] ?? ""}
          onValue={(value) => setValues({ ...values, [each.name]: value })}
        />
      ))}
      <label>
        Name <span class="quiet">if not as usual</span>
        <input
          pattern="[A-Za-z0-9][A-Za-z0-9_\-]*"
          spellcheck={false}
          value={name}
          onInput={(event) => setName(event.currentTarget.value)}
        />
      </label>
      <p class="quiet">
        It runs <code>{plain(item.runs)}</code>. A secret goes into the gateway's own file of values.
      </p>
      <div class="buttons">
        <button type="submit" class="primary" disabled={isUnderWay} aria-busy={isUnderWay}>
          {isUnderWay ? "Installing" : "Install it"}
        </button>
        <button type="button" onClick={onClose}>
          Cancel
        </button>
      </div>
    </form>
  );
}

function NeedField(props: { need: Need; value: string; onValue: (value: string) => void }) {
  const { need, value, onValue } = props;
  const id = `need-${need.name}`;
  const usual = {
    id,
    value,
    required: isNeeded(need),
    autocomplete: "off",
    spellcheck: false,
    onInput: (event: { currentTarget: { value: string } }) => onValue(event.currentTarget.value),
  };
  return (
    <div class="setting">
      <label for={id}>{plain(need.name)}</label>
      {need.choices ? (
        <select
          id={id}
          required={isNeeded(need)}
          value={value}
          onChange={(event) => onValue(event.currentTarget.value)}
        >
          <option value="">{need.default ?? ""}</option>
          {need.choices.map((each) => (
            <option key={each}>{each}</option>
          ))}
        </select>
      ) : need.secret ? (
        <input type="password" placeholder="empty: the value that the gateway has" {...usual} />
      ) : (
        <input placeholder={need.default ?? ""} {...usual} />
      )}
      {need.about && <p class="hint">{plain(need.about)}</p>}
    </div>
  );
}
