/** The registration of the gateway as an MCP server of VS Code's chat, which has to be there at once. */

import * as vscode from "vscode";
import type { Offer } from "./chat";

/** What a window's chat is told. */
export interface OfferingChat {
  readonly offers: readonly Offer[];
  /** Called when VS Code needs the server. */
  resolve(definition: vscode.McpHttpServerDefinition): Promise<void>;
}

/** Answers VS Code, which asks before the workbench is there, too. */
export class ChatProvider implements vscode.McpServerDefinitionProvider<vscode.McpHttpServerDefinition> {
  readonly #changed = new vscode.EventEmitter<void>();
  readonly onDidChangeMcpServerDefinitions = this.#changed.event;
  #chat: OfferingChat | undefined;

  /** Let a window's chat answer from now on. */
  lead(chat: OfferingChat): void {
    this.#chat = chat;
    this.#changed.fire();
  }

  changed(): void {
    this.#changed.fire();
  }

  provideMcpServerDefinitions(): vscode.McpHttpServerDefinition[] {
    return (this.#chat?.offers ?? []).map(
      ({ label, url, headers, version }) =>
        new vscode.McpHttpServerDefinition(label, vscode.Uri.parse(url, true), headers, version),
    );
  }

  async resolveMcpServerDefinition(
    definition: vscode.McpHttpServerDefinition,
  ): Promise<vscode.McpHttpServerDefinition> {
    await this.#chat?.resolve(definition);
    return definition;
  }
}
