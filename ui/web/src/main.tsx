/** Begin: sign in by a code in the address, watch the gateway, and draw. */

import { render } from "preact";
import { Frame } from "./frame";
import { watch } from "./gateway";
import { listenToKeys } from "./keys";
import { listen } from "./live";
import { arrive } from "./parts/unlock";
import { followFocus } from "./pressed";
import { route } from "./router";
import { share } from "./session";

const place = document.getElementById("app");
if (place) {
  route();
  listenToKeys();
  followFocus();
  render(<Frame />, place);
  void arrive().then(() => {
    share();
    watch();
    listen();
  });
}
