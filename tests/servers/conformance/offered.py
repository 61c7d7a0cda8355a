"""Offers of the server: names, texts, schemas and forms are those that the suite looks for."""

from __future__ import annotations

RED_DOT_PNG = (  # one pixel
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mP4z8AAAAMBAQD3A0FDAAAAAElFTkSuQmCC"
)
SILENCE_WAV = "UklGRigAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQQAAACAgICA"  # four samples

WATCHED = "test://watched-resource"
ASKING = "test://asking-resource"
TEMPLATE = "test://template/{id}/data"

CAPABILITIES = {
    "completions": {},
    "logging": {},
    "prompts": {"listChanged": True},
    "resources": {"listChanged": True, "subscribe": True},
    "tools": {"listChanged": True},
}


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

HEADERS_SCHEMA = {
    "type": "object",
    "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "limit": {"type": "integer", "x-mcp-header": "Limit"},
        "dry_run": {"type": "boolean", "x-mcp-header": "Dry-Run"},
        "within": {
            "type": "object",
            "properties": {"tenant": {"type": "string", "x-mcp-header": "Tenant"}},
        },
        "comment": {"type": "string"},
    },
}

SECONDS_SCHEMA = {
    "type": "object",
    "properties": {"seconds": {"type": "number"}, "label": {"type": "string"}},
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
    "test_missing_capability": ("Works only for clients that can sample.", NOTHING),
    "test_streaming_elicitation": ("Reports progress, then asks the user.", NOTHING),
    "test_logging_tool": ("Logs one message of each level, then answers.", NOTHING),
    "test_trigger_tool_change": ("Adds a tool to the list, or takes it away again.", NOTHING),
    "test_trigger_prompt_change": ("Adds a prompt to the list, or takes it away again.", NOTHING),
    "test_header_params": ("Takes arguments that also travel as headers.", HEADERS_SCHEMA),
    "test_input_required_result_elicitation": ("Asks the user for a name.", NOTHING),
    "test_input_required_result_sampling": ("Asks the model for a capital.", NOTHING),
    "test_input_required_result_list_roots": ("Asks for the roots.", NOTHING),
    "test_input_required_result_request_state": ("Asks the user, and keeps a state meanwhile.", NOTHING),
    "test_input_required_result_multiple_inputs": ("Asks for three things at once.", NOTHING),
    "test_input_required_result_multi_round": ("Asks twice, one after the other.", NOTHING),
    "test_input_required_result_tampered_state": ("Refuses a state that it did not give out.", NOTHING),
    "test_input_required_result_capabilities": ("Asks what the client can answer.", NOTHING),
    "greet": ("Greets at once.", wants(name="Who is greeted")),
    "slow_compute": ("Takes its time, as a task where the client knows tasks.", SECONDS_SCHEMA),
    "failing_job": ("A task that ends with a tool error.", NOTHING),
    "protocol_error_job": ("A task that ends with a protocol error.", NOTHING),
    "confirm_delete": ("A task that asks the user.", wants(filename="What is deleted")),
    "multi_input": ("A task that asks the user two things at once.", NOTHING),
    "test_tool_with_task": ("Asks the user, then becomes a task.", NOTHING),
}
TASK_TOOLS = frozenset(
    "greet slow_compute failing_job protocol_error_job confirm_delete multi_input test_tool_with_task".split()
)
EXTRA_TOOL = {"test_extra_tool": ("Is listed after every other change of the tools.", NOTHING)}

RESOURCES = {
    "test://static-text": ("A text that stays as it is.", "text/plain"),
    "test://static-binary": ("A picture that stays as it is.", "image/png"),
    WATCHED: ("A text that changes when a tool is told to change it.", "text/plain"),
    ASKING: ("A text that the user is asked for.", "text/plain"),
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
    "test_input_required_result_prompt": ("A prompt whose context the user is asked for.", {}),
}
EXTRA_PROMPT = {"test_extra_prompt": ("Is listed after every other change of the prompts.", {})}

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


def form(message: str, required: list[str] | None = None, **properties: object) -> dict[str, object]:
    """The parameters of an elicitation; without a word about them, all values are required."""
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
    }
    return {"message": message, "requestedSchema": schema}


def prompting(words: str, limit: int = 100) -> dict[str, object]:
    """The parameters of a sampling with one message."""
    return {"messages": [{"role": "user", "content": text(words)}], "maxTokens": limit}


def listed_tools(tools: dict) -> list[dict]:
    """Tools as they are listed."""
    return [
        {"name": name, "description": words, "inputSchema": schema} for name, (words, schema) in tools.items()
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


def listed_prompts(prompts: dict) -> list[dict]:
    """Prompts as they are listed."""
    return [
        {
            "name": name,
            "description": words,
            "arguments": [
                {"name": argument, "description": about, "required": True}
                for argument, about in arguments.items()
            ],
        }
        for name, (words, arguments) in prompts.items()
    ]
