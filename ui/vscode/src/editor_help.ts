/** Help in files: the gateway's faults where they are, and who serves the servers of a client's file. */

import * as vscode from "vscode";
import { byFile, lensOf, type Problem } from "./lens";
import { isOwn, portOf } from "./place";
import type { Known } from "./watch";
import type { Part, Workbench } from "./workbench";

const FILES: vscode.DocumentSelector = [
  { scheme: "file", pattern: "**/.mcp.json" },
  { scheme: "file", pattern: "**/.vscode/mcp.json" },
];

export class EditorHelp implements Part, vscode.CodeLensProvider {
  readonly #changed = new vscode.EventEmitter<void>();
  readonly onDidChangeCodeLenses = this.#changed.event;
  readonly #problems = vscode.languages.createDiagnosticCollection("mcpgateway");
  readonly #registered: vscode.Disposable[];
  #enrolled = "";
  #config = "";

  constructor(readonly bench: Workbench) {
    this.#registered = [
      vscode.languages.registerCodeLensProvider(FILES, this),
      this.#changed,
      this.#problems,
    ];
  }

  provideCodeLenses(document: vscode.TextDocument): vscode.CodeLens[] {
    const { place, known } = this.bench;
    if (!isOwn(place)) return []; // a gateway elsewhere does not see the file
    const enrolled = (known.overview?.clients ?? []).map((each) => each.path);
    const found = lensOf(document.uri.fsPath, document.getText(), enrolled, portOf(place.home));
    if (!found) return [];
    const { line, title, command, client } = found;
    const row = { id: "", label: client.label, client };
    return [
      new vscode.CodeLens(new vscode.Range(line, 0, line, 0), {
        title,
        command,
        arguments: [row],
      }),
    ];
  }

  follow({ phase, overview }: Known): void {
    const enrolled = JSON.stringify([phase, overview?.clients]);
    if (enrolled !== this.#enrolled) {
      this.#enrolled = enrolled;
      this.#changed.fire();
    }
    const config = JSON.stringify([phase === "here", overview?.config]);
    if (config === this.#config || !overview) return;
    this.#config = config;
    void this.#ask();
  }

  async #ask(): Promise<void> {
    const { bench } = this;
    try {
      const { problems } = await bench.connection.api.get<{ problems: Problem[] }>("/api/v1/config");
      this.#problems.clear();
      if (!isOwn(bench.place)) return;
      for (const [file, found] of byFile(problems))
        this.#problems.set(vscode.Uri.file(file), found.map(diagnosticOf));
    } catch (why) {
      bench.log.warn(`The faults of the configuration are not known: ${String(why)}`);
    }
  }

  dispose(): void {
    for (const each of this.#registered) each.dispose();
  }
}

function diagnosticOf({ level, line, says }: Problem): vscode.Diagnostic {
  const at = Math.max(0, (line ?? 1) - 1);
  const range = new vscode.Range(at, 0, at, Number.MAX_SAFE_INTEGER);
  const { Error: error, Warning: warning } = vscode.DiagnosticSeverity;
  const made = new vscode.Diagnostic(range, says, level === "error" ? error : warning);
  made.source = "MCP Gateway";
  return made;
}
