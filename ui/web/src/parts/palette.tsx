/** The command palette: a field, and the rows that its words find, chosen by keys alone. */

import type { DetectedClient, Server, Session, ToolRow } from "@mcpgateway/core/model";
import { find } from "@mcpgateway/core/palette";
import { count, counted, plain } from "@mcpgateway/core/words";
import type { TargetedKeyboardEvent } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { notice } from "../act";
import { type Choice, choices } from "../choices";
import { overview } from "../gateway";
import { close } from "../keys";
import { useResource } from "../resource";
import { Dialog } from "./dialog";

const LIST = "palette-list";

export function Palette() {
  const servers = useResource<Server[]>("/api/v1/servers?tools=false");
  const tools = useResource<ToolRow[]>("/api/v1/tools?asked=false");
  const detected = useResource<{ detected: DetectedClient[] }>("/clients/detect");
  const sessions = useResource<{ sessions: Session[] }>("/api/v1/sessions?limit=1000");
  const [query, setQuery] = useState("");
  const [at, setAt] = useState(0);
  const all = useMemo(
    () =>
      choices({
        overview: overview.value,
        notice: notice.value,
        servers: servers.value ?? [],
        tools: tools.value ?? [],
        detected: detected.value?.detected ?? [],
        sessions: sessions.value?.sessions ?? [],
      }),
    [overview.value, notice.value, servers.value, tools.value, detected.value, sessions.value],
  );
  const { shown, total } = useMemo(() => find(all, query), [all, query]);
  const chosen = Math.min(at, shown.length - 1);
  const run = (choice: Choice | undefined) => {
    if (!choice) return;
    close("palette");
    void choice.run();
  };
  const pressed = (event: TargetedKeyboardEvent<HTMLInputElement>) => {
    if (event.isComposing) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) setAt((chosen + step + shown.length) % (shown.length || 1));
    else if (event.key === "Enter") run(shown[chosen]);
    else return;
    event.preventDefault();
  };
  const refused = servers.error ?? tools.error;
  return (
    <Dialog
      title="Search servers, tools, clients, pages and actions"
      kind="palette"
      onClose={() => close("palette")}
    >
      <input
        type="text"
        role="combobox"
        aria-labelledby="dialog-title"
        aria-expanded={shown.length > 0}
        aria-controls={LIST}
        aria-activedescendant={shown.length ? `${LIST}-${chosen}` : undefined}
        aria-autocomplete="list"
        autocomplete="off"
        spellcheck={false}
        placeholder="Servers, tools, clients, pages, actions"
        value={query}
        onInput={(event) => {
          setQuery(event.currentTarget.value);
          setAt(0);
        }}
        onKeyDown={pressed}
      />
      <div id={LIST} role="listbox" aria-labelledby="dialog-title">
        {shown.map((each, index) => (
          <Row
            key={`${each.kind} ${each.text} ${each.words}`}
            id={`${LIST}-${index}`}
            choice={each}
            isChosen={index === chosen}
            onRun={() => run(each)}
          />
        ))}
      </div>
      <p class="hint" role="status">
        {query && !total && "Nothing is found."}
        {total > shown.length && `${count(total)} found, of which ${count(shown.length)} are shown.`}
        {query && total > 0 && total === shown.length && `${counted(total, "row")} found.`}
        {refused && ` ${plain(refused.message)}.`}
      </p>
    </Dialog>
  );
}

function Row(props: { id: string; choice: Choice; isChosen: boolean; onRun: () => void }) {
  const { id, choice, isChosen, onRun } = props;
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (isChosen) place.current?.scrollIntoView({ block: "nearest" });
  }, [isChosen]);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the keys are those of the field, which has the focus.
    <div id={id} ref={place} role="option" tabIndex={-1} aria-selected={isChosen} onClick={onRun}>
      <span class="text">{choice.text}</span> <span class="quiet">{choice.note}</span>
    </div>
  );
}
