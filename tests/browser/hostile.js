// What a page can try against a program on the machine of whoever looks at it; runs in Chromium, by test_hostile_pages.

const PATIENCE_MS = 3000;

const limited = (promise) =>
  Promise.race([promise, new Promise((done) => setTimeout(() => done("nothing"), PATIENCE_MS))]);

// "refused" where the browser tells nothing, "blind" where it was sent unseen, otherwise the status and what was read.
const fetched = async (url, init = {}) => {
  try {
    const answer = await fetch(url, { credentials: "include", ...init });
    if (answer.type === "opaque") return "blind";
    return `${answer.status} ${(await answer.text()).slice(0, 400)}`;
  } catch (why) {
    return "refused";
  }
};

const opened = (make, event, ...bad) =>
  limited(
    new Promise((done) => {
      let link;
      try {
        link = make();
      } catch (why) {
        return done("refused");
      }
      link[`on${event}`] = () => { done("open"); link.close(); };
      link.onmessage = (said) => { done(`read ${said.data}`); link.close(); };
      for (const each of bad) link[`on${each}`] = () => { link.close(); done("refused"); };
    }),
  );

let forms = 0;
const submitted = (url, kind, fields) =>
  limited(
    new Promise((done) => {
      const frame = document.createElement("iframe");
      frame.name = `frame${++forms}`;
      const form = document.createElement("form");
      Object.assign(form, { method: "post", action: url, enctype: kind, target: frame.name });
      for (const [name, value] of Object.entries(fields)) {
        const field = document.createElement("input");
        Object.assign(field, { type: "hidden", name, value });
        form.append(field);
      }
      document.body.append(frame, form);
      setTimeout(() => {
        frame.onload = () => {
          let text = "";
          try {
            text = frame.contentDocument ? frame.contentDocument.body.innerText : "";
          } catch (why) { /* of another origin: unreadable */ }
          done(text ? `framed ${text.slice(0, 400)}` : "blind");
        };
        form.submit();
      }, 0);
    }),
  );

const loaded = (tag, source) =>
  limited(
    new Promise((done) => {
      const element = document.createElement(tag);
      element.onload = () => done("loaded");
      element.onerror = () => done("refused");
      element.src = source;
      document.body.append(element);
    }),
  );

const message = (method, params) => JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });

async function attack(base) {
  const call = message("tools/call", { name: "count", arguments: {} });
  const hello = message("initialize", {
    protocolVersion: "2025-06-18", capabilities: {}, clientInfo: { name: "page", version: "1" },
  });
  const server = JSON.stringify({ name: "evil", config: { command: "sleep", args: ["1000"] } });
  const json = { "Content-Type": "application/json" };
  const all = {};
  for (const path of ["/health", "/healthz", "/metrics", "/api/v1/servers", "/api/v1/sessions", "/api/v1/openapi.json",
    "/status", "/ping", "/api/gateway/config", "/api/v1/debug/dump", "/api/v1/tokens", "/fix/mcp", "/mcp", "/"]) {
    all[`GET ${path}`] = fetched(base + path);
    all[`GET ${path}, unseen`] = fetched(base + path, { mode: "no-cors" });
  }
  for (const path of ["/fix/mcp", "/mcp", "/mcp/fix"]) {
    for (const body of [call, hello]) {
      all[`POST ${path} JSON ${body.length}`] = fetched(base + path, { method: "POST", body, headers: json });
      all[`POST ${path} text ${body.length}`] = fetched(base + path, { method: "POST", body, mode: "no-cors" });
      all[`POST ${path} blob ${body.length}`] = fetched(base + path, {
        method: "POST", mode: "no-cors", body: new Blob([body], { type: "text/plain;application/json" }),
      });
      all[`POST ${path} no type ${body.length}`] = fetched(base + path, {
        method: "POST", mode: "no-cors", body: new Blob([body]),
      });
    }
    all[`beacon ${path}`] = String(navigator.sendBeacon(base + path, call)) && "blind";
    all[`form ${path}`] = submitted(base + path, "text/plain", { [call.slice(0, -1) + ',"x":"']: '"}' });
  }
  for (const path of ["/api/v1/servers", "/api/servers/install", "/api/gateway/disable", "/api/v1/shutdown", "/stop-all",
    "/api/v1/servers/stop", "/api/sessions/kill-all", "/api/v1/tokens", "/api/v1/tokens/rotate", "/clients/register"]) {
    all[`POST ${path} JSON`] = fetched(base + path, { method: "POST", body: server, headers: json });
    all[`POST ${path} unseen`] = fetched(base + path, { method: "POST", body: server, mode: "no-cors" });
    all[`POST ${path} with a token`] = fetched(base + path, {
      method: "POST", body: server, headers: { ...json, Authorization: "Bearer x" },
    });
    all[`form ${path}`] = submitted(base + path, "text/plain", { [server.slice(0, -1) + ',"x":"']: '"}' });
  }
  for (const path of ["/start", "/stop", "/ensure"]) {
    for (const kind of ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"]) {
      all[`form ${path} ${kind}`] = submitted(base + path, kind, { name: "fix" });
    }
  }
  for (const method of ["DELETE", "PUT", "PATCH"]) {
    all[`${method} a server`] = fetched(`${base}/api/v1/servers/fix`, { method, body: server, headers: json });
    all[`${method} sessions`] = fetched(`${base}/api/v1/sessions?all=true`, { method });
  }
  for (const path of ["/fix/sse", "/api/v1/events", "/api/v1/servers/fix/logs", "/fix/mcp"]) {
    all[`EventSource ${path}`] = opened(() => new EventSource(base + path), "open", "error");
  }
  for (const path of ["/fix/ws", "/fix/mcp", "/mcp", "/ws", "/api/v1/events"]) {
    const url = base.replace("http", "ws") + path;
    all[`WebSocket ${path}`] = opened(() => new WebSocket(url, ["mcp"]), "open", "error", "close");
    all[`WebSocket ${path}, no protocol`] = opened(() => new WebSocket(url), "open", "error", "close");
  }
  for (const path of ["/health", "/api/v1/servers", "/oauth/callback?state=x&code=y", "/api/v1/tools", "/list.js"]) {
    all[`script ${path}`] = loaded("script", base + path);
    all[`image ${path}`] = loaded("img", base + path);
  }
  const names = Object.keys(all);
  const found = await Promise.all(Object.values(all));
  return Object.fromEntries(names.map((name, at) => [name, found[at]]));
}
