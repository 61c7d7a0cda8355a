/**
 * The ways to install the program, of those that the machine has.
 *
 * Each takes the wheel of a release: a package index may have another program of that name.
 */

export interface Way {
  label: string;
  /** The words of the command, before the file of the wheel. */
  words: string[];
}

const WAYS: (Way & { needs: string })[] = [
  { needs: "uv", label: "uv", words: ["uv", "tool", "install"] },
  { needs: "pipx", label: "pipx", words: ["pipx", "install"] },
  { needs: "python3", label: "pip", words: ["python3", "-m", "pip", "install", "--user"] },
];

/** Return the ways to install the program, the best first. */
export function waysToInstall(has: (program: string) => boolean): Way[] {
  return WAYS.filter(({ needs }) => has(needs)).map(({ label, words }) => ({ label, words }));
}

/** A server that a running client has started itself, and that the gateway serves now. */
export interface Duplicate {
  pid: number;
  server: string;
  client: string;
  rss_kib: number;
}

/** Return the duplicates in the answer of `mcpgateway start --json`; a gateway that runs is left as it is. */
export function duplicatesIn(out: string): Duplicate[] {
  try {
    const found = JSON.parse(out) as { duplicates?: { found?: Duplicate[] } };
    return found.duplicates?.found ?? [];
  } catch {
    return [];
  }
}
