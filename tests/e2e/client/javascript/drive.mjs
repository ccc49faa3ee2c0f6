// Drives Crucible with the official JavaScript clients: one whole and one streamed answer, one tool call
// and one error in each format.
// Usage: node drive.mjs FOLDER URL MODEL..., where FOLDER has the clients; prints one JSON.
import { createRequire } from "node:module";

const [folder, url, ...models] = process.argv.slice(2);
const load = createRequire(`${folder}/package.json`);
const OpenAI = load("openai").default;
const Anthropic = load("@anthropic-ai/sdk").default;
const { Ollama } = load("ollama");
const options = { apiKey: "any", maxRetries: 0, timeout: 60_000 };
const openai = new OpenAI({ ...options, baseURL: `${url}/v1` });
const anthropic = new Anthropic({ ...options, baseURL: url });
const ollama = new Ollama({ host: url });

const name = "weather";
const description = "Tells the weather.";
const parameters = { type: "object", properties: { echo: { type: "string" } } };
const user = (content) => [{ role: "user", content }];

async function raised(call) {
  try {
    await call();
  } catch (error) {
    const { status, status_code, code, type, message } = error;
    return { class: error.constructor.name, status: status ?? status_code, code, type, message };
  }
  return null;
}

async function chat(model) {
  const { completions } = openai.chat;
  const whole = await completions.create({ model, messages: user("repeat 3") });
  let streamed = "";
  const include = { stream_options: { include_usage: true } };
  for await (const chunk of await completions.create({
    model,
    messages: user("repeat 4"),
    stream: true,
    ...include,
  })) {
    streamed += chunk.choices[0]?.delta.content ?? "";
  }
  const tools = [{ type: "function", function: { name, description, parameters } }];
  const asked = completions.stream({ model, messages: user(`call tool ${name}`), tools });
  const { finish_reason, message } = (await asked.finalChatCompletion()).choices[0];
  const call = message.tool_calls[0].function;
  return {
    whole: [whole.choices[0].message.content, whole.usage.completion_tokens],
    streamed,
    call: [finish_reason, call.name, typeof JSON.parse(call.arguments)],
    error: await raised(() => completions.create({ model, messages: [] })),
  };
}

async function responses(model) {
  const whole = await openai.responses.create({ model, input: "repeat 3" });
  const stream = openai.responses.stream({ model, input: "repeat 4" });
  let streamed = "";
  let last;
  for await (const event of stream) {
    if (event.type === "response.output_text.delta") streamed += event.delta;
    last = event.type;
  }
  const tools = [{ type: "function", name, description, parameters, strict: false }];
  const asked = openai.responses.stream({ model, input: `call tool ${name}`, tools });
  const item = (await asked.finalResponse()).output.find(({ type }) => type === "function_call");
  const dangling = [{ type: "function_call_output", call_id: "none", output: "text" }];
  return {
    whole: [whole.output_text, whole.usage.output_tokens],
    streamed: [streamed, (await stream.finalResponse()).output_text, last],
    call: [item.status, item.name, typeof JSON.parse(item.arguments)],
    error: await raised(() => openai.responses.create({ model, input: dangling })),
  };
}

async function messages(model) {
  const text = (message) => message.content.map((block) => block.text ?? "").join("");
  const limit = { model, max_tokens: 50 };
  const whole = await anthropic.messages.create({ ...limit, messages: user("repeat 3") });
  const stream = anthropic.messages.stream({ ...limit, messages: user("repeat 4") });
  let streamed = "";
  stream.on("text", (delta) => (streamed += delta));
  const final = await stream.finalMessage();
  const tools = [{ name, description, input_schema: parameters }];
  const asked = anthropic.messages.stream({ ...limit, messages: user(`call tool ${name}`), tools });
  const { content, stop_reason } = await asked.finalMessage();
  const block = content.find(({ type }) => type === "tool_use");
  return {
    whole: [text(whole), whole.usage.output_tokens],
    streamed: [streamed, text(final), final.stop_reason],
    call: [stop_reason, block.name, typeof block.input],
    error: await raised(() => anthropic.messages.create({ ...limit, messages: [] })),
  };
}

async function native(model) {
  const whole = await ollama.chat({ model, messages: user("repeat 3") });
  let streamed = "";
  let last;
  for await (const line of await ollama.chat({ model, messages: user("repeat 4"), stream: true })) {
    streamed += line.message.content;
    last = line.done_reason;
  }
  const tools = [{ type: "function", function: { name, description, parameters } }];
  const asked = await ollama.chat({ model, messages: user(`call tool ${name}`), tools });
  const call = asked.message.tool_calls[0].function;
  const wrong = { messages: user("hi"), options: { temperature: "hot" } };
  return {
    whole: [whole.message.content, whole.eval_count],
    streamed: [streamed, last],
    call: [asked.done_reason, call.name, typeof call.arguments],
    error: await raised(() => ollama.chat({ model, ...wrong })),
  };
}

const formats = { chat, responses, messages, native };
const told = {};
for (const model of models) {
  const all = Object.entries(formats).map(async ([format, ask]) => [format, await ask(model)]);
  told[model] = Object.fromEntries(await Promise.all(all));
}
told["unknown model"] = {
  chat: await raised(() => openai.chat.completions.create({ model: "nope", messages: user("hi") })),
  responses: await raised(() => openai.responses.create({ model: "nope", input: "hi" })),
  messages: await raised(() =>
    anthropic.messages.create({ model: "nope", max_tokens: 5, messages: user("hi") }),
  ),
  native: await raised(() => ollama.chat({ model: "nope", messages: user("hi") })),
};
console.log(JSON.stringify(told));
