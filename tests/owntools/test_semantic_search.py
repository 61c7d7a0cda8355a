"""The semantic search without its program: what it asks, how long it waits, and the fusion of two rankings."""

import json

from msgspec import Raw
from twisted.internet.task import Clock

from mcpgateway.discovery.records import ListKind, read_items
from mcpgateway.errors import LaunchFailed
from mcpgateway.interfaces import Gone, Launch
from mcpgateway.owntools import semantic_search
from mcpgateway.owntools.semantic_search import SemanticSearch, fused, text_of


def items(server, *names):
    """Tools of a server."""
    tools = [{"name": name, "description": f"Does  {name}."} for name in names]
    return read_items(server, ListKind.TOOL, [Raw(json.dumps({"tools": tools}).encode())])


class RecordingProgram:
    """A program that remembers what it is told, and its launcher."""

    def __init__(self):
        self.told, self.starts, self.is_killed, self.fails = [], 0, False, False

    def launch(self, launch, receiver):
        self.starts += 1
        if self.fails:
            raise LaunchFailed("no such program")
        return self

    def write(self, line, *, now=False):
        self.told.append(json.loads(line))

    def kill(self):
        self.is_killed = True

    stop = kill


LAUNCH = Launch("semantic-search", ("x",), {}, "/")
LISTS = {"files": items("files", "read_file", "write_file")}


class AskingTests:
    """Questions to the program."""

    def setup_method(self):
        self.program, self.clock = RecordingProgram(), Clock()
        self.search = SemanticSearch(self.program, lambda: LAUNCH, self.clock)

    def say(self, **message):
        self.search.line_received(json.dumps(message).encode())

    def ask(self, lists=LISTS):
        found = []
        self.search.nearest("a question", lists).addCallback(found.append)
        return found

    def test_the_words_answer_until_all_vectors_are_there(self):
        """The first search starts the program and is not kept waiting; a later one is asked."""
        assert self.ask() == [()]
        assert self.program.told == [{"put": "files", "texts": [text_of(each) for each in LISTS["files"]]}]
        self.say(left=0)
        found = self.ask()
        assert found == []
        assert self.program.told[-1] == {"ask": "a question", "id": 1, "keys": ["files"], "most": 50}
        self.say(id=1, hits=[["files", 1, 0.7], ["gone", 0, 0.6]])
        assert [(each.item.own, each.similarity) for each in found[0]] == [("write_file", 0.7)]
        assert self.program.starts == 1

    def test_a_list_is_sent_once_and_again_when_it_changes(self):
        """A changed list takes the place of the former one, and the words answer until its vectors are there."""
        self.ask()
        self.say(left=0)
        self.ask()
        assert [each for each in self.program.told if "put" in each][1:] == []
        assert self.ask({"files": items("files", "other")}) == [()]
        assert self.program.told[-1]["texts"] == ["files other: Does other."]

    def test_a_search_waits_a_moment(self):
        """An answer that does not come in time is not waited for; one that comes too late is dropped."""
        self.ask()
        self.say(left=0)
        found = self.ask()
        self.clock.advance(semantic_search.ASK_S)
        assert found == [()]
        self.say(id=1, hits=[])

    def test_a_silent_program_is_killed_and_left_alone_for_a_while(self):
        """A program that owes an answer and says nothing is killed; words answer until the next try."""
        self.ask()
        self.clock.advance(semantic_search.SILENCE_S + 1)
        assert self.ask() == [()]
        assert self.program.is_killed
        assert "said nothing" in self.search.reason
        assert self.program.starts == 1
        self.clock.advance(semantic_search.RETRY_S)
        self.ask()
        assert self.program.starts == 2
        self.say(left=0)
        assert self.search.reason == ""

    def test_the_end_of_the_program_answers_its_questions(self):
        """A question to a program that dies is answered by words at once."""
        self.ask()
        self.say(left=0)
        found = self.ask()
        self.search.gone(Gone(1, None, "no memory"))
        assert found == [()]
        assert "no memory" in self.search.reason

    def test_nonsense_ends_the_program(self):
        """A line that cannot be read is a reason to kill the program."""
        self.ask()
        self.search.line_received(b"{")
        assert self.program.is_killed

    def test_a_program_that_cannot_be_started_or_is_not_installed(self):
        """Both leave the search to the words, and say why."""
        self.program.fails = True
        assert self.ask() == [()]
        assert "no such program" in self.search.reason
        missing = SemanticSearch(self.program, lambda: None, self.clock)
        missing.nearest("x", LISTS)
        assert missing.reason == semantic_search.MISSING

    def test_an_idle_program_is_stopped(self):
        """Without a search for a while the program ends, and the next one starts it."""
        self.ask()
        self.clock.advance(semantic_search.IDLE_S)
        assert self.program.is_killed
        self.ask()
        assert self.program.starts == 2


class FusionTests:
    """Reciprocal rank fusion."""

    def test_a_tool_of_both_rankings_precedes_those_of_one(self):
        """The second of both is better than the first of either; equal tools of two lists are one."""
        a, b, c = items("s", "a", "b", "c")
        (again,) = items("s", "b")
        assert [item.own for item, _ in fused([a, b], [c, again])] == ["b", "a", "c"]
        assert fused([], []) == []
