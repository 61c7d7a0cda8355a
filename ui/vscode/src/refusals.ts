/** The question for a token, once for each gateway that refuses the present one. */

import * as vscode from "vscode";
import type { Known } from "./watch";
import type { Part, Workbench } from "./workbench";

export class Refusals implements Part {
  #asked = "";

  constructor(readonly bench: Workbench) {}

  follow({ phase, refusal }: Known): void {
    const { place, connection } = this.bench;
    if (phase === "here") this.#asked = "";
    if (phase !== "refused" || place.socket) return;
    const asked = JSON.stringify([place.base, connection.token]);
    if (asked === this.#asked || !vscode.window.state.focused) return;
    this.#asked = asked;
    const text = `The gateway at ${place.base} refuses the token: ${refusal}`;
    void vscode.window.showWarningMessage(text, "Enter Token…").then((chosen) => {
      if (chosen) void vscode.commands.executeCommand("mcpgateway.enterToken");
    });
  }

  dispose(): void {
    // It holds nothing.
  }
}
