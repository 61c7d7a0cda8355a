/** The pages that few visits need: one file of script, so that the first page takes few requests. */

export { IssuerLinks } from "../parts/issuer";
export { Keys } from "../parts/keys";
export { Offers } from "../parts/offers";
export { Palette } from "../parts/palette";
export { ServerSettings } from "../parts/server_settings";
export { ViewsSection } from "../parts/views";
export { AccessPage } from "./access";
export { AddPage, Paste } from "./add";
export { CallPage } from "./call";
export { Calls, CallsPage } from "./calls";
export { ClientsPage } from "./clients";
export { GatewayPage } from "./gateway";
export { NodesPage } from "./nodes";
export { PlaygroundPage } from "./playground";
export { SignedInPage } from "./signed_in";
export { UsagePage } from "./usage";
