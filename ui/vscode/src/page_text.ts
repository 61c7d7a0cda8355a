/** The document of a panel, which has the extension's script and style, and reaches nothing else. */

export interface PageFacts {
  /** The origin of the extension's files, as a source of a content security policy. */
  source: string;
  script: string;
  style: string;
  /** The address at which clients reach the gateway. */
  origin: string;
  /** The page, such as `/ui/servers/github`. */
  address: string;
}

/** Return the text of the document. */
export function pageText({ source, script, style, origin, address }: PageFacts): string {
  const policy = [
    "default-src 'none'",
    `script-src ${source}`,
    `style-src ${source}`,
    "img-src data:",
    "connect-src 'none'",
    "base-uri 'none'",
    "form-action 'none'",
    "require-trusted-types-for 'script'",
  ].join("; ");
  return `<!doctype html>
<html lang="en" data-host="vscode" data-origin="${quoted(origin)}" data-path="${quoted(address)}">
  <head>
    <meta charset="utf-8">
    <meta http-equiv="Content-Security-Policy" content="${quoted(policy)}">
    <title>MCP Gateway</title>
    <link rel="stylesheet" href="${quoted(style)}">
    <script type="module" src="${quoted(script)}"></script>
  </head>
  <body><div id="app"></div></body>
</html>
`;
}

function quoted(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;");
}
