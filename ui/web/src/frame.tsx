/** The frame of all pages: navigation, what is live, who may, and the outcome of the latest act. */

import { clock, count, counted, duration, memory, plain, sinceStart } from "@mcpgateway/core/words";
import { useEffect, useState } from "preact/hooks";
import { turned, unlock } from "./act";
import { events, freshness, heardAt, isStreaming, isUpgraded, now, overview, refusal } from "./gateway";
import { opened, PALETTE_KEYS } from "./keys";
import { OverviewPage } from "./pages/overview";
import { ServerPage } from "./pages/server";
import { ServersPage } from "./pages/servers";
import { ToolsPage } from "./pages/tools";
import { Away } from "./parts/away";
import { Refused } from "./parts/basics";
import { Confirmation } from "./parts/dialog";
import { later } from "./parts/later";
import { Outcome } from "./parts/outcome";
import { signOut, Unlock } from "./parts/unlock";
import { path, to } from "./router";
import { signed } from "./session";
import { switchTheme, theme } from "./theme";

const PlaygroundPage = later(async () => (await import("./pages/rare")).PlaygroundPage);
const AddPage = later(async () => (await import("./pages/rare")).AddPage);
const AccessPage = later(async () => (await import("./pages/rare")).AccessPage);
const ClientsPage = later(async () => (await import("./pages/rare")).ClientsPage);
const GatewayPage = later(async () => (await import("./pages/rare")).GatewayPage);
const NodesPage = later(async () => (await import("./pages/rare")).NodesPage);
const SignedInPage = later(async () => (await import("./pages/rare")).SignedInPage);
const UsagePage = later(async () => (await import("./pages/rare")).UsagePage);

const CallsPage = later(async () => (await import("./pages/rare")).CallsPage);
const CallPage = later(async () => (await import("./pages/rare")).CallPage);

const Palette = later(async () => (await import("./pages/rare")).Palette, true);
const Keys = later(async () => (await import("./pages/rare")).Keys, true);

const PAGES: { name: string; title: string; mark: string; isOfCluster?: boolean }[] = [
  { name: "", title: "Overview", mark: "⌂" },
  { name: "servers", title: "Servers", mark: "▤" },
  { name: "tools", title: "Tools", mark: "ƒ" },
  { name: "calls", title: "Calls", mark: "⇄" },
  { name: "clients", title: "Clients", mark: "⌘" },
  { name: "usage", title: "Usage", mark: "∑" },
  { name: "access", title: "Access", mark: "⚷" },
  { name: "nodes", title: "Nodes", mark: "⊞", isOfCluster: true },
  { name: "gateway", title: "Gateway", mark: "⚙" },
];

/** The pages in the bar of a narrow window; a button shows the further ones. */
const IN_BAR = 5;

/** The redirect URI of the sign-in at the authorization server. */
const SIGNED_IN = "signed-in";
const OTHER_TITLES: Record<string, string> = { add: "Add a server", [SIGNED_IN]: "Sign-in" };

export function Frame() {
  const [first = "", name = "", tab = ""] = path.value;
  const title = PAGES.find((each) => each.name === first)?.title ?? OTHER_TITLES[first] ?? "Not found";
  useEffect(() => {
    document.title = `${plain(name) || title} · mcpgateway`;
  }, [title, name]);
  useEffect(turned, [path.value]);
  return (
    <div class={`frame ${freshness.value}`}>
      <a class="skip" href="#main">
        Skip to the content
      </a>
      <Navigation present={first} />
      <Header />
      <main id="main" tabIndex={-1}>
        <Away />
        <Page first={first} name={name} tab={tab} />
      </main>
      <Footer />
      {opened.value === "palette" && <Palette />}
      {opened.value === "keys" && <Keys />}
      <Confirmation />
      <Unlock />
    </div>
  );
}

function Page({ first, name, tab }: { first: string; name: string; tab: string }) {
  if (first === SIGNED_IN) return <SignedInPage />;
  if (refusal.value && !overview.value) return <Closed />;
  if (first === "servers" && name) return <ServerPage key={name} name={name} tab={tab} />;
  if (first === "tools" && name) return <PlaygroundPage key={name} id={name} />;
  if (first === "calls" && name) return <CallPage key={name} id={name} />;
  switch (first) {
    case "":
      return <OverviewPage />;
    case "servers":
      return <ServersPage />;
    case "tools":
      return <ToolsPage />;
    case "calls":
      return <CallsPage />;
    case "clients":
      return <ClientsPage />;
    case "usage":
      return <UsagePage />;
    case "access":
      return <AccessPage />;
    case "nodes":
      return <NodesPage />;
    case "gateway":
      return <GatewayPage />;
    case "add":
      return <AddPage />;
    default:
      return (
        <>
          <h1>There is no such page</h1>
          <p>
            <a href={to()}>Overview</a>, <a href={to("servers")}>servers</a>, <a href={to("tools")}>tools</a>,{" "}
            <a href={to("clients")}>clients</a>
          </p>
        </>
      );
  }
}

function Closed() {
  return (
    <>
      <h1>This gateway shows nothing without a token</h1>
      {refusal.value && <Refused error={refusal.value} />}
      <button type="button" class="primary" onClick={() => unlock("look")}>
        Unlock
      </button>
    </>
  );
}

const OF_NODES = new Set(["store-lost", "name-shared", "node-refused"]);

function Navigation({ present }: { present: string }) {
  const [isOpen, setOpen] = useState(false);
  useEffect(() => setOpen(false), [path.value]);
  const found = overview.value;
  const needs = found?.needs ?? [];
  const many = (kind: string) => needs.filter((each) => each.kind === kind).length;
  const ofNodes = needs.filter((each) => OF_NODES.has(each.cause)).length;
  const urgent: Record<string, number> = {
    "": needs.length,
    servers: many("server"),
    clients: many("file"),
    nodes: ofNodes,
    gateway: many("gateway") - ofNodes,
  };
  const numbers: Record<string, number | undefined> = {
    servers: found?.servers,
    clients: found?.clients.length || undefined,
    nodes: found?.cluster?.nodes,
  };
  return (
    <nav class={isOpen ? "pages open" : "pages"} aria-label="Pages">
      <span class="name">mcpgateway</span>
      <ul>
        {PAGES.filter((each) => !each.isOfCluster || found?.cluster).map((each, index) => (
          <li key={each.name} class={index < IN_BAR ? undefined : "further"}>
            <a
              href={each.name ? to(each.name) : to()}
              aria-current={each.name === present ? "page" : undefined}
            >
              <span class="mark" aria-hidden="true">
                {each.mark}
              </span>
              <span class="title">{each.title}</span>
              {numbers[each.name] !== undefined && <span class="number">{count(numbers[each.name])}</span>}
              <Urgent many={urgent[each.name] ?? 0} />
            </a>
          </li>
        ))}
        <li>
          <button type="button" class="quiet" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
            More
          </button>
        </li>
      </ul>
    </nav>
  );
}

/** The number of things on a page that need the user. */
function Urgent({ many }: { many: number }) {
  if (!many) return null;
  return (
    <span class="number bad">
      {count(many)} <span class="unseen">{many === 1 ? "needs you" : "need you"}</span>
    </span>
  );
}

function Header() {
  return (
    <header class="top">
      <SearchButton />
      <Outcome />
      <Freshness />
      {signed.value.token ? (
        <button type="button" class="quiet" onClick={signOut}>
          Sign out ({signed.value.rights})
        </button>
      ) : (
        <button type="button" class="quiet" onClick={() => unlock("operate")}>
          Unlock
        </button>
      )}
      <button
        type="button"
        class="quiet"
        onClick={switchTheme}
        aria-label={`Theme: ${theme.value}`}
        title={`Theme: ${theme.value}`}
      >
        ◐
      </button>
    </header>
  );
}

function SearchButton() {
  const open = () => {
    opened.value = "palette";
  };
  return (
    <button
      type="button"
      class="search"
      title="Search servers, tools, clients, pages and actions"
      aria-haspopup="dialog"
      aria-keyshortcuts="Control+K Meta+K"
      onClick={open}
    >
      <svg viewBox="0 0 16 16" aria-hidden="true">
        <circle cx="7" cy="7" r="4.5" />
        <path d="M10.5 10.5 14 14" />
      </svg>
      <span>Search</span>
      <kbd aria-hidden="true">{PALETTE_KEYS}</kbd>
    </button>
  );
}

function Freshness() {
  if (isUpgraded.value)
    return (
      <button type="button" class="primary" onClick={() => location.reload()}>
        New version: reload
      </button>
    );
  const words = {
    connecting: "connecting",
    live: isStreaming.value ? "live" : "live, by polls",
    stale: "stale",
  };
  const since =
    freshness.value === "stale" && heardAt.value
      ? ` for ${duration((now.value - heardAt.value) / 1000)}`
      : "";
  return (
    <span class={`freshness ${freshness.value}`}>
      <span aria-hidden="true">●</span> {words[freshness.value]}
      {since}
    </span>
  );
}

function showKeys(): void {
  opened.value = "keys";
}

function Footer() {
  const found = overview.value;
  const at = freshness.value === "stale" ? heardAt.value : now.value; // nobody knows whether it is still up
  return (
    <footer>
      {found && (
        <>
          mcpgateway {found.version} at {location.host} · up {duration(sinceStart(found.started_at, at))} ·{" "}
          {memory(found.memory_mb)} · configuration {found.config.ok ? "in order" : "has errors"} ·{" "}
          {counted(found.sessions, "session")}
          {events.value[0] && ` · last event ${clock(events.value[0].time)}`}
        </>
      )}
      <button type="button" class="quiet" aria-haspopup="dialog" onClick={showKeys}>
        Keys
      </button>
    </footer>
  );
}
