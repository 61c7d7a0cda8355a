/** The control of the page that asks for something: dialogs name it, and it gets the focus back. */

let pressed: HTMLElement | undefined;

/** Follow the focus outside of dialogs. */
export function followFocus(): void {
  document.addEventListener("focusin", ({ target }) => {
    if (target instanceof HTMLElement && !target.closest("dialog")) pressed = target;
  });
}

/** Return the name of the button that was pressed, or of that which sends the form; empty where there is none. */
export function nameOfPressed(): string {
  const button =
    pressed?.closest("button") ?? pressed?.closest("form")?.querySelector('button[type="submit"]');
  return button?.getAttribute("aria-label") ?? button?.textContent?.trim() ?? "";
}

/** Give the focus back if nothing has it: a button that is switched off while its act is under way loses it. */
export function returnFocus(): void {
  requestAnimationFrame(() => {
    if ((document.activeElement ?? document.body) === document.body) pressed?.focus();
  });
}
