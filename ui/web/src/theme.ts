/** Light, dark, or as the system has it. */

import { effect, signal } from "@preact/signals";

type Theme = "system" | "light" | "dark";

const KEY = "mcpgateway-theme";
const ORDER: Theme[] = ["system", "light", "dark"];

export const theme = signal<Theme>(stored());

function stored(): Theme {
  try {
    return ORDER.find((each) => each === localStorage.getItem(KEY)) ?? "system";
  } catch {
    return "system"; // a user may forbid storage
  }
}

/** Take the next theme. */
export function switchTheme(): void {
  theme.value = ORDER[(ORDER.indexOf(theme.value) + 1) % ORDER.length] ?? "system";
  try {
    localStorage.setItem(KEY, theme.value);
  } catch {
    // The theme lasts as long as the page.
  }
}

effect(() => {
  if (theme.value === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.value;
});
