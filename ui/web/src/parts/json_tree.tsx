/** JSON as a tree whose branches open and close. */

import { plain } from "@mcpgateway/core/words";
import { Cut } from "./cut";

const SHOWN = 200;
const MOST = 2000;
const OPEN_DEPTH = 2;

export function JsonTree({ value, name = "", depth = 0 }: { value: unknown; name?: string; depth?: number }) {
  const head = name && <span class="key">{plain(name)}: </span>;
  if (typeof value !== "object" || value === null)
    return (
      <div class="leaf">
        {head}
        <code>
          <Cut text={JSON.stringify(value) ?? ""} most={MOST} name="value.json" />
        </code>
      </div>
    );
  const members = Object.entries(value);
  const sum = Array.isArray(value) ? `[${members.length}]` : `{${members.length}}`;
  if (!members.length)
    return (
      <div class="leaf">
        {head}
        <code>{sum}</code>
      </div>
    );
  return (
    <details class="tree" open={depth < OPEN_DEPTH}>
      <summary>
        {head}
        <code>{sum}</code>
      </summary>
      {members.slice(0, SHOWN).map(([each, inner]) => (
        <JsonTree key={each} name={each} value={inner} depth={depth + 1} />
      ))}
      {members.length > SHOWN && <p class="quiet">{members.length - SHOWN} more are not shown.</p>}
    </details>
  );
}
