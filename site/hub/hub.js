// The hub's page: whole files by their SHA-256, kept once for all sites that the person allowed.
//
// In another site's page it serves that site through one port (place.js), after consent there and
// after the browser opened the store that is not the frame's own (Storage Access API). A site can
// ask for a file that it names and offer one; nothing lists. Decisions are kept in the frame's own
// storage, which the browser keeps apart for each embedding site.

import { serve } from "../shims/place.js";
import { canOpen, clear, counted, find, keep, list, open } from "./files.js";

const ASKED = 32; // different files that a site may name while its page is open

/** @param {string} id */
const element = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
/** @param {string} id @param {() => void} action */
const onClick = (id, action) => element(id).addEventListener("click", action);

/** The site whose page this frame is in: what the person decided for it, and its port. */
class Guest {
  /** @type {PromiseWithResolvers<Cache>} */
  #decision = Promise.withResolvers();
  #decided = false;

  /** @param {string} origin @param {MessagePort} port */
  constructor(origin, port) {
    this.origin = origin;
    this.host = new URL(origin).host;
    const count = counted(ASKED);
    serve(port, {
      find: async (sha256) => find(await this.#decision.promise, count(sha256)),
      offer: async (sha256, bytes) => keep(await this.#decision.promise, count(sha256), bytes),
    });
  }

  start() {
    for (const part of document.querySelectorAll("[data-site]")) part.textContent = this.host;
    element("framed").hidden = false;
    new ResizeObserver(() => parent.postMessage(document.body.scrollHeight, this.origin))
      .observe(document.body); // prettier-ignore
    onClick("allow", () => this.allow());
    onClick("deny", () => this.deny());
    onClick("change", () => this.ask());
    const before = remembered(this.origin);
    if (before === "allowed") this.allow();
    else if (before === "denied") this.deny();
    else this.ask();
  }

  /** @param {string} text */
  ask(text = `Share models with ${this.host}?`) {
    element("said").textContent = text;
    element("question").hidden = false;
    element("change").hidden = true;
  }

  async allow() {
    const decision = this.#decide();
    try {
      decision.resolve(await open());
      remember(this.origin, "allowed");
      this.#say(`Models are shared with ${this.host}.`);
    } catch (/** @type {any} */ error) {
      refuse(decision, `the browser did not open the shared store (${error?.name ?? error})`);
      this.ask(`This browser does not let ${this.host} share models yet. Allow it here; if that is ` +
               "not enough, first open this hub in a tab of its own and use it there."); // prettier-ignore
    }
  }

  deny() {
    refuse(this.#decide(), `sharing was declined for ${this.host}`);
    remember(this.origin, "denied");
    this.#say(`Models are not shared with ${this.host}.`);
  }

  #decide() {
    if (this.#decided) this.#decision = Promise.withResolvers();
    this.#decided = true;
    return this.#decision;
  }

  /** @param {string} text */
  #say(text) {
    element("said").textContent = text;
    element("question").hidden = true;
    element("change").hidden = false;
  }
}

/** @param {PromiseWithResolvers<Cache>} decision @param {string} message */
function refuse({ promise, reject }, message) {
  promise.catch(() => {}); // whoever waits is told; there may be nobody
  reject(new DOMException(message, "NotAllowedError"));
}

/** @param {string} origin @returns {string | null} */
function remembered(origin) {
  try {
    return localStorage.getItem(origin);
  } catch {
    return null; // the browser keeps nothing for frames: the question comes again
  }
}

/** @param {string} origin @param {"allowed" | "denied"} answer */
function remember(origin, answer) {
  try {
    localStorage.setItem(origin, answer);
  } catch {
    return;
  }
}

/** Waits for the embedding page's port, and takes no second one. */
function framed() {
  addEventListener("message", function hear({ source, origin, data, ports: [port] }) {
    if (source !== parent || data !== "site" || !port) return;
    removeEventListener("message", hear);
    const why = obstacle(origin);
    if (why) serve(port, { find: () => Promise.reject(why), offer: () => Promise.reject(why) });
    else new Guest(origin, port).start();
  });
  parent.postMessage("hub", "*"); // says nothing but that it is here
}

/** Whether an origin is one that nobody on the way can pretend to be. @param {string} origin */
function isSecure(origin) {
  if (origin === "null") return false; // a sandboxed or local page: it could be anyone's
  const { protocol, hostname } = new URL(origin);
  return protocol === "https:" || /^(127\.0\.0\.1|(.+\.)?localhost)$/.test(hostname);
}

/** Why a site is not even asked about, if it is not. @param {string} origin */
function obstacle(origin) {
  if (!isSecure(origin)) return new DOMException("the site has no HTTPS, or no origin", "SecurityError");
  if (canOpen()) return null;
  return new DOMException("this browser has no Cache Storage that sites share", "NotSupportedError");
}

/** The page visited by itself: here the person sees what sites cannot. */
async function own() {
  element("own").hidden = false;
  onClick("use", () => (element("use").textContent = "Other sites may ask you now"));
  onClick("clear", async () => {
    await clear();
    await show();
  });
  await show();
}

async function show() {
  const files = await list();
  element("files").replaceChildren(
    ...files.map((sha256) => Object.assign(document.createElement("li"), { textContent: sha256 })),
  );
  const { usage = 0 } = await navigator.storage.estimate();
  element("total").textContent = `${files.length} files; ${(usage / 1e6).toFixed(1)} MB in all`;
}

if (window === parent) own();
else if (parent === top) framed(); // not in a frame inside a frame: the person sees one site
