// The live page: one stream of events, shown as it comes; a sign-in where a key is needed.

import { by } from "./dom.js";
import { listModels, listen } from "./ask.js";
import { dropInspected, listenToSwitch, showInspector } from "./inspector.js";
import { showSettings } from "./settings.js";
import { showAges, showState } from "./state.js";
import { ask, keepKey, key, readEvents } from "./stream.js";
import { addEntries, beginEntries, noteClock, showTimeline } from "./timeline.js";

/** Milliseconds between two tries to reach Crucible again, and between two looks at the settings. */
const AGAIN = 2000;
const SETTINGS = 30000;

const prompts = document.body.dataset.prompts === "on";
let models = "";
/** Whether events come. */
let live = false;

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

function onEvent(name, data, begins) {
  const document = JSON.parse(data);
  if (name === "timeline") (begins ? beginEntries : addEntries)(document);
  if (name === "inspector") showInspector(document);
  if (name !== "state") return;
  noteClock(document.instance?.now_ms);
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
      live = true;
      settings();
      // The first timeline of a connection has all that happened, also what this page had before it was cut off.
      let begins = true;
      await readEvents(response, (name, data) => {
        onEvent(name, data, begins);
        if (name === "timeline") begins = false;
      });
    } catch {
      // Said below: an instance that ends and one that cannot be reached look alike here.
    }
    live = false;
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
setInterval(() => {
  showTimeline();
  if (live) showAges();
}, 5000);
addEventListener("resize", () => showTimeline());
// A tab that nobody sees asks for nothing.
const settingsIfSeen = () => document.hidden || settings();
setInterval(settingsIfSeen, SETTINGS);
document.addEventListener("visibilitychange", settingsIfSeen);
follow();
