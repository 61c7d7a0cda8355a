"""The table of commands: the first page of help, the list of all commands by subject, and those in no list."""

from __future__ import annotations

from mcpgateway.cli import aliases
from mcpgateway.cli.lazy import CommandInfo

RUNNING, SERVERS, CLIENTS, CONFIGURATION, FAULTS, CLUSTER, PROGRAM = (
    "The gateway",
    "Servers and tools",
    "Clients",
    "Configuration",
    "Numbers, logs and faults",
    "Several machines",
    "This program",
)
HIDDEN = ""
COMMANDS = {
    # The first page of help, in the order in which a new user needs the commands.
    "start": CommandInfo(
        "running.gateway:start", "Start the gateway, and enrol your clients' files.", RUNNING, is_first=True
    ),
    "stop": CommandInfo(
        "running.gateway:stop", "Restore your clients' files, and stop the gateway.", RUNNING, is_first=True
    ),
    "status": CommandInfo(
        "running.views:status", "Show whether the gateway runs, and what it serves.", RUNNING, is_first=True
    ),
    "servers": CommandInfo(
        "servers.servers:servers",
        "List your MCP servers, add and change them, start and stop them.",
        SERVERS,
        is_first=True,
    ),
    "clients": CommandInfo(
        "clients.clients:clients", "Enrol your clients' files, and restore them.", CLIENTS, is_first=True
    ),
    "tools": CommandInfo(
        "servers.tools:tools", "Find the tools of all servers, and call them.", SERVERS, is_first=True
    ),
    "logs": CommandInfo("faults.logs:logs", "Show the latest lines of a log.", FAULTS, is_first=True),
    "why": CommandInfo(
        "faults.tracing:why", "Explain the state of a server, and show what helps.", FAULTS, is_first=True
    ),
    "config": CommandInfo(
        "configuration.config:config",
        "Show the configuration, check it, and change it.",
        CONFIGURATION,
        is_first=True,
    ),
    "doctor": CommandInfo(
        "faults.doctor:doctor", "Look for faults, and show what helps.", FAULTS, is_first=True
    ),
    # The commands of `help --all`.
    "ui": CommandInfo("running.ui:ui", "Open the dashboard in a browser, signed in.", RUNNING),
    "restart": CommandInfo(
        "running.gateway:restart", "Restart the gateway with the same options; sessions are kept.", RUNNING
    ),
    "serve": CommandInfo(
        "running.serve:serve", "Run the gateway, or one server alone, in the foreground.", RUNNING
    ),
    "service": CommandInfo("running.service:service", "Run the gateway as a service of your user.", RUNNING),
    "sessions": CommandInfo("running.sessions:sessions", "List the sessions, and end them.", RUNNING),
    "debug": CommandInfo(
        "faults.debug:debug", "Look inside of the gateway: its state, calls, events and messages.", FAULTS
    ),
    "wait": CommandInfo(
        "running.readiness:wait", "Start servers, and wait until they can be called.", SERVERS
    ),
    "instructions": CommandInfo(
        "clients.instructions:instructions",
        "Tell agents about the gateway: texts and commands in their files.",
        CLIENTS,
    ),
    "token": CommandInfo("configuration.token:token", "Show, replace and create tokens.", CONFIGURATION),
    "credential": CommandInfo(
        "configuration.credential:credential",
        "Import passwords from a KeePass database, and list them.",
        CONFIGURATION,
    ),
    "cluster": CommandInfo(
        "cluster.cluster:cluster", "Make the gateway a node of a cluster, and look after its nodes.", CLUSTER
    ),
    "upgrade": CommandInfo(
        "program.upgrade:upgrade", "Upgrade this program, and restart the gateway.", PROGRAM
    ),
    "uninstall": CommandInfo(
        "running.gateway:uninstall",
        "Restore your clients' files for good, and remove service and home.",
        PROGRAM,
    ),
    "completion": CommandInfo(
        "program.completion:completion", "Print the completion script of a shell.", PROGRAM
    ),
    "version": CommandInfo("program.version:version", "Print the release.", PROGRAM),
    "help": CommandInfo("program.version:help_", "Explain a command, or list all commands.", PROGRAM),
    # Commands in no list: clients start the first three, and scripts run the others.
    "connect": CommandInfo(
        "running.shim:connect", "Be one server of the gateway, on stdin and stdout.", HIDDEN
    ),
    "proxy": CommandInfo(
        "running.shim:proxy", "Be one server of the gateway, as connect is: --target NAME.", HIDDEN
    ),
    "stdio": CommandInfo(
        "running.shim:stdio", "Be all servers together, or a view of them, on stdin and stdout.", HIDDEN
    ),
    aliases.WITH: CommandInfo(
        "configuration.configured:with_", "Run a command with a named configuration.", HIDDEN
    ),
    "install-claude-code": CommandInfo(
        "clients.install:install", "Give Claude Code an entry for every server.", HIDDEN
    ),
    "daemon": CommandInfo(
        "running.daemon:daemon", "Start and end the gateway, in the words of mcp-ctl.", HIDDEN
    ),
    "marketplace": CommandInfo(
        "clients.marketplace:marketplace", "Clear up what mcp-ctl has left in Claude Code.", HIDDEN
    ),
}
