/** A page of the dashboard in a panel of an editor: servers, tools and calls, without the frame of a browser's tab. */

import { plain } from "@mcpgateway/core/words";
import { render } from "preact";
import { useEffect } from "preact/hooks";
import { turned } from "../act";
import { freshness, watch } from "../gateway";
import { CallPage } from "../pages/call";
import { CallsPage } from "../pages/calls";
import { PlaygroundPage } from "../pages/playground";
import { ServerPage } from "../pages/server";
import { ServersPage } from "../pages/servers";
import { ToolsPage } from "../pages/tools";
import { Away } from "../parts/away";
import { Confirmation } from "../parts/dialog";
import { Outcome } from "../parts/outcome";
import { follow, go, path } from "../router";
import { surroundings } from "../surroundings";
import { post, settle, shown } from "./editor";

const PAGES = /^\/ui\/(?:servers|tools|calls)(?:[/?]|$)/;

function Panel() {
  const [first = "", name = "", tab = ""] = path.value;
  useEffect(() => {
    const { pathname, search } = surroundings.address();
    shown(titleOf(first, name), pathname + search);
    turned();
  }, [path.value]);
  return (
    <div class={`panel ${freshness.value}`}>
      <Outcome />
      <main tabIndex={-1}>
        <Away />
        <Page first={first} name={name} tab={tab} />
      </main>
      <Confirmation />
    </div>
  );
}

function titleOf(first: string, name: string): string {
  if (!name) return `MCP ${first}`;
  return first === "calls"
    ? "MCP call"
    : plain(first === "tools" ? name.slice(name.indexOf("__") + 2) : name);
}

function Page({ first, name, tab }: { first: string; name: string; tab: string }) {
  if (first === "tools") return name ? <PlaygroundPage key={name} id={name} /> : <ToolsPage />;
  if (first === "calls") return name ? <CallPage key={name} id={name} /> : <CallsPage />;
  return name ? <ServerPage key={name} name={name} tab={tab} /> : <ServersPage />;
}

const place = document.getElementById("app");
if (place) {
  const { origin = "", path: first = "" } = document.documentElement.dataset;
  settle(origin, first);
  // The editor would open the link in a browser.
  place.addEventListener("click", (event) => {
    const address = (event.target as Element).closest("a")?.getAttribute("href") ?? "";
    if (event.defaultPrevented || !address.startsWith("/ui/")) return;
    event.preventDefault();
    event.stopPropagation();
    if (PAGES.test(address)) void follow(address);
    else post({ open: address });
  });
  void go(first, true).then(() => {
    render(<Panel />, place);
    watch();
  });
}
