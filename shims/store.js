// Objects named by their SHA-256, kept in Cache Storage; works in a window and in a worker.
//
// The bytes are what counts, never where they came from: nothing becomes visible under a hash
// before it was digested, and everything is digested again when read. Cache.put commits at
// once or not at all, so a crash leaves no half object. `packs.js` says how objects lie there. Errors carry plain fields
// {code, what, got, need, where, fix}, the codes are class names of edgewise/errors.py. No
// policy lives here: what to fetch, how often to try and in how many requests is the caller's.

import { laid, read as readLaid } from "./laid.js";
import * as memory from "./memory.js";
import * as packs from "./packs.js";
import { failure, openRange, plain } from "./range.js";
import { Writer } from "./writer.js";

/** @typedef {import("./range.js").Fields} Fields */
/** @typedef {[string | null, number]} Segment  SHA-256 (null: not known yet) and bytes */
/**
 * @typedef {object} Run
 * @property {string[]} done    hashes stored, in order: a prefix of the segments asked for
 * @property {Fields} [error]   why it ended early; it concerns the first segment not in `done`
 * @property {boolean} retry    whether the same request may do better later
 * @property {boolean} ranged   false when the server sent the whole file instead of the range
 * @property {string | null} etag  of the response, else when it was last modified, where the server
 *                                 shows it
 */

const OBJECTS = "edgewise-objects-1"; // the number is the layout's version
const TEXTS = "edgewise-texts-1";

/** @param {string} name */
async function open(name) {
  if (!globalThis.caches) {
    throw failure({
      code: "StoreError", what: "no store", got: "a page without Cache Storage",
      need: "a secure context", where: globalThis.location?.href,
      fix: "serve the page over HTTPS or from localhost",
    }); // prettier-ignore
  }
  // a page whose site may store nothing keeps what it has for as long as it is open
  return caches.open(name).catch(() => memory.open(name));
}

/** @param {string} name */
const textKey = (name) => `${packs.ORIGIN}/texts?name=${encodeURIComponent(name)}`;

/** @param {Cache} cache @param {string} key @param {Blob} body @param {Record<string, string>} [headers] */
async function commit(cache, key, body, headers) {
  const init = { headers: { "content-length": String(body.size), ...headers } };
  try {
    await cache.put(key, new Response(body, init));
  } catch (/** @type {any} */ error) {
    if (error?.name !== "QuotaExceededError") throw error;
    const { usage, quota } = await estimate();
    throw failure({
      code: "QuotaError", what: "the browser has no room for another object",
      got: `${usage} of ${quota} bytes used`, need: `${body.size} more bytes`, where: key,
      fix: "remove other models or free space on the disk",
    }); // prettier-ignore
  }
}

/** Which of these objects are there (their bytes are checked when read). @param {string[]} hashes */
export async function has(hashes) {
  const there = new Set([...(await list()), ...laid()]);
  return hashes.map((hash) => there.has(hash));
}

/** All object hashes. @returns {Promise<string[]>} */
export async function list() {
  return [...(await packs.look(await open(OBJECTS))).keys()];
}

/** The object, or null where there is none; one that fails its hash is deleted, and null too.
 * @param {string} hash @returns {Promise<Uint8Array | null>} */
export async function get(hash) {
  return (await packs.read(await open(OBJECTS), hash, commit)) ?? readLaid(hash, packs.sha256);
}

/** Whether the object is there and is what its hash says; else it is gone now.
 * @param {string} hash */
export async function check(hash) {
  return (await get(hash)) !== null;
}

/** @param {string} hash @param {Uint8Array} bytes */
export async function put(hash, bytes) {
  const got = await packs.sha256(bytes);
  if (got !== hash) throw mismatch(hash, got, "store.put");
  await packs.write(await open(OBJECTS), [[hash, bytes]], commit);
}

/** @param {string} hash @returns {Promise<boolean>} whether it was there */
export async function remove(hash) {
  return (await removeAll([hash]))[0];
}

/** Removes many at once, which is quicker. @param {string[]} hashes @returns {Promise<boolean[]>} which were there */
export async function removeAll(hashes) {
  return packs.remove(await open(OBJECTS), hashes, commit);
}

/** A small named document (manifest, plan), or null; verified like an object, by the digest
 * that was stored with it. @param {string} name @returns {Promise<string | null>} */
export async function getText(name) {
  const cache = await open(TEXTS);
  const found = await cache.match(textKey(name));
  if (!found) return null;
  const bytes = new Uint8Array(await found.arrayBuffer());
  if ((await packs.sha256(bytes)) === found.headers.get("x-sha256")) return new TextDecoder().decode(bytes);
  await cache.delete(textKey(name));
  return null;
}

/** @param {string} name @param {string} text */
export async function putText(name, text) {
  const bytes = new TextEncoder().encode(text);
  const digest = { "x-sha256": await packs.sha256(bytes) };
  await commit(await open(TEXTS), textKey(name), new Blob([bytes]), digest);
}

/** @param {string} name @returns {Promise<boolean>} whether it was there */
export async function removeText(name) {
  return (await open(TEXTS)).delete(textKey(name));
}

/** The names of all documents, and their bytes. @returns {Promise<[string, number][]>} */
export async function texts() {
  const cache = await open(TEXTS);
  /** @type {[string, number][]} */
  const found = [];
  for (const request of await cache.keys()) {
    const nbytes = (await cache.match(request))?.headers.get("content-length");
    const name = new URL(request.url).searchParams.get("name");
    if (name !== null && nbytes) found.push([name, Number(nbytes)]);
  }
  return found;
}

/** Bytes used and allowed; null where the browser does not say. */
export async function estimate() {
  if (memory.used()) return { usage: null, quota: null };
  const { usage = null, quota = null } = (await navigator.storage?.estimate?.()) ?? {};
  return { usage, quota };
}

/** Asks that the browser keep the store under pressure. A worker can only learn whether it
 * does: `persist` is there for windows alone. Firefox asks the person, and this waits for the
 * answer: let nothing else wait for it. @returns {Promise<boolean>} */
export async function persist() {
  const storage = navigator.storage;
  return (await (storage?.persist?.() ?? storage?.persisted?.())) ?? false;
}

/**
 * Fetches consecutive segments by one HTTP Range request; each is digested, and stored with those
 * that arrived while others were being stored. Never throws for what the network or the store
 * did: `error` says it. An abort rejects with the signal's reason; what was whole is stored then.
 * @param {string} url
 * @param {number} offset  of the first segment in the file, bytes
 * @param {Segment[]} segments
 * @param {import("./range.js").Options} [options]
 * @returns {Promise<Run>}
 */
export async function fetchRun(url, offset, segments, options = {}) {
  const { signal } = options;
  const stop = new AbortController();
  /** @type {Run} */
  const run = { done: [], retry: false, ranged: true, etag: null };
  try {
    const cache = await open(OBJECTS);
    const writer = new Writer((pieces) => packs.write(cache, pieces, commit), run.done, () => stop.abort());
    const both = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
    await writer.through(() => receive(run, writer, url, offset, segments, { ...options, signal: both }));
  } catch (/** @type {any} */ error) {
    if (signal?.aborted) throw signal.reason;
    run.error = plain(error);
    run.retry = error?.retry ?? false;
    run.etag ??= error?.etag ?? null;
  }
  return run;
}

/**
 * Hands a run's segments to the writer as they arrive.
 * @param {Run} run @param {Writer} writer @param {string} url @param {number} offset
 * @param {Segment[]} segments @param {import("./range.js").Options} options
 */
async function receive(run, writer, url, offset, segments, options) {
  const lengths = segments.map(([, nbytes]) => nbytes);
  const range = await openRange(url, offset, lengths, (nbytes) => writer.room(nbytes), options);
  run.ranged = range.ranged;
  run.etag = range.etag;
  let [at, index] = [offset, 0];
  for await (const bytes of range.pieces) {
    writer.add(bytes, checked(bytes, segments[index++][0], `${url} bytes ${at}-${at + bytes.length - 1}`));
    at += bytes.length;
  }
}

/** The SHA-256 of bytes, which must be `need` if that is known.
 * @param {Uint8Array} bytes @param {string | null} need @param {string} where */
async function checked(bytes, need, where) {
  const got = await packs.sha256(bytes);
  if (need !== null && got !== need) throw mismatch(need, got, where);
  return got;
}

/** @param {string} need @param {string} got @param {string} where */
function mismatch(need, got, where) {
  const what = "bytes differ from the hash that names them";
  const fix = "fetch them again; if it stays so, the file there is another one";
  return failure({ code: "HashMismatchError", what, got, need, where, fix });
}
