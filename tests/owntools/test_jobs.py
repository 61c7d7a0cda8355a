"""Calls that nobody waits for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field
from msgspec import Raw
from twisted.internet.task import Clock

from mcpgateway.discovery.records import Item, ListKind
from mcpgateway.errors import BackendGone, Overloaded, ShuttingDown
from mcpgateway.hub.results.originals import Vault
from mcpgateway.owntools import jobs
from mcpgateway.owntools.invoke_later import InvokeStatus
from mcpgateway.owntools.job_records import JobRecord, JobStatus, NoJobStore, UnknownJob
from mcpgateway.owntools.jobs import Jobs
from mcpgateway.protocol import jsonrpc
from mcpgateway.system.result_files import ResultFiles
from tests.support.gateway_tools import ScriptedAccess, Sent, ask, reply

ITEM = Item("db", ListKind.TOOL, "query", {})


@define(eq=False)
class MemoryStore:
    """A directory of jobs in memory; a full one keeps nothing."""

    files: dict[str, bytes] = field(factory=dict)
    is_full: bool = False

    def names(self) -> list[str]:
        return list(self.files)

    def read(self, name: str) -> bytes | None:
        return self.files.get(name)

    def write(self, name: str, data: bytes) -> bool:
        if not self.is_full:
            self.files[name] = data
        return not self.is_full

    def remove(self, name: str) -> None:
        self.files.pop(name, None)


class World:
    """Jobs, their store, and a caller whose calls are answered by the test."""

    def __init__(self, store: Any = None, home: Path | None = None, keep_bytes: int = 10_000_000) -> None:
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.store = store if store is not None else MemoryStore()
        self.home = home
        vault = (
            Vault(ResultFiles(str(home)), 100, keep_bytes, self.clock.seconds) if home is not None else None
        )
        self.jobs = Jobs(self.clock, self.store, vault=vault)
        self.access = ScriptedAccess()

    def add(self, arguments: str = "{}", **more: Any) -> JobRecord:
        """Queue a job, and let time go on."""
        record = self.jobs.add(self.access, ITEM, "db__query", Raw(arguments.encode()), **more)
        self.clock.advance(0)
        return record

    @property
    def sent(self) -> list[Sent]:
        """The calls that were made."""
        return self.access.sent

    def finish(self, sent: Sent, **result: Any) -> None:
        """A call is answered, and time goes on."""
        sent.answer("done", **result)
        self.clock.advance(0)

    def again(self) -> World:
        """The gateway is started anew."""
        return World(self.store, self.home)

    def shown(self, record: JobRecord) -> Any:
        """Return the answer of ``invoke_status``."""
        return ask(InvokeStatus(self.jobs), self.access, {"jobId": record.job})

    def find(self, record: JobRecord, principal: str = "local") -> JobRecord:
        """Return the record of a job."""
        return self.jobs.find(record.job, principal)


class QueueTests:
    """Which job runs when."""

    def test_a_job_is_queued_first(self) -> None:
        """The caller learns that the job is queued, before it is begun."""
        world = World()
        record = world.jobs.add(world.access, ITEM, "db__query", Raw(b"{}"))
        assert record.status is JobStatus.QUEUED
        assert record.job.startswith("job_1700000000000_")
        assert not world.sent
        world.clock.advance(0)
        assert (world.sent[0].server, world.sent[0].tool) == ("db", "query")
        assert world.find(record).status is JobStatus.RUNNING

    def test_three_run_at_once(self) -> None:
        """No more than three run at a time; the end of one begins the next."""
        world = World()
        for number in range(5):
            world.add(f'{{"n":{number}}}')
        assert [each.arguments["n"] for each in world.sent] == [0, 1, 2]
        world.finish(world.sent[1])
        assert [each.arguments["n"] for each in world.sent] == [0, 1, 2, 3]

    def test_priority_comes_first(self) -> None:
        """A higher priority is begun earlier; of one priority, the older."""
        world = World()
        for number, priority in enumerate((0, 0, 0, 0, 5, 1, 5)):
            world.add(f'{{"n":{number}}}', priority=priority)
        for _ in range(4):
            world.finish(world.sent[len(world.sent) - 3])
        assert [each.arguments["n"] for each in world.sent] == [0, 1, 2, 4, 6, 5, 3]

    def test_a_refused_job_fails(self) -> None:
        """A call that goes nowhere fails its job, and the next is begun."""
        world = World()
        world.access.refusal = BackendGone("db has ended", "try again")
        record = world.add()
        found = world.find(record)
        assert (found.status, found.error, found.hint) == (JobStatus.FAILED, "db has ended", "try again")
        world.access.refusal = None
        world.add()
        assert len(world.sent) == 1

    def test_there_is_room_for_two_hundred(self) -> None:
        """The oldest that is over makes room for a new one; where none is over, no more are taken."""
        world = World()
        first = world.add()
        rest = [world.add() for _ in range(jobs.KEPT - 1)]
        with pytest.raises(Overloaded):
            world.add()
        world.finish(world.sent[1])
        newest = world.add()
        assert world.find(first).status is JobStatus.RUNNING
        assert world.find(newest).status is JobStatus.QUEUED
        with pytest.raises(UnknownJob, match="Job not found"):
            world.find(rest[0])
        assert len(world.store.files) == jobs.KEPT


class EndTests:
    """The end of a job."""

    def test_a_result_is_kept(self) -> None:
        """The result is kept as it came, on disk and not in memory."""
        world = World()
        record = world.add()
        world.clock.advance(1)
        world.finish(world.sent[0], structuredContent={"rows": 3})
        found = world.find(record)
        assert found.status is JobStatus.COMPLETED
        assert json.loads(bytes(found.result)) == {
            "content": [{"type": "text", "text": "done"}],
            "structuredContent": {"rows": 3},
        }
        assert (found.started, found.finished) == (1_700_000_000, 1_700_000_001)
        assert not world.jobs._over

    def test_a_failed_result_fails_the_job(self) -> None:
        """A result that says that the tool has failed is kept, and the job has failed."""
        world = World()
        record = world.add()
        world.finish(world.sent[0], isError=True)
        found = world.find(record)
        assert found.status is JobStatus.FAILED
        assert found.result != jsonrpc.NULL

    def test_an_error_fails_the_job(self) -> None:
        """An error of the protocol is the job's."""
        world = World()
        record = world.add()
        error = jsonrpc.raw({"code": -32602, "message": "Invalid arguments"})
        sent = world.sent[0]
        sent.call.sink.answered(sent.call, {"jsonrpc": jsonrpc.VERSION, "id": Raw(b"1"), "error": error})
        assert (world.find(record).status, world.find(record).error) == (
            JobStatus.FAILED,
            "Invalid arguments",
        )

    def test_a_question_fails_the_job(self) -> None:
        """A tool's question fails its job, as no client is there to answer."""
        world = World()
        record = world.add()
        sent = world.sent[0]
        sent.call.sink.answered(sent.call, reply({"resultType": "input_required", "inputRequests": {}}))
        assert "asks its caller" in world.find(record).error

    def test_jobs_are_their_callers(self) -> None:
        """A caller finds, and ends, its own jobs only."""
        world = World()
        record = world.add()
        for each in ("somebody", "remote"):
            with pytest.raises(UnknownJob):
                world.find(record, each)
        with pytest.raises(UnknownJob):
            world.jobs.cancel(record.job, "somebody")
        assert world.find(record).status is JobStatus.RUNNING

    def test_with_the_token(self) -> None:
        """A caller with the token finds the jobs of clients that need none."""
        world = World()
        record = world.add()
        assert world.find(record, "token") is record

    def test_a_running_job_is_cancelled(self) -> None:
        """A cancelled job's call is taken back, and what it says afterwards is not heard; the next is begun."""
        world = World()
        records = [world.add() for _ in range(4)]
        world.jobs.cancel(records[0].job, "local")
        assert [call for call, _ in world.access.cancelled] == [world.sent[0].call]
        world.finish(world.sent[0])
        assert world.find(records[0]).status is JobStatus.CANCELLED
        assert len(world.sent) == 4

    def test_a_waiting_job_is_cancelled(self) -> None:
        """A job that is cancelled while it waits is never begun; one that is over stays as it is."""
        world = World()
        records = [world.add() for _ in range(4)]
        assert world.jobs.cancel(records[3].job, "local").status is JobStatus.CANCELLED
        world.finish(world.sent[0])
        assert len(world.sent) == 3
        assert world.jobs.cancel(records[0].job, "local").status is JobStatus.COMPLETED

    def test_a_silent_job_is_given_up(self) -> None:
        """A job without an answer or progress in time fails, and its call is taken back."""
        world = World()
        record = world.add(quiet_s=30.0)
        world.clock.advance(29)
        world.sent[0].call.sink.progressed(
            world.sent[0].call,
            b'{"method":"notifications/progress","params":{"progress":1,"progressToken":7}}',
        )
        world.clock.advance(29)
        assert json.loads(bytes(world.find(record).progress)) == {"progress": 1}
        world.clock.advance(1)
        assert world.find(record).error == "TIMEOUT: Tool db__query exceeded 30000ms"
        assert len(world.access.cancelled) == 1

    def test_log_messages_are_kept(self) -> None:
        """The last log messages of a job are kept, cut to a line; questions have nobody to answer them."""
        world = World()
        record = world.add()
        call = world.sent[0].call
        for number in range(jobs.LOG_LINES + 5):
            params = {"level": "warning", "data": f"{number} " + "x" * 1000}
            message = jsonrpc.encode(jsonrpc.notification("notifications/message", params))
            assert call.sink.noticed(call, message)
        logs = world.find(record).logs
        assert len(logs) == jobs.LOG_LINES
        assert logs[-1].startswith(f"warning: {jobs.LOG_LINES + 4} xxx")
        assert len(logs[-1]) == jobs.LOG_CHARACTERS
        assert not call.sink.noticed(call, b'{"id":1,"method":"elicitation/create"}')
        assert not call.sink.noticed(call, b'{"method":"notifications/cancelled","params":{"requestId":1}}')

    def test_results_are_shielded(self) -> None:
        """The result of a job is cut to its size like any other."""
        seen: list[tuple[Any, ...]] = []
        world = World()
        world.jobs = Jobs(world.clock, world.store, lambda *found: seen.append(found))
        world.add(level="lean")
        assert seen == [(world.sent[0].call, ITEM, "lean", world.access)]


class RestartTests:
    """Jobs outlive the gateway."""

    def test_results_outlive_the_gateway(self) -> None:
        """A job that was over is found again with its result, by whoever had it done."""
        world = World()
        record = world.add()
        world.finish(world.sent[0])
        found = world.again().find(record)
        assert found.status is JobStatus.COMPLETED
        assert b"done" in bytes(found.result)
        with pytest.raises(UnknownJob):
            world.again().find(record, "somebody")

    def test_what_was_not_over_is_interrupted(self) -> None:
        """Jobs that waited or ran are said to be interrupted, unless the former gateway still ends them in order."""
        world = World()
        records = [world.add() for _ in range(4)]
        again = world.again()
        assert {again.find(each).status for each in records} == {JobStatus.INTERRUPTED}
        said = [again.find(each).error for each in records]
        assert said == [*[jobs.INTERRUPTED] * 3, jobs.NOT_BEGUN]  # no more than three run
        world.finish(world.sent[0])
        assert again.find(records[0]).status is JobStatus.COMPLETED

    def test_a_stopping_gateway_interrupts(self) -> None:
        """A running job is interrupted by the end of the gateway; a waiting one is never begun, and no new one is
        taken.
        """
        world = World()
        records = [world.add() for _ in range(4)]
        world.jobs.close()
        for sent in list(world.sent):
            sent.call.sink.failed(sent.call, ShuttingDown("cut off"))
        world.clock.advance(0)
        assert len(world.sent) == 3
        assert world.find(records[0]).status is JobStatus.INTERRUPTED
        with pytest.raises(ShuttingDown):
            world.add()

    def test_arguments_are_in_no_file(self) -> None:
        """The arguments of a job are in no file."""
        world = World()
        world.add('{"password":"hunter2"}')
        assert b"hunter2" not in b"".join(world.store.files.values())

    def test_large_results_stay_in_memory(self) -> None:
        """A result too large for a file is kept for as long as the gateway runs, and there is room."""
        world = World()
        record = world.add()
        world.sent[0].answer("x" * jobs.FILE_BYTES)
        assert len(bytes(world.find(record).result)) > jobs.FILE_BYTES
        assert "too large" in world.again().find(record).hint
        most = jobs.KEPT_BYTES // 2
        others = [world.add() for _ in range(2)]
        for sent in world.sent[1:]:
            sent.answer("x" * most)
        assert world.find(record).result == jsonrpc.NULL
        assert world.find(others[0]).result == jsonrpc.NULL
        assert world.find(others[1]).result != jsonrpc.NULL

    def test_large_results_outlive_the_gateway(self, tmp_path: Path) -> None:
        """A result too large for a file is kept with the originals, whole and with its images, and not in memory."""
        world = World(home=tmp_path / "results")
        record = world.add()
        image = {"type": "image", "data": "A" * 2 * jobs.FILE_BYTES, "mimeType": "image/png"}
        content = [{"type": "text", "text": "look"}, image]
        world.sent[0].call.sink.answered(world.sent[0].call, reply({"content": content}))
        assert not world.jobs._over
        for each in (world, world.again()):
            sink = each.shown(record)
            assert sink.result["content"][1] == image
            assert sink.value["result"]["content"][0] == content[0]
            assert sink.value["status"] == "completed"
            assert each.jobs._vault is not None
            kept = each.jobs._vault.find(sink.value["ref"], "local")
            assert json.loads(kept)["content"] == content

    def test_the_same_large_result(self, tmp_path: Path) -> None:
        """Two jobs with the very same result share what is kept of it."""
        world = World(home=tmp_path / "results")
        records = [world.add() for _ in range(2)]
        for sent in world.sent[:2]:
            sent.answer("x" * jobs.FILE_BYTES)
        assert world.shown(records[0]).value["ref"] == world.shown(records[1]).value["ref"]
        assert "result" in world.shown(records[1]).value

    def test_large_results_that_are_kept_no_longer(self, tmp_path: Path) -> None:
        """Where the original has gone, the job says so, and names no reference."""
        world = World(home=tmp_path / "results")
        record = world.add()
        world.sent[0].answer("x" * jobs.FILE_BYTES)
        for each in (tmp_path / "results").iterdir():
            each.unlink()
        shown = world.again().shown(record).value
        assert "too large" in shown["hint"]
        assert shown.keys().isdisjoint(("ref", "result"))

    def test_large_results_that_cannot_be_kept(self, tmp_path: Path) -> None:
        """Where there is no room for it on the disk, a result stays in memory."""
        world = World(home=tmp_path / "results", keep_bytes=10)
        record = world.add()
        world.sent[0].answer("x" * jobs.FILE_BYTES)
        shown = world.shown(record).value
        assert "ref" not in shown
        assert len(shown["result"]["content"][0]["text"]) == jobs.FILE_BYTES

    def test_a_full_disk_does_not_say_that_nothing_has_begun(self) -> None:
        """A job that has begun is not on record as one that has not, even where that cannot be written."""
        world = World()
        record = world.jobs.add(world.access, ITEM, "db__query", Raw(b"{}"))
        world.store.is_full = True
        world.clock.advance(0)
        with pytest.raises(UnknownJob):
            world.again().find(record)

    def test_a_call_that_was_not_begun_any_more(self) -> None:
        """A job whose call the stopping gateway has refused says that the tool was not called."""
        world = World()
        world.access.refusal = ShuttingDown("the gateway is stopping")
        record = world.find(world.add())
        assert (record.status, record.error) == (JobStatus.INTERRUPTED, jobs.NOT_BEGUN)

    @pytest.mark.parametrize("store", [MemoryStore(is_full=True), NoJobStore()])
    def test_no_disk_is_needed(self, store: Any) -> None:
        """Where nothing can be written, jobs live as long as the gateway."""
        world = World(store)
        record = world.add()
        world.finish(world.sent[0])
        assert world.find(record).status is JobStatus.COMPLETED
        with pytest.raises(UnknownJob):
            world.again().find(record)

    def test_a_damaged_file_is_no_job(self) -> None:
        """A record that cannot be read counts as lost."""
        world = World(MemoryStore({"job_1_x": b"{", "job_2_x": b'{"status":"new kind"}'}))
        for name in world.store.files:
            with pytest.raises(UnknownJob):
                world.jobs.find(name, "local")


class ShownTests:
    """``invoke_status``."""

    def test_a_job_is_shown_as_s004_shows_it(self) -> None:
        """Status, times, result and logs are shown under S004's names."""
        world = World()
        record = world.add(priority=2)
        world.finish(world.sent[0])
        shown = ask(InvokeStatus(world.jobs), world.access, {"jobId": record.job}).value
        assert shown == {
            "jobId": record.job,
            "status": "completed",
            "toolId": "db__query",
            "createdAt": "2023-11-14T22:13:20.000+00:00",
            "startedAt": "2023-11-14T22:13:20.000+00:00",
            "finishedAt": "2023-11-14T22:13:20.000+00:00",
            "logs": [],
            "priority": 2,
            "result": {"content": [{"type": "text", "text": "done"}]},
        }

    def test_images_are_images(self) -> None:
        """An image of a result follows behind its text unchanged."""
        world = World()
        record = world.add()
        image = {"type": "image", "data": "AA==", "mimeType": "image/png"}
        sent = world.sent[0]
        sent.call.sink.answered(sent.call, reply({"content": [{"type": "text", "text": "look"}, image]}))
        sink = ask(InvokeStatus(world.jobs), world.access, {"jobId": record.job})
        assert sink.result["content"][1] == image
        assert sink.value["result"]["content"][1] == {"type": "image", "_block": 1}

    def test_a_job_is_given_up_by_asking(self) -> None:
        """A job is cancelled by asking for its end."""
        world = World()
        record = world.add()
        shown = ask(InvokeStatus(world.jobs), world.access, {"jobId": record.job, "cancel": True}).value
        assert shown["status"] == "cancelled"
        assert shown["error"] == "its caller has cancelled it"
