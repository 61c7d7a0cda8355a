// Every job in a session of its own, all at once; the two SDKs for TypeScript differ in how they connect only.
export async function callAll(connect) {
  const lines = await Promise.all(JSON.parse(process.argv[2]).map((job) => call(connect, job)));
  for (const line of lines) console.log(line);
}

async function call(connect, job) {
  const { client, end } = await connect(job.url);
  const { tools } = await client.listTools();
  if (!tools.some((tool) => tool.name === job.tool)) throw new Error(`${job.tool} is not listed`);
  const result = await client.callTool({ name: job.tool, arguments: job.arguments });
  await end();
  await client.close();
  return JSON.stringify(result);
}
