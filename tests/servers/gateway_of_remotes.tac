"""A gateway for `twistd -y` whose servers are remote, as the ``config.json`` of its directory names them."""

import json
from pathlib import Path

from twisted.application.service import Application

from mcpgateway.config.gateway_settings import GatewaySettings, Limits
from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.config.reach_settings import Remote, Transport
from mcpgateway.config.settings import Settings
from mcpgateway.tap import leave_out_openssl
from mcpgateway.protocol.versions import Era

leave_out_openssl()  # whether it is needed or not: a server that comes later needs it too

from twisted.internet import reactor  # noqa: E402 - behind the above

from mcpgateway.app.build import make_gateway  # noqa: E402 - behind the above


def remote(entry):
    kind = Transport(entry.pop("transport", "streamable-http"))
    return Remote(entry.pop("url"), kind, **entry)


config = json.loads(Path("config.json").read_text())
port = json.loads(Path("port.json").read_text())
servers = []
for name, entry in config["servers"].items():
    entry.pop("env", None)
    share = Share(entry.pop("share", "auto"))
    protocol = entry.pop("protocol", None)
    timeout_s = entry.pop("timeout", 0.0)
    servers.append(
        ServerSpec(
            name, (), {}, "/", share=share, timeout_s=timeout_s, protocol=Era(protocol) if protocol else None, title=name,
            source="a test", reach=remote(entry),
        )
    )
settings = GatewaySettings(http_port=port, limits=Limits(**config["gateway"]))
application = Application("mcpgateway")
make_gateway(Settings(settings, tuple(servers)), "home", reactor).setServiceParent(application)
