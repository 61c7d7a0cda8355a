/** A group of servers, with the buttons that act on all of them. */

import type { ServerGroup } from "@mcpgateway/core/groups";
import { counted, plain } from "@mcpgateway/core/words";
import type { ComponentChildren } from "preact";
import { State } from "./basics";
import { BulkButtons } from "./bulk";

/** A group that is opened by a click; a filter opens every group. */
export function ServerGroupPart(props: { group: ServerGroup; isOpen: boolean; children: ComponentChildren }) {
  const { name, title, status, servers } = props.group;
  const shown = plain(name);
  return (
    <div class="group">
      <BulkButtons of={shown} servers={servers} kinds={["restart", "stop", "off", "on"]} />
      <details open={props.isOpen}>
        <summary>
          {title && <span class="quiet">{plain(title)} </span>}
          <strong>{shown}</strong> <State state={status} /> {counted(servers.length, "server")}
        </summary>
        {props.children}
      </details>
    </div>
  );
}
