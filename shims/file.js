// A plan's weights by byte range: a file that lies in the store as segments, then bytes in memory.

import * as store from "./store.js";

/**
 * A function that gives bytes [start, start + nbytes) of the file; it keeps the last segment,
 * since what is read next mostly begins there. It throws what `store.get` throws, and a
 * HashMismatchError for a segment that is gone or no longer what its hash says.
 * @param {string} segments  JSON: [[hash, nbytes], ...] in the order of the file
 * @param {Uint8Array} tail  what follows the file
 */
export function reader(segments, tail) {
  /** @type {{hash: string, start: number, end: number}[]} */
  const table = [];
  let end = 0;
  for (const [hash, nbytes] of JSON.parse(segments)) {
    table.push({ hash, start: end, end: (end += nbytes) });
  }
  /** @type {{hash: string, bytes: Uint8Array}} */
  let kept = { hash: "", bytes: new Uint8Array(0) };

  /** @param {string} hash */
  async function segment(hash) {
    if (kept.hash !== hash) {
      const bytes = await store.get(hash);
      if (!bytes) throw missing(hash);
      kept = { hash, bytes };
    }
    return kept.bytes;
  }

  return async function read(/** @type {number} */ start, /** @type {number} */ nbytes) {
    if (start >= end) return tail.subarray(start - end, start - end + nbytes);
    const parts = table.filter((part) => part.start < start + nbytes && part.end > start);
    if (parts.length === 1 && start + nbytes <= end) {
      const bytes = await segment(parts[0].hash);
      return bytes.subarray(start - parts[0].start, start - parts[0].start + nbytes);
    }
    const whole = new Uint8Array(nbytes);
    for (const part of parts) {
      const from = Math.max(start, part.start);
      const to = Math.min(start + nbytes, part.end);
      const bytes = await segment(part.hash);
      whole.set(bytes.subarray(from - part.start, to - part.start), from - start);
    }
    if (start + nbytes > end) whole.set(tail.subarray(0, start + nbytes - end), end - start);
    return whole;
  };
}

/** @param {string} hash */
const missing = (hash) => ({
  code: "HashMismatchError",
  what: "a stored object is gone or damaged",
  got: "no bytes",
  need: hash,
  fix: "download the model again: only this object is fetched",
});
