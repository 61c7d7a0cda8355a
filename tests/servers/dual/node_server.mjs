// A server on the TypeScript SDK that speaks both eras, or with --era=legacy or --era=modern only one of them.

import { McpServer, acceptedContent, inputRequired } from '@modelcontextprotocol/server';
import { StdioServerTransport, serveStdio } from '@modelcontextprotocol/server/stdio';
import * as z from 'zod';

const text = words => ({ content: [{ type: 'text', text: words }] });

function made() {
  const server = new McpServer(
    { name: 'dual-node', version: '1' },
    { instructions: 'Does the same in either era.' },
  );
  server.registerTool(
    'echo',
    { description: 'Say the same.', inputSchema: z.object({ text: z.string() }) },
    async ({ text: words }) => text(words),
  );
  server.registerTool(
    'add',
    { description: 'Add two numbers.', inputSchema: z.object({ a: z.number(), b: z.number() }) },
    async ({ a, b }) => text(String(a + b)),
  );
  server.registerTool('pid', { description: 'Say which process this is.' }, async () => text(String(process.pid)));
  server.registerTool(
    'ask_user',
    { description: 'Ask the user for a name, as the era does it.', inputSchema: z.object({}) },
    async (_, context) => {
      const given = context.mcpReq.inputResponses?.name;
      if (given === undefined) {
        const schema = { type: 'object', properties: { name: { type: 'string' } }, required: ['name'] };
        const name = inputRequired.elicit({ message: 'What is your name?', requestedSchema: schema });
        return inputRequired({ inputRequests: { name } });
      }
      const accepted = acceptedContent(context.mcpReq.inputResponses, 'name');
      return text(accepted ? `Hello, ${accepted.name}!` : `The user chose to ${given.action}.`);
    },
  );
  server.registerTool(
    'ask_model',
    {
      description: "Have the client's model answer, as the era does it.",
      inputSchema: z.object({ prompt: z.string() }),
    },
    async ({ prompt }, context) => {
      const said = context.mcpReq.inputResponses?.said;
      if (said === undefined) {
        const messages = [{ role: 'user', content: { type: 'text', text: prompt } }];
        return inputRequired({ inputRequests: { said: inputRequired.createMessage({ messages, maxTokens: 100 }) } });
      }
      return text(`The model said: ${said.content.text}`);
    },
  );
  server.registerResource(
    'text',
    'dual://text',
    { description: 'A text that stays as it is.', mimeType: 'text/plain' },
    async uri => ({ contents: [{ uri: uri.href, mimeType: 'text/plain', text: 'The text of a resource.' }] }),
  );
  server.registerPrompt(
    'greeting',
    { description: 'A prompt made of its argument.', argsSchema: z.object({ name: z.string() }) },
    async ({ name }) => ({ messages: [{ role: 'user', content: { type: 'text', text: `Greet ${name}.` } }] }),
  );
  return server;
}

const era = process.argv[2] ?? '--era=dual';
if (era === '--era=legacy') {
  await made().connect(new StdioServerTransport());
} else {
  serveStdio(made, { legacy: era === '--era=modern' ? 'reject' : 'serve' });
}
