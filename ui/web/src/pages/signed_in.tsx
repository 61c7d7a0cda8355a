/** The tab in which a user has signed in at the authorization server; it ends with the sign-in. */

import { useEffect, useState } from "preact/hooks";
import { passOn } from "../parts/issuer";

export function SignedInPage() {
  const [outcome, setOutcome] = useState<string>();
  useEffect(() => {
    const query = location.search;
    // The code is valid once; it is taken out of the history all the same.
    history.replaceState(null, "", location.pathname);
    void passOn(query).then((found) => {
      setOutcome(found);
      if (!found) close();
    });
  }, []);
  return (
    <>
      <h1>Sign-in</h1>
      <p role="status" class={outcome ? "refused" : ""}>
        {outcome === undefined
          ? "The gateway asks the authorization server."
          : outcome || "You are signed in. This tab can be closed."}
      </p>
    </>
  );
}
