/** A list that chooses one of several values, such as those that the rows of a table have. */

import { plain } from "@mcpgateway/core/words";

/** Return the different names among some, in order. */
export function distinct(names: readonly (string | undefined)[] = []): string[] {
  return [...new Set(names)].filter((each) => each !== undefined && each !== "").sort() as string[];
}

/** Return the values of a list of names, with "all" before them. */
export function named(names: readonly string[]): [string, string][] {
  return [["", "all"], ...names.map((each): [string, string] => [each, plain(each)])];
}

interface SelectProps {
  label: string;
  value: string;
  /** Each with its word. */
  values: readonly [string, string][];
  onValue: (value: string) => void;
}

export function Select({ label, value, values, onValue }: SelectProps) {
  return (
    <label class="choice">
      {label}{" "}
      <select data-name={label} value={value} onChange={(event) => onValue(event.currentTarget.value)}>
        {values.map(([each, word]) => (
          <option key={each} value={each}>
            {word}
          </option>
        ))}
      </select>
    </label>
  );
}
