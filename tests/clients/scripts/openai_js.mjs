// Asks once with OpenAI's library and runs the commands that the model asks for, until it says a text.
// Usage: node openai_js.mjs FOLDER chat|responses MODEL PROMPT
import { execSync } from "node:child_process";
import { createRequire } from "node:module";

const [folder, api, model, prompt] = process.argv.slice(2);
const OpenAI = createRequire(`${folder}/package.json`)("openai").default;
const client = new OpenAI();
const name = "run_command";
const description = "Runs a shell command and returns what it printed.";
const parameters = {
  type: "object",
  properties: { command: { type: "string" } },
  required: ["command"],
  additionalProperties: false,
};
const run = (text) => execSync(JSON.parse(text).command, { encoding: "utf8" });

async function chat() {
  const tools = [{ type: "function", function: { name, description, parameters } }];
  const messages = [{ role: "user", content: prompt }];
  for (let turn = 0; turn < 9; turn += 1) {
    const stream = client.chat.completions.stream({ model, messages, tools });
    const { message } = (await stream.finalChatCompletion()).choices[0];
    if (!message.tool_calls?.length) return message.content;
    messages.push({ role: "assistant", content: message.content, tool_calls: message.tool_calls });
    for (const call of message.tool_calls) {
      messages.push({ role: "tool", tool_call_id: call.id, content: run(call.function.arguments) });
    }
  }
  throw new Error("no text after nine turns");
}

async function responses() {
  const tools = [{ type: "function", name, description, parameters, strict: true }];
  const input = [{ role: "user", content: prompt }];
  for (let turn = 0; turn < 9; turn += 1) {
    const stream = client.responses.stream({ model, input, tools, store: false });
    const answer = await stream.finalResponse();
    const calls = answer.output.filter((item) => item.type === "function_call");
    if (!calls.length) return answer.output_text;
    input.push(...answer.output);
    for (const call of calls) {
      const output = run(call.arguments);
      input.push({ type: "function_call_output", call_id: call.call_id, output });
    }
  }
  throw new Error("no text after nine turns");
}

console.log(await { chat, responses }[api]());
