// Reading Crucible's interfaces with the key of this tab: JSON, and server-sent events over fetch, because the
// browser's own EventSource sends no key.

const KEY = "crucible-key";

/** The key of this tab, or null. */
export const key = () => sessionStorage.getItem(KEY);

/** Keeps a key in this tab. */
export const keepKey = value => sessionStorage.setItem(KEY, value);

/** Fetches a path with the key of this tab. */
export function ask(path, options = {}) {
  const headers = { ...options.headers };
  if (key()) headers.Authorization = "Bearer " + key();
  return fetch(path, { ...options, headers, cache: "no-store" });
}

/** A parser of server-sent events: give it pieces of text, it calls back with each whole event. */
export function eventParser(onEvent) {
  let rest = "";
  return text => {
    rest += text;
    let end;
    while ((end = rest.indexOf("\n\n")) >= 0) {
      const block = rest.slice(0, end);
      rest = rest.slice(end + 2);
      let name = "message";
      const data = [];
      for (const line of block.split("\n")) {
        if (line.startsWith("event:")) name = line.slice(6).trim();
        if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
      }
      if (data.length) onEvent(name, data.join("\n"));
    }
  };
}

/** Reads the events of a response until it ends. */
export async function readEvents(response, onEvent) {
  const parse = eventParser(onEvent);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    parse(value);
  }
}
