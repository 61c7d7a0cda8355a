/** Names of servers, which lead to their pages. */

import { plain } from "@mcpgateway/core/words";
import { overview } from "../gateway";
import { to } from "../router";

/** The server that the gateway's own tools are shown to be of. */
const OWN = "gateway";

/** Whether a server has a page: the gateway's own tools and servers that are gone have none. */
export function isServer(name: string): boolean {
  return !overview.value || overview.value.backends.some((each) => each.name === name);
}

/** A server's name, with a link where it has a page. */
export function ServerLink({ name, tab = "" }: { name: string; tab?: string }) {
  if (isServer(name)) return <a href={tab ? to("servers", name, tab) : to("servers", name)}>{plain(name)}</a>;
  return <span class="quiet">{name === OWN ? "the gateway's own tools" : `${plain(name)} (removed)`}</span>;
}
