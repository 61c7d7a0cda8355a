"""Parts that the Python drivers share: jobs on the command line, all at once, and a JSON line for each outcome.

A job says where the server is (``front`` and ``url``, ``argv`` or ``socket``), how the client is to negotiate
(``mode``), which ``tool`` to call with which ``arguments``, and how the person at the client behaves (`Person`).
"""

import asyncio
import json
import sys
from pathlib import Path

LOOK_S = 0.05
PATIENCE_S = (
    300.0  # a client that connects many times on a busy machine takes longer than its own few seconds
)


class Person:
    """The person at the client: is asked, takes the time that the job says, and gives the job's answer.

    ``after`` names a file that has to be there before the call, ``asked`` the one that tells of a question, ``until``
    the one that has to be there before the answer, and ``done`` the one that tells that the call is over.
    """

    def __init__(self, job):
        self.job = job
        self.prompts = []

    async def waits(self, key):
        """Wait for a file, where the job names one."""
        while key in self.job and not Path(self.job[key]).exists():  # noqa: ASYNC110, ASYNC240 - another process makes it
            await asyncio.sleep(LOOK_S)

    def tells(self, key):
        """Make a file, where the job names one."""
        if key in self.job:
            Path(self.job[key]).touch()

    async def asked(self, prompt):
        """Hear a question; what to answer."""
        self.prompts.append(prompt)
        self.tells("asked")
        await self.waits("until")
        return self.job["answer"]


async def do(connect, job):
    """Open a connection, and do everything on it that a client does."""
    person = Person(job)
    try:
        await person.waits("after")
        async with connect(job, person) as (client, version):
            tools = await client.list_tools()
            names = [tool.name for tool in getattr(tools, "tools", tools)]
            if job["tool"] not in names:
                raise LookupError(f"{job['tool']} is not listed: {names}")
            result = await client.call_tool(job["tool"], job["arguments"])
            return {"version": version, "prompts": person.prompts, "result": shown(result)}
    except Exception as why:  # noqa: BLE001 - whatever it is, it is what came of the job
        return {"error": "; ".join(leaves(why)), "prompts": person.prompts}
    finally:
        person.tells("asked")  # a call that fails before the question keeps nobody waiting
        person.tells("done")


def shown(result):
    """A result of any of the libraries as JSON has it."""
    if hasattr(result, "model_dump"):
        return result.model_dump(mode="json")
    return {"content": [block.model_dump(mode="json") for block in result.content]}


def leaves(why):
    """The errors in whatever groups of exceptions they are."""
    if isinstance(why, BaseExceptionGroup):
        return [line for each in why.exceptions for line in leaves(each)]
    return [f"{type(why).__name__}: {why}"]


async def _do_all(connect):
    for outcome in await asyncio.gather(*(do(connect, job) for job in json.loads(sys.argv[1]))):
        print(json.dumps(outcome))


def do_all(connect):
    """Do the jobs; ``connect`` enters a client for a job and a person, and says which version it speaks."""
    asyncio.run(_do_all(connect))
