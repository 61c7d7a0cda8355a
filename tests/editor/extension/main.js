// Runs scripts of tests in the extension host of a window, by a socket whose name has the name of the window's folder.

const fs = require("node:fs");
const net = require("node:net");
const path = require("node:path");
const vscode = require("vscode");

const AsyncFunction = (async () => undefined).constructor;

async function answer(line) {
  try {
    const value = await new AsyncFunction("vscode", JSON.parse(line))(vscode);
    return { value: value === undefined ? null : value };
  } catch (why) {
    return { error: String(why?.stack ?? why) };
  }
}

exports.activate = (context) => {
  const folder = vscode.workspace.workspaceFolders?.[0]?.name ?? "none";
  const socket = path.join(process.env.MCPGATEWAY_TEST_WINDOWS, `${folder}-${process.pid}.sock`);
  const server = net.createServer((connection) => {
    let rest = "";
    connection.setEncoding("utf8");
    connection.on("error", () => undefined);
    connection.on("data", async (piece) => {
      const lines = (rest + piece).split("\n");
      rest = lines.pop();
      for (const line of lines) connection.write(`${JSON.stringify(await answer(line))}\n`);
    });
  });
  server.listen(socket);
  context.subscriptions.push({ dispose: () => fs.rmSync(socket, { force: true }) });
};
