/** A view of rows. */

import * as vscode from "vscode";
import type { Row } from "./rows";

/** Returns the rows below one that are asked for when it is opened. */
export type Later = (row: Row) => Promise<Row[]>;

export class Tree implements vscode.TreeDataProvider<Row>, vscode.Disposable {
  readonly view: vscode.TreeView<Row>;
  readonly #changed = new vscode.EventEmitter<Row | undefined>();
  readonly onDidChangeTreeData = this.#changed.event;
  readonly #parents = new Map<string, Row>();
  #rows: Row[] = [];
  #shown = "[]";
  later: Later = async () => [];

  constructor(name: string) {
    this.view = vscode.window.createTreeView(`mcpgateway.${name}`, {
      treeDataProvider: this,
      showCollapseAll: name === "servers",
    });
  }

  get rows(): readonly Row[] {
    return this.#rows;
  }

  /** Show rows; those that are shown already stay as they are. */
  show(rows: Row[]): void {
    const shown = JSON.stringify(rows);
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.#rows = rows;
    this.#changed.fire(undefined);
  }

  /** Ask again for the rows below rows. */
  refresh(): void {
    this.#changed.fire(undefined);
  }

  async getChildren(row?: Row): Promise<Row[]> {
    if (!row) return this.#rows;
    const found = row.children === "later" ? await this.#asked(row) : (row.children ?? []);
    for (const each of found) this.#parents.set(each.id, row);
    return found;
  }

  async #asked(row: Row): Promise<Row[]> {
    try {
      return await this.later(row);
    } catch (why) {
      const label = why instanceof Error ? why.message : String(why);
      return [{ id: `${row.id}/error`, label, icon: "error", color: "list.errorForeground" }];
    }
  }

  getParent(row: Row): Row | undefined {
    return this.#parents.get(row.id);
  }

  getTreeItem(row: Row): vscode.TreeItem {
    const { None, Collapsed, Expanded } = vscode.TreeItemCollapsibleState;
    const item = new vscode.TreeItem(row.label, row.children ? (row.isOpen ? Expanded : Collapsed) : None);
    item.id = row.id;
    if (row.description) item.description = row.description;
    if (row.icon)
      item.iconPath = new vscode.ThemeIcon(
        row.icon,
        row.color ? new vscode.ThemeColor(row.color) : undefined,
      );
    if (row.tooltip) item.tooltip = row.tooltip;
    if (row.context) item.contextValue = row.context;
    item.accessibilityInformation = {
      label: row.spoken ?? [row.label, row.description].filter(Boolean).join(", "),
    };
    if (row.command) item.command = { command: row.command, title: row.label, arguments: [row] };
    return item;
  }

  dispose(): void {
    this.view.dispose();
    this.#changed.dispose();
  }
}
