// Asks once with Anthropic's library and runs the commands that the model asks for, until it says a text.
// Usage: node anthropic_js.mjs FOLDER MODEL PROMPT
import { execSync } from "node:child_process";
import { createRequire } from "node:module";

const [folder, model, prompt] = process.argv.slice(2);
const Anthropic = createRequire(`${folder}/package.json`)("@anthropic-ai/sdk").default;
const client = new Anthropic();
const input_schema = {
  type: "object",
  properties: { command: { type: "string" } },
  required: ["command"],
};
const description = "Runs a shell command and returns what it printed.";
const tools = [{ name: "run_command", description, input_schema }];
const messages = [{ role: "user", content: prompt }];

async function loop() {
  for (let turn = 0; turn < 9; turn += 1) {
    const stream = client.messages.stream({ model, max_tokens: 1024, messages, tools });
    const { content } = await stream.finalMessage();
    const calls = content.filter((block) => block.type === "tool_use");
    if (!calls.length) return content.map((block) => block.text ?? "").join("");
    messages.push({ role: "assistant", content });
    const results = calls.map((call) => ({
      type: "tool_result",
      tool_use_id: call.id,
      content: execSync(call.input.command, { encoding: "utf8" }),
    }));
    messages.push({ role: "user", content: results });
  }
  throw new Error("no text after nine turns");
}

console.log(await loop());
