"""The MCP server on stdio that the official conformance suite expects behind an endpoint.

Standard library only and one file, so that it starts in a few milliseconds under ``python -I -S``.  It speaks
the revisions up to 2025-11-25.  Names, texts and schemas are those that the suite looks for.  Every tool runs in
a thread of its own, since some wait, and some ask the client something before they answer.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time

REVISIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")

METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
RESOURCE_NOT_FOUND = -32002

PAUSE_S = 0.05  # between two notifications of one call, so that they cannot arrive as one piece
ANSWER_LIMIT_S = 30  # a client that has not answered our request by then never will

RED_DOT_PNG = (  # one pixel
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mP4z8AAAAMBAQD3A0FDAAAAAElFTkSuQmCC"
)
SILENCE_WAV = "UklGRigAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQQAAACAgICA"  # four samples

WATCHED = "test://watched-resource"
TEMPLATE = "test://template/{id}/data"

CAPABILITIES = {
    "completions": {},
    "logging": {},
    "prompts": {"listChanged": True},
    "resources": {"listChanged": True, "subscribe": True},
    "tools": {"listChanged": True},
}


class Refused(Exception):
    """The request gets an error."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message} | ({} if data is None else {"data": data})


class Failed(Exception):
    """The tool could not do what it was asked; the text says why."""


def text(words: str) -> dict[str, object]:
    """A text as content."""
    return {"type": "text", "text": words}


def image() -> dict[str, object]:
    """A picture as content."""
    return {"type": "image", "data": RED_DOT_PNG, "mimeType": "image/png"}


def embedded(uri: str, mime: str, words: str) -> dict[str, object]:
    """A resource as content."""
    return {"type": "resource", "resource": {"uri": uri, "mimeType": mime, "text": words}}


def wants(**properties: str) -> dict[str, object]:
    """The schema of a tool whose arguments are all texts, and all required; each is given with its description."""
    described = {name: {"type": "string", "description": words} for name, words in properties.items()}
    return {"type": "object", "properties": described, "required": list(properties)}


def one_of(**titles: str) -> list[dict[str, str]]:
    """Values with titles, one schema for each."""
    return [{"const": value, "title": title} for value, title in titles.items()]


NOTHING: dict[str, object] = {"type": "object", "properties": {}}

# Everything of JSON Schema 2020-12 that somebody on the way might be tempted to drop.
RICH_SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}

TOOLS = {
    "test_simple_text": ("Answers with a text.", NOTHING),
    "test_image_content": ("Answers with a picture.", NOTHING),
    "test_audio_content": ("Answers with a sound.", NOTHING),
    "test_embedded_resource": ("Answers with a resource.", NOTHING),
    "test_multiple_content_types": ("Answers with a text, a picture and a resource.", NOTHING),
    "test_tool_with_logging": ("Logs three messages, then answers.", NOTHING),
    "test_tool_with_progress": ("Reports progress three times, then answers.", NOTHING),
    "test_error_handling": ("Always fails.", NOTHING),
    "test_sampling": ("Has the client's model answer a prompt.", wants(prompt="What the model is asked")),
    "test_elicitation": ("Asks the user for name and address.", wants(message="What the user is told")),
    "test_elicitation_sep1034_defaults": ("Asks the user with a default for every kind of value.", NOTHING),
    "test_elicitation_sep1330_enums": ("Asks the user to choose, in every way there is.", NOTHING),
    "test_reconnection": ("Answers after a while, for clients that reconnect meanwhile.", NOTHING),
    "json_schema_2020_12_tool": ("Takes arguments with a rich schema.", RICH_SCHEMA),
    "change_watched_resource": ("Changes the watched resource, and tells its subscriber.", NOTHING),
}

RESOURCES = {
    "test://static-text": ("A text that stays as it is.", "text/plain"),
    "test://static-binary": ("A picture that stays as it is.", "image/png"),
    WATCHED: ("A text that changes when a tool is told to change it.", "text/plain"),
}

PROMPTS = {
    "test_simple_prompt": ("A prompt without arguments.", {}),
    "test_prompt_with_arguments": (
        "A prompt made of its arguments.",
        {"arg1": "First test argument", "arg2": "Second test argument"},
    ),
    "test_prompt_with_embedded_resource": (
        "A prompt that contains a resource.",
        {"resourceUri": "URI of the resource to embed"},
    ),
    "test_prompt_with_image": ("A prompt that contains a picture.", {}),
}

WORDS = ("paris", "park", "party")

# The forms that the elicitation tools show: the properties of the schema, and which of them are required.
USER = {
    "username": {"type": "string", "description": "User's response"},
    "email": {"type": "string", "description": "User's email address"},
}
DEFAULTS = {
    "name": {"type": "string", "description": "User name", "default": "John Doe"},
    "age": {"type": "integer", "description": "User age", "default": 30},
    "score": {"type": "number", "description": "User score", "default": 95.5},
    "status": {
        "type": "string",
        "description": "User status",
        "enum": ["active", "inactive", "pending"],
        "default": "active",
    },
    "verified": {"type": "boolean", "description": "Verification status", "default": True},
}
ENUMS = {
    "untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
    "titledSingle": {
        "type": "string",
        "oneOf": one_of(value1="First Option", value2="Second Option", value3="Third Option"),
    },
    "legacyEnum": {
        "type": "string",
        "enum": ["opt1", "opt2", "opt3"],
        "enumNames": ["Option One", "Option Two", "Option Three"],
    },
    "untitledMulti": {
        "type": "array",
        "items": {"type": "string", "enum": ["option1", "option2", "option3"]},
    },
    "titledMulti": {
        "type": "array",
        "items": {"anyOf": one_of(value1="First Choice", value2="Second Choice", value3="Third Choice")},
    },
}


class Question:
    """A request of ours that the client has yet to answer."""

    def __init__(self) -> None:
        self.answered = threading.Event()
        self.response: dict = {}


class Call:
    """One call of a tool: its arguments, and what it may do before it answers."""

    def __init__(self, server: Conformance, params: dict) -> None:
        self.server = server
        self.arguments = params.get("arguments") or {}
        self.token = (params.get("_meta") or {}).get("progressToken")

    def progressed(self, progress: int) -> None:
        """Report progress, if the caller wants to hear of it."""
        if self.token is not None:
            params = {"progressToken": self.token, "progress": progress, "total": 100}
            self.server.notify("notifications/progress", params)

    def asked_user(self, message: str, properties: dict, required: list[str]) -> str:
        """What the user did with a form."""
        schema = {"type": "object", "properties": properties, "required": required}
        reply = self.server.ask(
            "elicitation", "elicitation/create", {"message": message, "requestedSchema": schema}
        )
        return f"action={reply.get('action')}, content={json.dumps(reply.get('content', {}))}"


class Conformance:
    """One server process with its one client."""

    def __init__(self) -> None:
        self.writing = threading.Lock()
        self.client: dict = {}
        self.level = LEVELS[0]
        self.subscribed: set[str] = set()
        self.changes = 0
        self.questions = 0
        self.asked: dict[str, Question] = {}
        self.methods = {
            "initialize": self.initialize,
            "ping": lambda _: {},
            "logging/setLevel": self.set_level,
            "completion/complete": self.complete,
            "tools/list": lambda _: {"tools": listed_tools()},
            "resources/list": lambda _: {"resources": listed_resources()},
            "resources/templates/list": lambda _: {"resourceTemplates": listed_templates()},
            "resources/read": self.read,
            "resources/subscribe": self.subscribe,
            "resources/unsubscribe": self.unsubscribe,
            "prompts/list": lambda _: {"prompts": listed_prompts()},
            "prompts/get": prompt,
        }

    def say(self, **message: object) -> None:
        """Write one message, whole, however slowly it is read."""
        view = memoryview(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        with self.writing:
            while view:
                view = view[os.write(1, view) :]

    def notify(self, method: str, params: dict) -> None:
        """Tell the client something."""
        self.say(method=method, params=params)

    def log(self, level: str, data: str) -> None:
        """Log to the client what it wants to see."""
        if LEVELS.index(level) >= LEVELS.index(self.level):
            self.notify("notifications/message", {"level": level, "logger": "conformance", "data": data})

    def ask(self, capability: str, method: str, params: dict) -> dict:
        """The client's answer to a request of ours."""
        if capability not in self.client:
            raise Failed(f"The client does not support {capability}.")
        question = Question()
        with self.writing:
            self.questions += 1
            number = f"conformance-{self.questions}"
            self.asked[number] = question
        self.say(id=number, method=method, params=params)
        if not question.answered.wait(ANSWER_LIMIT_S):
            self.asked.pop(number, None)
            raise Failed(f"The client did not answer {method}.")
        if "error" in question.response:
            raise Failed(f"The client refused {method}: {question.response['error'].get('message')}")
        return question.response.get("result", {})

    def serve(self) -> None:
        """Read messages until the client closes the pipe."""
        for line in sys.stdin.buffer:
            if line.strip():
                self.received(json.loads(line))

    def received(self, message: dict) -> None:
        """One message came in."""
        if "method" not in message:
            question = self.asked.pop(message.get("id"), None)
            if question is not None:
                question.response = message
                question.answered.set()
        elif "id" in message:
            if message["method"] == "tools/call":
                threading.Thread(target=self.answer, args=(message, self.call), daemon=True).start()
            else:
                self.answer(message, self.methods.get(message["method"], unknown(message["method"])))

    def answer(self, message: dict, work) -> None:
        """Answer one request."""
        try:
            response = {"result": work(message.get("params") or {})}
        except Refused as why:
            response = {"error": why.error}
        self.say(id=message["id"], **response)

    def initialize(self, params: dict) -> dict:
        """Remember what the client can do, and say who we are."""
        self.client = params.get("capabilities", {})
        asked = params.get("protocolVersion")
        return {
            "protocolVersion": asked if asked in REVISIONS else REVISIONS[0],
            "capabilities": CAPABILITIES,
            "serverInfo": {"name": "conformance", "version": "1"},
        }

    def set_level(self, params: dict) -> dict:
        """Log nothing below this level from now on."""
        if params.get("level") not in LEVELS:
            raise Refused(INVALID_PARAMS, f"Unknown level: {params.get('level')}")
        self.level = params["level"]
        return {}

    def complete(self, params: dict) -> dict:
        """The words that begin like the argument does."""
        begun = params.get("argument", {}).get("value", "")
        values = [word for word in WORDS if word.startswith(begun)]
        return {"completion": {"values": values, "total": len(values), "hasMore": False}}

    def read(self, params: dict) -> dict:
        """One resource."""
        uri = params.get("uri", "")
        before, _, after = TEMPLATE.partition("{id}")
        if uri == "test://static-text":
            found = {"text": "This is the content of the static text resource."}
        elif uri == "test://static-binary":
            found = {"blob": RED_DOT_PNG}
        elif uri == WATCHED:
            found = {"text": f"Changed {self.changes} times."}
        elif uri.startswith(before) and uri.endswith(after) and len(uri) > len(before + after):
            number = uri[len(before) : -len(after)]
            data = {"id": number, "templateTest": True, "data": f"Data for ID: {number}"}
            found = {"text": json.dumps(data)}
        else:
            raise Refused(RESOURCE_NOT_FOUND, "Resource not found", {"uri": uri})
        mime = RESOURCES[uri][1] if uri in RESOURCES else "application/json"
        return {"contents": [{"uri": uri, "mimeType": mime, **found}]}

    def subscribe(self, params: dict) -> dict:
        """Tell of changes of this resource from now on."""
        self.subscribed.add(params.get("uri", ""))
        return {}

    def unsubscribe(self, params: dict) -> dict:
        """Tell of them no longer."""
        self.subscribed.discard(params.get("uri", ""))
        return {}

    def call(self, params: dict) -> dict:
        """Run a tool; each is the method of its name."""
        name = params.get("name")
        if name not in TOOLS:
            raise Refused(INVALID_PARAMS, f"Unknown tool: {name}")
        try:
            content = getattr(self, name)(Call(self, params))
        except Failed as why:
            return {"content": [text(str(why))], "isError": True}
        return {"content": content, "isError": False}

    def test_simple_text(self, call: Call) -> list:
        """Answer with a text."""
        return [text("This is a simple text response for testing.")]

    def test_image_content(self, call: Call) -> list:
        """Answer with a picture."""
        return [image()]

    def test_audio_content(self, call: Call) -> list:
        """Answer with a sound."""
        return [{"type": "audio", "data": SILENCE_WAV, "mimeType": "audio/wav"}]

    def test_embedded_resource(self, call: Call) -> list:
        """Answer with a resource."""
        return [embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")]

    def test_multiple_content_types(self, call: Call) -> list:
        """Answer with a text, a picture and a resource."""
        data = embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}')
        return [text("Multiple content types test:"), image(), data]

    def test_tool_with_logging(self, call: Call) -> list:
        """Log three messages, then answer."""
        self.log("info", "Tool execution started")
        time.sleep(PAUSE_S)
        self.log("info", "Tool processing data")
        time.sleep(PAUSE_S)
        self.log("info", "Tool execution completed")
        return [text("Logged three messages.")]

    def test_tool_with_progress(self, call: Call) -> list:
        """Report progress three times, then answer."""
        call.progressed(0)
        time.sleep(PAUSE_S)
        call.progressed(50)
        time.sleep(PAUSE_S)
        call.progressed(100)
        return [text("Reported progress three times.")]

    def test_error_handling(self, call: Call) -> list:
        """Fail."""
        raise Failed("This tool intentionally returns an error for testing")

    def test_sampling(self, call: Call) -> list:
        """Have the client's model answer a prompt."""
        message = {"role": "user", "content": text(call.arguments.get("prompt", ""))}
        reply = self.ask("sampling", "sampling/createMessage", {"messages": [message], "maxTokens": 100})
        return [text(f"LLM response: {reply.get('content', {}).get('text', '')}")]

    def test_elicitation(self, call: Call) -> list:
        """Ask the user for name and address."""
        said = call.asked_user(call.arguments.get("message", ""), USER, list(USER))
        return [text(f"User response: {said}")]

    def test_elicitation_sep1034_defaults(self, call: Call) -> list:
        """Ask the user with a default for every kind of value."""
        said = call.asked_user("Please review the defaults, and change what is wrong.", DEFAULTS, [])
        return [text(f"Elicitation completed: {said}")]

    def test_elicitation_sep1330_enums(self, call: Call) -> list:
        """Ask the user to choose, in every way there is."""
        return [text(f"Elicitation completed: {call.asked_user('Please choose.', ENUMS, [])}")]

    def test_reconnection(self, call: Call) -> list:
        """Answer after a while; who serves us over HTTP may close the stream meanwhile, we cannot."""
        time.sleep(2 * PAUSE_S)
        return [text("Whoever reads this has reconnected, or never had to.")]

    def json_schema_2020_12_tool(self, call: Call) -> list:
        """Say which arguments arrived."""
        return [text(json.dumps(call.arguments))]

    def change_watched_resource(self, call: Call) -> list:
        """Change the watched resource, and tell its subscriber."""
        self.changes += 1
        if WATCHED in self.subscribed:
            self.notify("notifications/resources/updated", {"uri": WATCHED})
        return [text("Changed.")]


def unknown(method: str):
    """How a method is answered that does not exist."""

    def refuse(_: dict) -> dict:
        raise Refused(METHOD_NOT_FOUND, f"Method not found: {method}")

    return refuse


def listed_tools() -> list[dict]:
    """All tools."""
    return [
        {"name": name, "description": words, "inputSchema": schema} for name, (words, schema) in TOOLS.items()
    ]


def listed_resources() -> list[dict]:
    """All resources that are no template."""
    return [
        {"uri": uri, "name": uri.removeprefix("test://"), "description": words, "mimeType": mime}
        for uri, (words, mime) in RESOURCES.items()
    ]


def listed_templates() -> list[dict]:
    """The one template."""
    return [
        {
            "uriTemplate": TEMPLATE,
            "name": "template",
            "description": "Data for any id.",
            "mimeType": "application/json",
        }
    ]


def listed_prompts() -> list[dict]:
    """All prompts."""
    return [
        {
            "name": name,
            "description": words,
            "arguments": [
                {"name": argument, "description": about, "required": True}
                for argument, about in arguments.items()
            ],
        }
        for name, (words, arguments) in PROMPTS.items()
    ]


def prompt(params: dict) -> dict:
    """One prompt, with its arguments put in."""
    name, arguments = params.get("name"), params.get("arguments") or {}
    if name not in PROMPTS:
        raise Refused(INVALID_PARAMS, f"Unknown prompt: {name}")
    missing = [argument for argument in PROMPTS[name][1] if argument not in arguments]
    if missing:
        raise Refused(INVALID_PARAMS, f"Missing arguments: {', '.join(missing)}")
    if name == "test_simple_prompt":
        contents = [text("This is a simple prompt for testing.")]
    elif name == "test_prompt_with_arguments":
        words = f"Prompt with arguments: arg1='{arguments['arg1']}', arg2='{arguments['arg2']}'"
        contents = [text(words)]
    elif name == "test_prompt_with_embedded_resource":
        resource = embedded(arguments["resourceUri"], "text/plain", "Embedded resource content for testing.")
        contents = [resource, text("Please process the embedded resource above.")]
    else:
        contents = [image(), text("Please analyze the image above.")]
    return {
        "description": PROMPTS[name][0],
        "messages": [{"role": "user", "content": content} for content in contents],
    }


def main() -> None:
    """Serve the client at the other end of stdin and stdout."""
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        Conformance().serve()
    os._exit(0)  # tools that still wait have nobody to answer


if __name__ == "__main__":
    main()
