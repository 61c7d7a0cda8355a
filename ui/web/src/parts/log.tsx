/** A log that grows: its last lines, then new ones, with a search and a pause. */

import { follow } from "@mcpgateway/core/stream";
import { matches } from "@mcpgateway/core/tables";
import { count, logged, plain } from "@mcpgateway/core/words";
import { useEffect, useRef, useState } from "preact/hooks";
import { api, freshness, isAsleep } from "../gateway";
import { recall, remember } from "../known";
import { signed } from "../session";
import { AWAY, Empty } from "./basics";
import { Filter } from "./filter";
import { save } from "./save";

const KEPT = 2000;
const LAST = 500;
const LONGEST = 4000;

interface Line {
  id: number;
  /** As the gateway has it, which is what a download keeps. */
  text: string;
  shown: string;
}

/** The log at a route; `of` is whose it is. */
export function Log({ path, of = "server" }: { path: string; of?: string }) {
  const [lines, setLines] = useState<Line[]>([]);
  const [query, setQuery] = useState("");
  const [level, setLevel] = useState("");
  const [isFollowing, setFollowing] = useState(true);
  const [isOpen, setOpen] = useState(false);
  const place = useRef<HTMLPreElement>(null);
  const token = signed.value.token;
  const isOff = isAsleep.value;
  useEffect(() => {
    if (isOff) return;
    const ending = new AbortController();
    const waiting: Line[] = [];
    let ids = 0;
    let frame = 0;
    // A chatty server writes many lines at once: they are drawn together.
    const draw = () => {
      frame = 0;
      const come = waiting.splice(0);
      setLines((former) => {
        const all = [...former, ...come].slice(-KEPT);
        remember(`lines of ${path}`, all);
        return all;
      });
    };
    setLines(recall<Line[]>(`lines of ${path}`) ?? []);
    void follow(api.stream(`${path}?tail=${LAST}`), {
      signal: ending.signal,
      onOpen: setOpen,
      onEvent: ({ data }) => {
        const text = plain(data.slice(0, LONGEST));
        waiting.push({ id: ids++, text, shown: logged(text) });
        frame ||= requestAnimationFrame(draw);
      },
    });
    return () => {
      ending.abort();
      cancelAnimationFrame(frame);
    };
  }, [path, token, isOff]);
  useEffect(() => {
    if (isFollowing && place.current) place.current.scrollTop = place.current.scrollHeight;
  }, [lines, isFollowing]);
  const isOfLevel = ({ text }: Line) => !level || LEVELS[level]?.includes(levelOf(text));
  const shown = lines.filter((each) => isOfLevel(each) && matches(`${each.shown} ${each.text}`, query));
  const nothing = lines.length
    ? "No line matches."
    : freshness.value === "stale"
      ? AWAY
      : isOpen
        ? `The ${of} has written nothing yet.`
        : "Asking the gateway.";
  const keep = () => save(`${of}.log`, "text/plain", lines.map((each) => `${each.text}\n`).join(""));
  return (
    <>
      <div class="filters">
        <Filter query={query} onQuery={setQuery} what="lines" />
        <select aria-label="Level" value={level} onChange={(event) => setLevel(event.currentTarget.value)}>
          <option value="">all levels</option>
          {Object.keys(LEVELS).map((each) => (
            <option key={each}>{each}</option>
          ))}
        </select>
        <button type="button" aria-pressed={isFollowing} onClick={() => setFollowing(!isFollowing)}>
          Follow
        </button>
        <button type="button" onClick={keep}>
          Download
        </button>
        <span class="quiet">
          {count(shown.length)} lines{isOpen ? "" : ", not connected"}
        </span>
      </div>
      {shown.length ? (
        <pre class="log" ref={place} tabIndex={0} role="log" aria-label="Log" aria-live="off">
          {shown.map((each) => (
            <span key={each.id} class={levelOf(each.text)}>
              {each.shown}
              {"\n"}
            </span>
          ))}
        </pre>
      ) : (
        <Empty>{nothing}</Empty>
      )}
    </>
  );
}

const LEVELS: Record<string, (string | undefined)[]> = {
  "warnings and errors": ["warned", "failed"],
  errors: ["failed"],
};
const LEVEL = /\[(error|critical|alert|emergency|warn|warning)\]/;

function levelOf(text: string): string | undefined {
  const level = LEVEL.exec(text.slice(0, 120))?.[1];
  return level && (level.startsWith("warn") ? "warned" : "failed");
}
