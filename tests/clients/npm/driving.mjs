// What the TypeScript drivers share: jobs on the command line, all at once, and a JSON line for what came of each.
// A job is what tests/clients/pypi/driving.py says of it.
import { existsSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const LOOK_MS = 50;

class Person {
  prompts = [];

  constructor(job) {
    this.job = job;
  }

  async waits(key) {
    while (this.job[key] !== undefined && !existsSync(this.job[key])) await sleep(LOOK_MS);
  }

  tells(key) {
    if (this.job[key] !== undefined) writeFileSync(this.job[key], "");
  }

  async asked(prompt) {
    this.prompts.push(prompt);
    this.tells("asked");
    await this.waits("until");
    return this.job.answer;
  }

  async elicited({ params }) {
    return { action: "accept", content: await this.asked(params.message) };
  }

  async sampled({ params }) {
    const asked = [params.messages[0].content].flat();
    const { text } = await this.asked(asked[0].text);
    return { role: "assistant", model: "test", content: { type: "text", text } };
  }
}

// What a client declares and handles only where the job has an answer.
export function capabilities(job) {
  return job.answer === undefined ? {} : { elicitation: {}, sampling: {} };
}

async function doJob(connect, job) {
  const person = new Person(job);
  const { prompts } = person;
  try {
    await person.waits("after");
    const { client, version, end } = await connect(job, person);
    const { tools } = await client.listTools();
    const names = tools.map((tool) => tool.name);
    if (!names.includes(job.tool)) throw new Error(`${job.tool} is not listed: ${names}`);
    const result = await client.callTool({ name: job.tool, arguments: job.arguments });
    await end?.();
    await client.close();
    return { version, prompts, result };
  } catch (why) {
    return { error: String(why), prompts };
  } finally {
    person.tells("asked"); // a call that fails before the question keeps nobody waiting
    person.tells("done");
  }
}

export async function doAll(connect) {
  const outcomes = await Promise.all(JSON.parse(process.argv[2]).map((job) => doJob(connect, job)));
  for (const outcome of outcomes) console.log(JSON.stringify(outcome));
  process.exit(0); // a connection that failed may leave something running
}
