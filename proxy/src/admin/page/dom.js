// Building elements. Texts go in as text, never as markup, so that a model's name cannot be a tag.

import { visible } from "./format.js";

/** An element with attributes and children; strings become text. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter(child => child != null && child !== ""));
  return element;
}

/** A name of others beside words of the page: it keeps its direction to itself, and nothing in it is hidden. */
export const named = name => make("bdi", {}, visible(name));

/** An element of a drawing. */
export function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** The element with that id. */
export const by = id => document.getElementById(id);

/** Replaces what an element holds, unless it would hold the same: a screen reader is not disturbed. */
export function fill(element, ...children) {
  const next = document.createElement("div");
  next.append(...children);
  if (element.innerHTML !== next.innerHTML) element.replaceChildren(...next.childNodes);
}
