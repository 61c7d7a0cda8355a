/** The instructions for agents, which the program writes into clients' files and keeps up to date. */

import * as vscode from "vscode";
import { confirmed, picked } from "../picks";
import { agentFilesIn, agentFilesText, instructionsIn } from "../program_answers";
import type { Command, Workbench } from "../workbench";
import { asked } from "./by_program";

/** A choice of the command: the words for the program, and the folder of the project where they are for one. */
interface Act {
  words: string[];
  folder?: string;
  question: string;
  yes: string;
}

const OTHERS_MS = 60_000;
const WRITE =
  "A file of yours gets a block between two marks, which is kept up to date. Nothing else changes.";
const REMOVE = "The files are as they were before.";

/** Write what agents are to know of the gateway, for all projects or one of them, or remove it. */
const instructAgents: Command = async (bench) => {
  const listed = await asked(bench, ["instructions", "list"], "Looking for instructions");
  const written = listed && agentFilesIn(listed.out);
  const act = written && (await picked("Instructions for agents", choices(written.length), ""));
  if (!act) return;
  if (!act.question) return await showInstructions(bench);
  const isRemoval = act.words.includes("uninstall");
  if (!isRemoval) await showInstructions(bench);
  if (!(await confirmed(act.question, isRemoval ? REMOVE : WRITE, act.yes))) return;
  const what = isRemoval ? "Removing instructions for agents" : "Writing instructions for agents";
  const { folder } = act;
  // The chat of this editor reads a project's files, also where the editor is no client on this machine.
  const own = folder && (await asked(bench, [...act.words, "--client", "vscode"], what, { folder }));
  if (folder && !own) return;
  const others = own && (await bench.starter.command(["--json", ...act.words], OTHERS_MS, { folder }));
  const done = others ? (others.code === 0 ? others : own) : await asked(bench, act.words, what);
  if (done) await bench.run("mcpgateway.showText", ["agents.txt", agentFilesText(agentFilesIn(done.out))]);
};

function choices(written: number): (vscode.QuickPickItem & { value: Act })[] {
  const install = ["instructions", "install"];
  const folders = vscode.workspace.isTrusted ? (vscode.workspace.workspaceFolders ?? []) : [];
  const yes = "Write";
  const found: (vscode.QuickPickItem & { value: Act })[] = [
    {
      label: "$(home) For all of your projects",
      description: "the files in your home of each client on this machine, such as ~/.claude/CLAUDE.md",
      value: { words: install, question: "Write instructions for agents into your clients' files?", yes },
    },
    ...folders.map(({ name, uri }) => ({
      label: `$(folder) For the project ${name}`,
      description: "AGENTS.md and the like, which can be committed",
      value: {
        words: [...install, "--project"],
        folder: uri.fsPath,
        question: `Write instructions for agents into files of ${name}?`,
        yes,
      },
    })),
    { label: "$(eye) Show the text", value: { words: [], question: "", yes } },
  ];
  if (written)
    found.push({
      label: "$(trash) Remove what was written",
      description: `${written} files, in all projects`,
      value: {
        words: ["instructions", "uninstall"],
        question: "Remove the instructions for agents?",
        yes: "Remove",
      },
    });
  return found;
}

async function showInstructions(bench: Workbench): Promise<void> {
  const shown = await asked(bench, ["instructions", "show"], "Asking for the text");
  if (shown) await bench.run("mcpgateway.showText", ["instructions.md", instructionsIn(shown.out)]);
}

export const AGENT_COMMANDS: Record<string, Command> = { "mcpgateway.instructAgents": instructAgents };
