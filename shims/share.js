// What a worker can reach of the places that sites share, for Python: "cos" is Cross-Origin Storage
// (the worker's own, else the window's), "hub" the site's hub. Which to ask, when and how often is
// the caller's.

import * as storage from "./cross_origin_storage.js";
import { lay as layFile } from "./laid.js";
import { sha256 as digest } from "./packs.js";
import * as memory from "./memory.js";
import { connect } from "./place.js";
import { failure } from "./range.js";
import { Sha256 } from "./sha256.js";
import * as store from "./store.js";

/** @typedef {import("./place.js").Place} Place */

/** @type {Map<string, Place>} */
const places = new Map();
/** @type {Map<string, Blob>} */
const found = new Map();

/** Makes places known; `ports` lead to those that the page reached. @param {Record<string, MessagePort>} ports */
export function reach(ports) {
  for (const [name, port] of Object.entries(ports)) places.set(name, connect(port));
  if (storage.exists()) places.set("cos", storage);
}

/** The names of the places that are there. */
export const names = () => [...places.keys()];

/** Whether what this site stores outlives the page. */
export async function persists() {
  await store.list();
  return !memory.used();
}

/** @template T @param {string} name @param {(place: Place) => Promise<T>} ask @returns {Promise<T>} */
async function at(name, ask) {
  try {
    return await ask(/** @type {Place} */ (places.get(name)));
  } catch (/** @type {any} */ error) {
    throw failure({
      code: "StoreError", what: "a shared place refuses", got: `${error?.name}: ${error?.message}`,
      need: "the file, or that it is not there",
    }); // prettier-ignore
  }
}

/** Whether a place has a file; its size, or null. Rejects with what the place says.
 * @param {string} name @param {string} sha256 @returns {Promise<number | null>} */
export async function find(name, sha256) {
  const file = await at(name, (place) => place.find(sha256));
  if (file) found.set(sha256, file);
  return file && file.size;
}

/** The hashes of a found file's segments of these sizes; null where the whole is not what its name
 * says. @param {string} sha256 @param {number[]} sizes @returns {Promise<string[] | null>} */
export async function digests(sha256, sizes) {
  const file = /** @type {Blob} */ (found.get(sha256));
  const whole = new Sha256();
  const hashes = [];
  let start = 0;
  for (const nbytes of sizes) {
    const bytes = new Uint8Array(await file.slice(start, (start += nbytes)).arrayBuffer());
    whole.update(bytes);
    hashes.push(await digest(bytes));
  }
  return whole.hex() === sha256 ? hashes : null;
}

/** The objects of a found file can be read from now on, in this order.
 * @param {string} sha256 @param {[string, number][]} segments */
export function lay(sha256, segments) {
  layFile(/** @type {Blob} */ (found.get(sha256)), segments);
}

/** Hands the file that consists of these stored objects to a place; whether it is kept there.
 * @param {string} name @param {string} sha256 @param {string[]} hashes */
export function offer(name, sha256, hashes) {
  const left = [...hashes];
  /** @type {ReadableStream<Uint8Array>} */
  const bytes = new ReadableStream({
    async pull(controller) {
      const hash = left.shift();
      if (hash === undefined) return controller.close();
      const object = await store.get(hash);
      if (object) controller.enqueue(object);
      else controller.error(new Error(`the object ${hash} is gone`));
    },
  });
  return at(name, (place) => place.offer(sha256, bytes));
}
