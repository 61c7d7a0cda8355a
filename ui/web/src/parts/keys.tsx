/** The list of keys, and the switch of those that are one character. */

import { overview } from "../gateway";
import { close, isSingleOn, LETTERS, PALETTE_KEYS, switchSingle } from "../keys";
import { Dialog } from "./dialog";

const OTHERS: [string, string][] = [
  ["?", "This list"],
  ["/", "Filter the table"],
  ["j", "The next row"],
  ["k", "The row before"],
  ["Enter", "Open the row"],
  ["Backspace", "Back to the page before"],
  ["r", "Restart the server of the row"],
  ["s", "Start or stop it"],
  ["d", "Switch it on or off"],
  ["l", "Its log"],
];

export function Keys() {
  const isNode = overview.value?.cluster !== undefined;
  const letters = Object.entries(LETTERS).filter(([, { page }]) => page !== "nodes" || isNode);
  const end = () => close("keys");
  return (
    <Dialog title="Keys" onClose={end}>
      <dl class="facts keys">
        <Key keys={PALETTE_KEYS} does="Search servers, tools, clients, pages and actions" />
        <Key keys="Esc" does="Close a dialog, or dismiss a message" />
        {isSingleOn.value && (
          <>
            {OTHERS.map(([keys, does]) => (
              <Key key={keys} keys={keys} does={does} />
            ))}
            {letters.map(([letter, { title }]) => (
              <Key key={letter} keys={`g ${letter}`} does={title} />
            ))}
          </>
        )}
      </dl>
      <label class="check">
        <input
          type="checkbox"
          checked={isSingleOn.value}
          onChange={(event) => switchSingle(event.currentTarget.checked)}
        />
        Keys of one character in this browser
      </label>
      <div class="buttons">
        <button type="button" onClick={end}>
          Close
        </button>
      </div>
    </Dialog>
  );
}

function Key({ keys, does }: { keys: string; does: string }) {
  return (
    <>
      <dt>
        {keys.split(" ").map((each) => (
          <kbd key={each}>{each}</kbd>
        ))}
      </dt>
      <dd>{does}</dd>
    </>
  );
}
