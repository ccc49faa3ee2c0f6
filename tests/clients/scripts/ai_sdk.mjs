// Asks once with Vercel's AI SDK, which runs the tool until the model says a text.
// Usage: node ai_sdk.mjs FOLDER URL MODEL PROMPT
import { execSync } from "node:child_process";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [folder, baseURL, name, prompt] = process.argv.slice(2);
const { resolve } = createRequire(`${folder}/package.json`);
const load = (path) => import(pathToFileURL(resolve(path)));
const { isStepCount, stepCountIs, streamText, tool } = await load("ai");
const { createOpenAICompatible } = await load("@ai-sdk/openai-compatible");
const { z } = await load("zod");

const provider = createOpenAICompatible({ name: "crucible", baseURL, includeUsage: true });
const run_command = tool({
  description: "Runs a shell command and returns what it printed.",
  inputSchema: z.object({ command: z.string() }),
  execute: async ({ command }) => execSync(command, { encoding: "utf8" }),
});
const stopWhen = (isStepCount ?? stepCountIs)(9);
const model = provider(name);
const result = streamText({ model, prompt, stopWhen, tools: { run_command } });
console.log(await result.text);
