/** The catalogue: a server is found by words, asks for its inputs, and is installed. */

import {
  effectOf,
  type Found,
  INSTALL_MS,
  type Item,
  installPath,
  isNeeded,
  type Need,
  searchPath,
} from "@mcpgateway/core/catalogue";
import { counted, plain } from "@mcpgateway/core/words";
import * as vscode from "vscode";
import { confirmed, picked } from "../picks";
import type { Command, Workbench } from "../workbench";

const TYPED_MS = 400;

interface Choice extends vscode.QuickPickItem {
  item: Item;
}

const addFromCatalogue: Command = async (bench) => {
  const item = await chosen(bench);
  if (!item) return;
  const values: Record<string, string> = {};
  for (const need of item.needs) {
    const value = await inputOf(item, need);
    if (value === undefined) return;
    if (value) values[need.name] = value;
  }
  if (!(await confirmed(`Install ${plain(item.name)}?`, plain(effectOf(item)), "Install"))) return;
  const done = await bench.act(`Installing ${item.name}`, () =>
    bench.connection.api.send<{ server: string; tools: string[] }>(
      "POST",
      installPath(item),
      { values },
      {},
      INSTALL_MS,
    ),
  );
  if (done) bench.done(`${done.server} is installed: ${counted(done.tools.length, "tool")}`);
};

/** Let the user search; return what is chosen. */
async function chosen(bench: Workbench): Promise<Item | undefined> {
  const box = vscode.window.createQuickPick<Choice>();
  box.title = "Add a Server from the Catalogue";
  box.placeholder = "browser, database, notes";
  let timer: NodeJS.Timeout | undefined;
  const search = async () => {
    const query = box.value.trim();
    box.busy = true;
    try {
      const found = await bench.connection.api.get<Found>(searchPath(query));
      if (query !== box.value.trim()) return;
      box.items = found.items.map(choiceOf);
      box.title = found.problem
        ? `The registry could not be searched: ${plain(found.problem)}`
        : "Add a Server from the Catalogue";
    } catch (why) {
      box.hide();
      bench.failed("The catalogue cannot be searched", why);
    } finally {
      box.busy = false;
    }
  };
  box.onDidChangeValue(() => {
    clearTimeout(timer);
    timer = setTimeout(() => void search(), TYPED_MS);
  });
  box.show();
  void search();
  try {
    return await new Promise((resolve) => {
      box.onDidAccept(() => {
        const [choice] = box.selectedItems;
        if (choice?.item.installable) resolve(choice.item);
      });
      box.onDidHide(() => resolve(undefined));
    });
  } finally {
    clearTimeout(timer);
    box.dispose();
  }
}

/** The gateway has matched it already, also by words that are not shown. */
const choiceOf = (item: Item): Choice => ({
  label: plain(item.name),
  description: [
    item.source === "registry" ? `registry, ${plain(item.version)}` : "recipe",
    item.deprecated && "deprecated by its author",
    !item.installable && `cannot be run here: ${plain(item.reason)}`,
  ]
    .filter(Boolean)
    .join("; "),
  detail: plain(item.description),
  alwaysShow: true,
  item,
});

/** Ask for an input; return undefined if the user gives up, and an empty text for the usual value. */
async function inputOf(item: Item, need: Need): Promise<string | undefined> {
  const title = `${plain(item.name)}: ${plain(need.name)}`;
  const usual = need.default ?? "";
  if (need.choices) {
    const choices = need.choices.map((each) => ({
      label: plain(each),
      ...(each === usual && { description: "usual" }),
      value: each,
    }));
    return await picked(`${title}: ${plain(need.about)}`, choices, "");
  }
  return await vscode.window.showInputBox({
    title,
    prompt: [plain(need.about), need.secret && "the gateway keeps it in its own file of values"]
      .filter(Boolean)
      .join("; "),
    value: need.secret ? "" : usual,
    placeHolder: need.secret ? "empty: the value that the gateway has" : "",
    password: need.secret ?? false,
    ignoreFocusOut: true,
    validateInput: (text) => (isNeeded(need) && !text.trim() ? "It is needed" : undefined),
  });
}

export const CATALOGUE_COMMANDS: Record<string, Command> = {
  "mcpgateway.addFromCatalogue": addFromCatalogue,
};
