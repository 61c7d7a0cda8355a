/** The dialog that makes a token for an agent, and shows it once. */

import { asClientEntry } from "@mcpgateway/core/snippets";
import { plain } from "@mcpgateway/core/words";
import { useState } from "preact/hooks";
import { act } from "../act";
import { overview } from "../gateway";
import { surroundings } from "../surroundings";
import { Command, Copy } from "./basics";
import { Dialog } from "./dialog";

const DAY_S = 86_400;
const LIVES = [
  { words: "30 days", seconds: 30 * DAY_S },
  { words: "a year", seconds: 365 * DAY_S },
  { words: "until it is revoked", seconds: 0 },
];

/** Ask for the name and the limits of a token; the token is shown in this dialog alone. */
export function NewToken({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState("");
  const [servers, setServers] = useState<string[]>([]);
  const [patterns, setPatterns] = useState("");
  const [isReader, setReader] = useState(false);
  const [seconds, setSeconds] = useState(LIVES[0]?.seconds ?? 0);
  const [token, setToken] = useState("");
  const make = async (event: Event) => {
    event.preventDefault();
    const tools = patterns.split(/[\s,]+/).filter(Boolean);
    const body = { name: name.trim(), servers, tools, read_only: isReader, expires_in: seconds };
    const made = await act<{ token: string }>({
      method: "POST",
      path: "/api/v1/tokens",
      body,
      done: `${plain(name)} has a token`,
      rights: "admin",
    });
    if (made) setToken(made.token);
  };
  const snippet = asClientEntry(token, servers, surroundings.origin);
  if (token)
    return (
      <Dialog title={`The token of ${plain(name)}`} onClose={onClose}>
        <p>The token is shown only now. The gateway keeps a digest of it.</p>
        <p>
          <Command text={token} />
        </p>
        <p>
          The entry for a client's file, as most clients take it <Copy text={snippet} label="the entry" />
        </p>
        <pre tabIndex={0}>{snippet}</pre>
        <p>An agent sends it as a header of its requests:</p>
        <p>
          <Command text={`Authorization: Bearer ${token}`} />
        </p>
        <div class="buttons">
          <button type="button" class="primary" onClick={onClose}>
            Done
          </button>
        </div>
      </Dialog>
    );
  return (
    <Dialog title="New token" onClose={onClose}>
      <form onSubmit={make}>
        <div class="field">
          <label for="token-name">Name</label>
          <input
            id="token-name"
            required
            maxLength={64}
            value={name}
            onInput={(event) => setName(event.currentTarget.value)}
          />
        </div>
        <fieldset>
          <legend>Servers; without a choice all</legend>
          {overview.value?.backends.map(({ name: each }) => (
            <label key={each} class="check">
              <input
                type="checkbox"
                value={each}
                checked={servers.includes(each)}
                onChange={(event) =>
                  setServers(
                    event.currentTarget.checked
                      ? [...servers, each]
                      : servers.filter((other) => other !== each),
                  )
                }
              />
              {plain(each)}
            </label>
          ))}
        </fieldset>
        <div class="field">
          <label for="token-tools">Tools, such as get_* or github__list_issues; without any, all</label>
          <input
            id="token-tools"
            value={patterns}
            spellcheck={false}
            onInput={(event) => setPatterns(event.currentTarget.value)}
          />
        </div>
        <div class="field">
          <input
            type="checkbox"
            id="token-reads"
            checked={isReader}
            onChange={(event) => setReader(event.currentTarget.checked)}
          />
          <label for="token-reads">Only tools that read</label>
        </div>
        <div class="field">
          <label for="token-life">Valid for</label>
          <select
            id="token-life"
            value={seconds}
            onChange={(event) => setSeconds(Number(event.currentTarget.value))}
          >
            {LIVES.map((each) => (
              <option key={each.seconds} value={each.seconds}>
                {each.words}
              </option>
            ))}
          </select>
        </div>
        <div class="buttons">
          <button type="submit" class="primary">
            Make the token
          </button>
          <button type="button" onClick={onClose}>
            Cancel
          </button>
        </div>
      </form>
    </Dialog>
  );
}
