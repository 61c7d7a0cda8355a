"""The extension ``io.modelcontextprotocol/tasks``: calls that are answered before they are done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from calls import Call, missing
from shop import finished, now
from wire import INVALID_PARAMS, Cancelled, Refused

EXTENSION = "io.modelcontextprotocol/tasks"
TTL_MS = 300_000
POLL_MS = 100

Told = Callable[[str, dict], None]


class Task:
    """A call that goes on after it was answered; it asks by waiting until its questions are fetched."""

    def __init__(self, number: str, told: Told) -> None:
        self.told = told
        self.known = {"taskId": number, "status": "working", "createdAt": now(), "lastUpdatedAt": now()}
        self.known |= {"ttlMs": TTL_MS, "pollIntervalMs": POLL_MS}
        self.outcome: dict = {}
        self.waiting: dict[str, dict] = {}
        self.answers: dict[str, dict] = {}
        self.changed = threading.Condition()

    def run(self, call: Call, work: Callable[[Call], list]) -> None:
        """Do the work, and keep what came of it."""
        try:
            self.became("completed", result=finished(work, call))
        except Refused as why:
            self.became("failed", error=why.error)
        except Cancelled:
            self.became("cancelled")

    def ask(self, questions: Mapping[str, dict]) -> dict[str, dict]:
        """The client's answers to all of the questions."""
        with self.changed:
            self.waiting = dict(questions)
        self.became("input_required")
        with self.changed:
            self.changed.wait_for(lambda: not self.waiting)
            if not questions.keys() <= self.answers.keys():
                raise Cancelled
        self.became("working")
        return self.answers

    def update(self, answers: dict) -> None:
        """Take the answers to questions that are open, and no others."""
        with self.changed:
            for name in self.waiting.keys() & answers.keys():
                self.answers[name] = answers[name]
                del self.waiting[name]
            self.changed.notify_all()

    def give_up(self) -> None:
        """Wait for no more answers."""
        with self.changed:
            self.waiting.clear()
            self.changed.notify_all()

    def became(self, status: str, **outcome: object) -> None:
        """Get a new status, and tell whoever listens."""
        with self.changed:
            self.known |= {"status": status, "lastUpdatedAt": now()}
            self.outcome = outcome
        self.told("notifications/tasks", self.detailed())

    def detailed(self) -> dict:
        """All that a client is told of the task."""
        with self.changed:
            asked = {"inputRequests": dict(self.waiting)} if self.waiting else {}
            return {**self.known, **self.outcome, **asked}


class Tasks:
    """All tasks of this process."""

    def __init__(self, told: Told) -> None:
        self.told = told
        self.tasks: dict[str, tuple[Task, Call]] = {}
        self.counting = threading.Lock()
        self.methods = {"tasks/get": self.get, "tasks/update": self.update, "tasks/cancel": self.cancel}

    def start(self, call: Call, work: Callable[[Call], list]) -> dict:
        """Answer a call with a task that does the work."""
        with self.counting:
            number = f"task-{len(self.tasks) + 1}"
            task = Task(number, self.told)
            within = Call(call.pipe, call.params, task, call.offers, None)
            self.tasks[number] = (task, within)
        created = {**task.known, "resultType": "task"}
        threading.Thread(target=task.run, args=(within, work), daemon=True).start()
        return created

    def get(self, params: dict) -> dict:
        """Return a task with its outcome or its open questions."""
        return self._found(params)[0].detailed()

    def update(self, params: dict) -> dict:
        """Take answers."""
        self._found(params)[0].update(params.get("inputResponses") or {})
        return {}

    def cancel(self, params: dict) -> dict:
        """Ask the task to end early."""
        task, call = self._found(params)
        call.cancelled.set()
        task.give_up()
        return {}

    def _found(self, params: dict) -> tuple[Task, Call]:
        found = self.tasks.get(params.get("taskId", ""))
        if found is None:
            raise Refused(INVALID_PARAMS, "Task not found")
        return found


def knows_tasks(offers: Mapping) -> bool:
    """Return whether a client has declared the extension."""
    return EXTENSION in (offers.get("extensions") or {})


def must_know_tasks(offers: Mapping) -> None:
    """Refuse a client that has not."""
    if not knows_tasks(offers):
        raise missing({"extensions": {EXTENSION: {}}})
