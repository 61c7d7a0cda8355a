/** The releases of the gateway and of the extension, which are made together. */

/**
 * Return the sentence about a gateway of another release, with the remedy; empty where both are of the same one.
 *
 * The first two numbers count: both understand each other between releases that differ in the third.
 */
export function otherRelease(gateway: string, extension: string): string {
  const [one, other] = [gateway, extension].map((each) => /^(\d+)\.(\d+)/.exec(each)?.slice(1).map(Number));
  if (!one || !other) return "";
  const by = (one[0] ?? 0) - (other[0] ?? 0) || (one[1] ?? 0) - (other[1] ?? 0);
  if (!by) return "";
  const [what, command] =
    by < 0 ? ["the gateway", "mcpgateway upgrade"] : ["the extension", "mcpgateway service install --vscode"];
  return `The gateway is of release ${gateway}, the extension of ${extension}: ${command} brings ${what} up to date`;
}
