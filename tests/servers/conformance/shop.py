"""Work of the server: its tools, resources, prompts and completions, the same in every era."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping

from calls import CAPABILITIES as ASKED_OF
from calls import LEVELS, Call, Rounds
from offered import (
    ASKING,
    DEFAULTS,
    ENUMS,
    EXTRA_PROMPT,
    EXTRA_TOOL,
    PROMPTS,
    RED_DOT_PNG,
    RESOURCES,
    SILENCE_WAV,
    TEMPLATE,
    TOOLS,
    USER,
    WATCHED,
    WORDS,
    embedded,
    form,
    image,
    listed_prompts,
    listed_resources,
    listed_templates,
    listed_tools,
    prompting,
    text,
)
from wire import INVALID_PARAMS, Failed, Refused

PAUSE_S = 0.05  # between two notifications of one call, so that they cannot arrive as one piece
NAME = {"type": "string"}

Told = Callable[[str, dict], None]  # somebody who is told of changes, as notifications


class Later:
    """The work of a tool after the answer, where the client knows tasks; elsewhere it is done at once.

    :ivar required: whether a client that knows no tasks is refused instead.
    """

    def __init__(self, work: Callable[[Call], list], *, required: bool = False) -> None:
        self.work = work
        self.required = required


class Shop:
    """The tools, resources, prompts and completions, one of every kind."""

    def __init__(self, told: Told, missing_resource: int) -> None:
        self.told = told
        self.missing_resource = missing_resource
        self.changes = 0
        self.tools = dict(TOOLS)
        self.prompts = dict(PROMPTS)
        self.lists: Mapping[str, Callable[[], dict]] = {
            "tools/list": lambda: {"tools": listed_tools(self.tools)},
            "resources/list": lambda: {"resources": listed_resources()},
            "resources/templates/list": lambda: {"resourceTemplates": listed_templates()},
            "prompts/list": lambda: {"prompts": listed_prompts(self.prompts)},
        }
        self.works: Mapping[str, Callable[[Call], object]] = {
            "tools/call": self.call,
            "prompts/get": self.prompt,
            "resources/read": self.read,
        }

    def call(self, call: Call) -> list | Later:
        """Run one tool; each is the method of its name."""
        name = call.params.get("name")
        if name not in self.tools:
            raise Refused(INVALID_PARAMS, f"Unknown tool: {name}")
        return getattr(self, name)(call)

    def complete(self, params: dict) -> dict:
        """The words that begin like the argument does."""
        begun = params.get("argument", {}).get("value", "")
        values = [word for word in WORDS if word.startswith(begun)]
        return {"completion": {"values": values, "total": len(values), "hasMore": False}}

    def read(self, call: Call) -> dict:
        """Read a resource."""
        uri = call.params.get("uri", "")
        before, _, after = TEMPLATE.partition("{id}")
        if uri == "test://static-text":
            found = {"text": "This is the content of the static text resource."}
        elif uri == "test://static-binary":
            found = {"blob": RED_DOT_PNG}
        elif uri == WATCHED:
            found = {"text": f"Changed {self.changes} times."}
        elif uri == ASKING:
            said = call.ask("content", "elicitation/create", **form("What shall it say?", content=NAME))
            found = {"text": json.dumps(said)}
        elif uri.startswith(before) and uri.endswith(after) and len(uri) > len(before + after):
            number = uri[len(before) : -len(after)]
            data = {"id": number, "templateTest": True, "data": f"Data for ID: {number}"}
            found = {"text": json.dumps(data)}
        else:
            raise Refused(self.missing_resource, "Resource not found", {"uri": uri})
        mime = RESOURCES[uri][1] if uri in RESOURCES else "application/json"
        return {"contents": [{"uri": uri, "mimeType": mime, **found}]}

    def prompt(self, call: Call) -> dict:
        """Return a prompt with its arguments put in."""
        name, arguments = call.params.get("name"), call.arguments
        if name not in self.prompts:
            raise Refused(INVALID_PARAMS, f"Unknown prompt: {name}")
        missing = [argument for argument in self.prompts[name][1] if argument not in arguments]
        if missing:
            raise Refused(INVALID_PARAMS, f"Missing arguments: {', '.join(missing)}")
        return {
            "description": self.prompts[name][0],
            "messages": [{"role": "user", "content": content} for content in prompted(call, name, arguments)],
        }

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
        call.log("info", "Tool execution started")
        call.pause(PAUSE_S)
        call.log("info", "Tool processing data")
        call.pause(PAUSE_S)
        call.log("info", "Tool execution completed")
        return [text("Logged three messages.")]

    def test_tool_with_progress(self, call: Call) -> list:
        """Report progress three times, then answer."""
        call.progressed(0)
        call.pause(PAUSE_S)
        call.progressed(50)
        call.pause(PAUSE_S)
        call.progressed(100)
        return [text("Reported progress three times.")]

    def test_error_handling(self, call: Call) -> list:
        """Fail."""
        raise Failed("This tool intentionally returns an error for testing")

    def test_sampling(self, call: Call) -> list:
        """Have the client's model answer a prompt."""
        said = call.ask("prompt", "sampling/createMessage", **prompting(call.arguments.get("prompt", "")))
        return [text(f"LLM response: {said.get('content', {}).get('text', '')}")]

    def test_elicitation(self, call: Call) -> list:
        """Ask the user for name and address."""
        said = call.ask("user", "elicitation/create", **form(call.arguments.get("message", ""), **USER))
        return [text(f"User response: {shown(said)}")]

    def test_elicitation_sep1034_defaults(self, call: Call) -> list:
        """Ask the user with a default for every kind of value."""
        asked = form("Please review the defaults, and change what is wrong.", [], **DEFAULTS)
        return [text(f"Elicitation completed: {shown(call.ask('user', 'elicitation/create', **asked))}")]

    def test_elicitation_sep1330_enums(self, call: Call) -> list:
        """Ask the user to choose, in every way there is."""
        asked = form("Please choose.", [], **ENUMS)
        return [text(f"Elicitation completed: {shown(call.ask('user', 'elicitation/create', **asked))}")]

    def test_reconnection(self, call: Call) -> list:
        """Answer after a while; who serves us over HTTP may close the stream meanwhile, we cannot."""
        call.pause(2 * PAUSE_S)
        return [text("Whoever reads this has reconnected, or never had to.")]

    def json_schema_2020_12_tool(self, call: Call) -> list:
        """Say which arguments arrived."""
        return [text(json.dumps(call.arguments))]

    def test_header_params(self, call: Call) -> list:
        """Say which arguments arrived."""
        return [text(json.dumps(call.arguments))]

    def change_watched_resource(self, call: Call) -> list:
        """Change the watched resource, and tell its subscriber."""
        self.changes += 1
        self.told("notifications/resources/updated", {"uri": WATCHED})
        return [text("Changed.")]

    def test_trigger_tool_change(self, call: Call) -> list:
        """Add a tool, or take it away again."""
        self.tools = dict(TOOLS) if EXTRA_TOOL.keys() <= self.tools.keys() else TOOLS | EXTRA_TOOL
        self.told("notifications/tools/list_changed", {})
        return [text("Changed.")]

    def test_trigger_prompt_change(self, call: Call) -> list:
        """Add a prompt, or take it away again."""
        self.prompts = dict(PROMPTS) if EXTRA_PROMPT.keys() <= self.prompts.keys() else PROMPTS | EXTRA_PROMPT
        self.told("notifications/prompts/list_changed", {})
        return [text("Changed.")]

    def test_extra_tool(self, call: Call) -> list:
        """Answer with a text."""
        return [text("I am not always here.")]

    def test_missing_capability(self, call: Call) -> list:
        """Work only for clients that can sample."""
        call.needs("sampling")
        return [text("You can sample.")]

    def test_streaming_elicitation(self, call: Call) -> list:
        """Report progress, then ask the user."""
        call.progressed(50)
        return self.test_elicitation(call)

    def test_logging_tool(self, call: Call) -> list:
        """Log one message of each level, then answer."""
        for level in LEVELS:
            call.log(level, f"A message of level {level}.")
        return [text("Logged what you want to see.")]

    def test_input_required_result_elicitation(self, call: Call) -> list:
        """Ask the user for a name."""
        said = call.ask("user_name", "elicitation/create", **form("What is your name?", name=NAME))
        return [text(f"Hello, {(said.get('content') or {}).get('name', 'stranger')}!")]

    def test_input_required_result_sampling(self, call: Call) -> list:
        """Ask the model for a capital."""
        asked = prompting("What is the capital of France?")
        said = call.ask("capital_question", "sampling/createMessage", **asked)
        return [text(f"The model says: {json.dumps(said['content'])}")]

    def test_input_required_result_list_roots(self, call: Call) -> list:
        """Ask for the roots."""
        said = call.ask("client_roots", "roots/list")
        return [text(f"The roots: {json.dumps(said['roots'])}")]

    def test_input_required_result_request_state(self, call: Call) -> list:
        """Ask the user, and keep a state meanwhile."""
        sealed(call)
        asked = form("Please confirm", ok={"type": "boolean"})
        return [text(f"state-ok: {shown(call.ask('confirm', 'elicitation/create', **asked))}")]

    def test_input_required_result_multiple_inputs(self, call: Call) -> list:
        """Ask for three things at once."""
        sealed(call)
        said = call.asks.ask(
            {
                "user_name": {
                    "method": "elicitation/create",
                    "params": form("What is your name?", name=NAME),
                },
                "greeting": {
                    "method": "sampling/createMessage",
                    "params": prompting("Generate a greeting", 50),
                },
                "client_roots": {"method": "roots/list", "params": {}},
            }
        )
        return [text(json.dumps(said))]

    def test_input_required_result_multi_round(self, call: Call) -> list:
        """Ask twice, one after the other."""
        sealed(call)
        name = call.ask("step1", "elicitation/create", **form("Step 1: What is your name?", name=NAME))
        asked = form("Step 2: What is your favorite color?", color=NAME)
        color = call.ask("step2", "elicitation/create", **asked)
        return [text(json.dumps([name, color]))]

    def test_input_required_result_tampered_state(self, call: Call) -> list:
        """Refuse a state that we did not give out; a sound one is opened before we come here."""
        return self.test_input_required_result_request_state(call)

    def test_input_required_result_capabilities(self, call: Call) -> list:
        """Ask what the client can answer."""
        questions = {
            "user_name": {"method": "elicitation/create", "params": form("What is your name?", name=NAME)},
            "greeting": {"method": "sampling/createMessage", "params": prompting("Generate a greeting", 50)},
        }
        fitting = {name: each for name, each in questions.items() if ASKED_OF[each["method"]] in call.offers}
        if not fitting:
            call.needs("elicitation")
        return [text(json.dumps(call.asks.ask(fitting)))]

    def greet(self, call: Call) -> list:
        """Greet at once."""
        return [text(f"Hello, {call.arguments.get('name', 'stranger')}!")]

    def slow_compute(self, call: Call) -> Later:
        """Take some time."""

        def work(task: Call) -> list:
            task.pause(float(call.arguments.get("seconds", 0)))
            return [text(f"Computed {call.arguments.get('label', 'something')}.")]

        return Later(work)

    def failing_job(self, call: Call) -> Later:
        """Fail after a while."""

        def work(task: Call) -> list:
            task.pause(PAUSE_S)
            raise Failed("This job intentionally fails")

        return Later(work, required=True)

    def protocol_error_job(self, call: Call) -> Later:
        """End with an error of the protocol."""

        def work(task: Call) -> list:
            task.pause(PAUSE_S)
            raise Refused(-32603, "This job intentionally breaks down")

        return Later(work, required=True)

    def confirm_delete(self, call: Call) -> Later:
        """Ask the user whether it shall be."""
        asked = form(f"Delete {call.arguments.get('filename')}?", confirm={"type": "boolean"})
        return Later(lambda task: [text(shown(task.ask("confirm", "elicitation/create", **asked)))])

    def multi_input(self, call: Call) -> Later:
        """Ask the user two things at once."""
        questions = {
            "first": {"method": "elicitation/create", "params": form("Your name?", name=NAME)},
            "second": {"method": "elicitation/create", "params": form("And another?", name=NAME)},
        }
        return Later(lambda task: [text(json.dumps(task.asks.ask(questions)))])

    def test_tool_with_task(self, call: Call) -> Later:
        """Ask the user, then go on as a task."""
        greeting = self.test_input_required_result_elicitation(call)

        def work(task: Call) -> list:
            task.pause(PAUSE_S)
            return greeting

        return Later(work, required=True)


def prompted(call: Call, name: str, arguments: dict) -> list[dict]:
    """The contents of a prompt's messages."""
    if name == "test_prompt_with_arguments":
        words = f"Prompt with arguments: arg1='{arguments['arg1']}', arg2='{arguments['arg2']}'"
        return [text(words)]
    if name == "test_prompt_with_embedded_resource":
        resource = embedded(arguments["resourceUri"], "text/plain", "Embedded resource content for testing.")
        return [resource, text("Please process the embedded resource above.")]
    if name == "test_prompt_with_image":
        return [image(), text("Please analyze the image above.")]
    if name == "test_input_required_result_prompt":
        asked = form("What context should the prompt use?", context=NAME)
        return [text(f"Context: {shown(call.ask('user_context', 'elicitation/create', **asked))}")]
    return [text("This is a simple prompt for testing.")]


def sealed(call: Call) -> None:
    """Have the call give out a state from the first round on, where there are rounds."""
    if isinstance(call.asks, Rounds):
        call.asks.sealed = True


def shown(reply: dict) -> str:
    """The user's answer to a form, as text."""
    return f"action={reply.get('action')}, content={json.dumps(reply.get('content', {}))}"


def finished(work: Callable[[Call], list], call: Call) -> dict:
    """The result of a tool."""
    try:
        return {"content": work(call), "isError": False}
    except Failed as why:
        return {"content": [text(str(why))], "isError": True}


def now() -> str:
    """The time, as tasks carry it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
