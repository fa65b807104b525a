// The hub's files in Cache Storage: one entry a file, under the SHA-256 of its bytes.
//
// A file is digested while it flows into the cache. If the digest is not its name the flow fails, and
// Cache.put then keeps nothing: no file is visible before it was verified.

import { Sha256 } from "../shims/sha256.js";

const FILES = "edgewise-hub-1"; // the number is the layout's version
const ORIGIN = "https://edgewise.invalid"; // keys must be http(s) URLs; .invalid never resolves

/** @param {string} sha256 */
const key = (sha256) => `${ORIGIN}/files/${sha256}`;

/** Whether a frame can be given more than cookies: a browser that cannot would ask the person in
 * vain. Handles have no global name; this function came with them. */
export const canOpen = () => "hasUnpartitionedCookieAccess" in document;

/** The store that all sites share, opened from a frame. Rejects where the browser refuses.
 * @returns {Promise<Cache>} */
export async function open() {
  const handle = await /** @type {any} */ (document).requestStorageAccess({ caches: true });
  return handle.caches.open(FILES);
}

/** @param {Cache} cache @param {string} sha256 @returns {Promise<Blob | null>} */
export async function find(cache, sha256) {
  return (await cache.match(key(sha256)))?.blob() ?? null;
}

/**
 * Keeps a file if its bytes have this SHA-256; whether it is kept. Why not is not said: room that is
 * short would tell how much others brought.
 * @param {Cache} cache @param {string} sha256 @param {ReadableStream<Uint8Array>} bytes
 */
export async function keep(cache, sha256, bytes) {
  if (await cache.match(key(sha256))) {
    await bytes.cancel();
    return true;
  }
  const hash = new Sha256();
  const verified = new TransformStream({
    transform(part, controller) {
      hash.update(part);
      controller.enqueue(part);
    },
    flush(controller) {
      if (hash.hex() !== sha256) controller.error(new Error("the bytes are another file's"));
    },
  });
  try {
    await cache.put(key(sha256), new Response(bytes.pipeThrough(verified)));
    return true;
  } catch (error) {
    console.info("not kept:", error);
    return false;
  }
}

/** A function that passes a name on until `most` different ones were named. @param {number} most */
export function counted(most) {
  const named = new Set();
  return (/** @type {string} */ sha256) => {
    if (named.add(sha256).size <= most) return sha256;
    throw new DOMException(`a page may ask for ${most} files`, "NotAllowedError");
  };
}

// For the hub's own page, where its storage is its own.

/** @returns {Promise<string[]>} the names of all files */
export async function list() {
  const requests = await (await caches.open(FILES)).keys();
  return requests.map((request) => request.url.slice(key("").length));
}

/** Removes all files. */
export const clear = () => caches.delete(FILES);
