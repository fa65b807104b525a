// The window's side of a page whose logic is Python in a worker: applies view updates, forwards
// events. It knows nothing of what the page is about; the HTML says what to forward:
//
//   data-event="name"        a button's click, a form's submit or a choice of files becomes event
//                            `name`
//   data-echo="template"     on submit, this <template> is shown at once in #data-echo-into with
//                            the first field's text in part data-echo-part; Python gets its id
//   data-enter="submit"      Enter submits, Shift+Enter does not
//   data-fill="field"        a click puts the button's text into that field
//   data-keep                a form that keeps what was entered when it is submitted
//   data-drop="name"         files dropped anywhere become event `name` with the files; while they
//                            are over the page this element has data-over
//   data-escape="name"       (on body) Escape becomes event `name`
//   data-follow              (on body) who reads the page's end keeps seeing it while it grows
//   data-failure             the element that shows an error, by its parts
//   data-offline="script"    (on body) the service worker that keeps the site
//   data-hub="address"       the element that shows the hub with which the site shares files; "": none
//
// An update is [target, operation, value]; a target is "id" or "id/part" (the descendant with
// data-part="part"). Text goes in as text, never as HTML.

import * as storage from "./cross_origin_storage.js";
import { embed } from "./hub.js";
import { serve } from "./place.js";
import { threadsFor } from "./threads.js";

/** @typedef {{template: string, id?: string, parts?: Record<string, string>, set?: Record<string, string>}} Child */
/** @typedef {[target: string, operation: string, value: any]} Update */

const NEAR = 80; // px from the end that still count as reading along

let echoes = 0;

/** @param {string} target @returns {any} */
function find(target) {
  const [id, part] = target.split("/");
  const element = document.getElementById(id);
  return part ? element?.querySelector(`[data-part="${part}"]`) : element;
}

/** @param {Child} child @returns {Element} */
function build({ template, id, parts = {}, set = {} }) {
  const source = /** @type {HTMLTemplateElement} */ (document.getElementById(template));
  const fragment = /** @type {DocumentFragment} */ (source.content.cloneNode(true));
  const root = /** @type {Element} */ (fragment.firstElementChild);
  if (id) root.id = id;
  for (const [name, value] of Object.entries(set)) root.setAttribute(name, value);
  for (const [part, text] of Object.entries(parts)) {
    const element = root.querySelector(`[data-part="${part}"]`);
    if (element) element.textContent = text;
  }
  return root;
}

/** @param {Update} update */
function apply([target, operation, value]) {
  const element = find(target);
  if (!element) return; // gone: a conversation that was cleared
  if (operation === "text") element.textContent = value;
  else if (operation === "append") element.append(value); // a string becomes a text node
  else if (operation === "child") element.append(build(value));
  else if (operation === "remove") element.remove();
  else if (operation === "focus") element.focus();
  else if (operation === "reveal") element.scrollIntoView({ block: "start" });
  else if (operation[0] === ".") element[operation.slice(1)] = value;
  else if (value === null) element.removeAttribute(operation.slice(1));
  else element.setAttribute(operation.slice(1), value);
}

/** Applies a batch and keeps the end in view for who was there. @param {Update[]} updates */
function show(updates) {
  const page = document.documentElement;
  const following = "follow" in document.body.dataset
    && page.scrollHeight - page.clientHeight - page.scrollTop < NEAR; // prettier-ignore
  updates.forEach(apply);
  if (following) page.scrollTop = page.scrollHeight;
}

/** An error of the machinery below Python. @param {{code?: string, what: string, where?: string, fix?: string}} error */
function fail({ code = "HostError", what, where = "", fix = "Reload the page to try again." }) {
  const box = /** @type {HTMLElement} */ (document.querySelector("[data-failure]"));
  const parts = { code: `${code}:`, what, found: where, fix };
  for (const [part, text] of Object.entries(parts)) {
    const element = box.querySelector(`[data-part="${part}"]`);
    if (element) element.textContent = text;
  }
  box.hidden = false;
  document.body.dataset.failed = "";
}

const { python, prefetch, offline } = document.body.dataset;
const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
worker.onmessage = ({ data }) => {
  if (data.failed) fail(data.failed);
  else if (data.view) show(JSON.parse(data.view));
  else started();
};
worker.onerror = (event) =>
  fail({ what: event.message || "the page's worker did not start", where: event.filename });
const shared = sharedPlaces();
const { port1, port2: builtins } = new MessageChannel();
const threads = threadsFor();
const about = { base: document.baseURI, python: python?.split(" "), prefetch };
worker.postMessage({ start: { ...about, shared, builtins, threads } },
  [builtins, threads, ...Object.values(shared)]);

/** Ports to the places that a worker may not reach by itself. @returns {Record<string, MessagePort>} */
function sharedPlaces() {
  /** @type {Record<string, MessagePort>} */
  const ports = {};
  if (storage.exists()) {
    const { port1, port2 } = new MessageChannel();
    serve(port1, storage);
    ports.cos = port2;
  }
  const hub = /** @type {HTMLElement | null} */ (document.querySelector("[data-hub]"));
  if (hub?.dataset.hub) ports.hub = embed(hub.dataset.hub, hub);
  return ports;
}

/** Python runs: the network is free for what it can do without at first. */
async function started() {
  if (offline) keepOffline(offline);
  (await import("./builtin.js")).serve(port1); // what the worker asked until now waits in the port
}

/** @param {string} script  the service worker that keeps the site */
async function keepOffline(script) {
  try {
    await navigator.serviceWorker.register(script);
    (await navigator.serviceWorker.ready).active?.postMessage("keep");
  } catch (error) {
    console.info("no visit without a network:", error);
  }
}

/** @param {string} id @param {string} type @param {unknown} [value] @param {string} [echo] */
function send(id, type, value = null, echo) {
  worker.postMessage({ event: JSON.stringify({ id, type, value, echo }) });
}

/** @param {HTMLFormElement} form @param {string} text @returns {string | undefined} */
function echo(form, text) {
  const { echo: template, echoInto, echoPart } = form.dataset;
  if (!template || !echoInto || !echoPart || !text.trim()) return undefined;
  const id = `echo-${++echoes}`;
  find(echoInto).append(build({ template, id, parts: { [echoPart]: text } }));
  document.documentElement.scrollTop = document.documentElement.scrollHeight;
  return id;
}

document.addEventListener("submit", (event) => {
  const form = /** @type {HTMLFormElement} */ (event.target);
  if (!form.dataset.event) return;
  event.preventDefault();
  const value = Object.fromEntries(new FormData(form));
  send(form.dataset.event, "submit", value, echo(form, String(Object.values(value)[0] ?? "")));
  if (!("keep" in form.dataset)) form.reset();
});

document.addEventListener("click", (event) => {
  const button = /** @type {Element} */ (event.target).closest("button");
  if (button?.dataset.event) send(button.dataset.event, "click");
  if (button?.dataset.fill) {
    const field = find(button.dataset.fill);
    field.value = button.textContent;
    field.focus();
  }
});

document.addEventListener("keydown", (event) => {
  const field = /** @type {HTMLTextAreaElement} */ (event.target);
  const { escape } = document.body.dataset;
  if (event.key === "Escape" && escape) send(escape, "keydown");
  // isComposing: that Enter chooses a word in an input method
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  if (field.dataset?.enter !== "submit") return;
  event.preventDefault();
  field.form?.requestSubmit();
});

/** @param {string} id @param {string} type @param {Iterable<File>} files */
function give(id, type, files) {
  worker.postMessage({ event: JSON.stringify({ id, type, value: null }), files: [...files] });
}

document.addEventListener("change", (event) => {
  const field = /** @type {HTMLInputElement} */ (event.target);
  if (field.type !== "file" || !field.dataset.event || !field.files?.length) return;
  give(field.dataset.event, "change", field.files);
  field.value = ""; // the same file may be chosen again
});

const drop = /** @type {HTMLElement | null} */ (document.querySelector("[data-drop]"));
if (drop) {
  const over = (/** @type {boolean} */ is) => drop.toggleAttribute("data-over", is);
  document.addEventListener("dragover", (event) => {
    event.preventDefault(); // else the browser would open the file
    over(true);
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) over(false); // out of the window
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    over(false);
    const { files } = event.dataTransfer ?? {};
    if (files?.length) give(drop.dataset.drop ?? "", "drop", files);
  });
}
