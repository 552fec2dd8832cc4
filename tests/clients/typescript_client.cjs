// The MCP SDK for TypeScript at work: `node typescript_client.cjs TRANSPORT TARGET SIMULATOR PACKAGES` prints as JSON
// what it saw of a server over the simulator, whose second answer never comes.
const { createRequire } = require("node:module");

const [transport, target, simulator, packages] = process.argv.slice(2);
const sdk = createRequire(`${packages}/`);
const { Client } = sdk("@modelcontextprotocol/sdk/client/index.js");
const { StdioClientTransport } = sdk("@modelcontextprotocol/sdk/client/stdio.js");
const { StreamableHTTPClientTransport } = sdk("@modelcontextprotocol/sdk/client/streamableHttp.js");
const { LATEST_PROTOCOL_VERSION } = sdk("@modelcontextprotocol/sdk/types.js");

const MODEL = "llama3.2:3b";

function opened() {
  const given = JSON.parse(target);
  if (transport !== "stdio") return new StreamableHTTPClientTransport(new URL(given));
  const [command, ...args] = given.command;
  return new StdioClientTransport({ command, args, env: given.env });
}

async function until(key) {
  while (!(await (await fetch(`${simulator}/_simulator/state`)).json())[key].length)
    await new Promise((done) => setTimeout(done, 10));
}

async function seen() {
  const client = new Client({ name: "typescript", version: "1" });
  await client.connect(opened());
  const { tools } = await client.listTools();
  const call = (model, options) =>
    client.callTool({ name: "ollama_chat", arguments: { model, prompt: "Hi" } }, undefined, options);
  const called = await call(MODEL);
  const failed = await call("nowhere");
  const stop = new AbortController();
  const waiting = call(MODEL, { signal: stop.signal }).catch(() => undefined);
  await until("in_flight");
  stop.abort();
  await Promise.all([waiting, until("disconnects")]);
  await client.ping();
  await client.close();
  return {
    version: LATEST_PROTOCOL_VERSION,
    server: client.getServerVersion().name,
    tools: tools.map((tool) => tool.name),
    text: called.content[0].text,
    failed: failed.isError,
    error: failed.content[0].text,
  };
}

seen().then((what) => process.stdout.write(JSON.stringify(what)));
