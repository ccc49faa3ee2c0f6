// The live page: one stream of events, shown as it comes; a sign-in where a key is needed.

import { by } from "./dom.js";
import { listModels, listen } from "./ask.js";
import { dropInspected, listenToSwitch, showInspector } from "./inspector.js";
import { showSettings } from "./settings.js";
import { showState } from "./state.js";
import { ask, keepKey, key, readEvents } from "./stream.js";
import { addEntries, showTimeline } from "./timeline.js";

/** Milliseconds between two tries to reach Crucible again, and between two looks at the settings. */
const AGAIN = 2000;
const SETTINGS = 30000;

const prompts = document.body.dataset.prompts === "on";
let models = "";

function say(text, style) {
  by("link").textContent = text;
  by("link").className = style;
}

/** Asks for a key and returns once there is one. */
function signIn() {
  by("sign-in-why").textContent = key() ? "The key is not one of the configured keys." : "This Crucible has client keys.";
  const dialog = by("sign-in");
  if (!dialog.open) dialog.showModal();
  return new Promise(resolve => dialog.addEventListener("close", () => {
    keepKey(by("key").value);
    by("key").value = "";
    resolve();
  }, { once: true }));
}

function onEvent(name, data) {
  const document = JSON.parse(data);
  if (name === "timeline") {
    addEntries(document);
    showTimeline();
  }
  if (name === "inspector") showInspector(document);
  if (name !== "state") return;
  showState(document);
  const listed = JSON.stringify(document.engines.map(engine => [engine.name, engine.models]));
  if (prompts && listed !== models) {
    models = listed;
    listModels();
  }
}

async function settings() {
  const answer = await ask("crucible/tunings").catch(() => null);
  if (answer?.ok) showSettings(await answer.json());
}

async function follow() {
  for (;;) {
    try {
      const response = await ask("crucible/events");
      if (response.status === 401) {
        dropInspected();
        say("a key is needed", "warn");
        await signIn();
        continue;
      }
      if (!response.ok) throw new Error("HTTP " + response.status);
      say("live", "good");
      settings();
      await readEvents(response, onEvent);
    } catch {
      // Said below: an instance that ends and one that cannot be reached look alike here.
    }
    dropInspected();
    say("not reached, trying again", "bad");
    await new Promise(resolve => setTimeout(resolve, AGAIN));
  }
}

by("base").textContent = location.origin + "/v1";
by("ask-section").hidden = !prompts;
if (prompts) listen();
listenToSwitch();
showTimeline();
setInterval(() => showTimeline(), 5000);
addEventListener("resize", () => showTimeline());
setInterval(settings, SETTINGS);
follow();
