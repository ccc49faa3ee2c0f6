// Asks once with Ollama's library and runs the commands that the model asks for, until it says a text.
// Usage: node ollama_js.mjs FOLDER SERVER MODEL PROMPT
import { execSync } from "node:child_process";
import { createRequire } from "node:module";

const [folder, host, model, prompt] = process.argv.slice(2);
const { Ollama } = createRequire(`${folder}/package.json`)("ollama");
const client = new Ollama({ host });
const parameters = {
  type: "object",
  properties: { command: { type: "string", description: "the shell command" } },
  required: ["command"],
};
const description = "Runs a shell command and returns what it printed.";
const tools = [{ type: "function", function: { name: "run_command", description, parameters } }];
const messages = [{ role: "user", content: prompt }];

async function streamed() {
  const message = { role: "assistant", content: "", tool_calls: [] };
  let ended = false;
  for await (const part of await client.chat({ model, messages, tools, stream: true })) {
    message.content += part.message.content ?? "";
    message.tool_calls.push(...(part.message.tool_calls ?? []));
    ended = part.done;
  }
  if (!ended) throw new Error("the last line is not done");
  return message;
}

async function loop() {
  for (let turn = 0; turn < 9; turn += 1) {
    const message = await streamed();
    if (!message.tool_calls.length) return message.content;
    messages.push(message);
    for (const call of message.tool_calls) {
      const content = execSync(call.function.arguments.command, { encoding: "utf8" });
      messages.push({ role: "tool", tool_name: call.function.name, content });
    }
  }
  throw new Error("no text after nine turns");
}

console.log(await loop());
