// Objects that are not in the store but lie in a file elsewhere: in Cross-Origin Storage, at a hub.
// Nothing is copied; an object is read where it lies, and digested like any other.

/** @typedef {{file: Blob, start: number, nbytes: number}} Where */

/** @type {Map<string, Where>} */
const places = new Map();
/** Objects whose bytes were wrong or gone: they are not taken from a file a second time.
 * @type {Set<string>} */
const spoilt = new Set();

/** The file's bytes are these objects, in this order. @param {Blob} file @param {[string, number][]} segments */
export function lay(file, segments) {
  let start = 0;
  for (const [hash, nbytes] of segments) {
    if (!spoilt.has(hash)) places.set(hash, { file, start, nbytes });
    start += nbytes;
  }
}

/** All hashes that lie somewhere. */
export const laid = () => places.keys();

/**
 * The object, or null where there is none; one whose bytes are wrong or gone is forgotten.
 * @param {string} hash @param {(bytes: Uint8Array) => Promise<string>} digest
 * @returns {Promise<Uint8Array | null>}
 */
export async function read(hash, digest) {
  const where = places.get(hash);
  if (!where) return null;
  const { file, start, nbytes } = where;
  try {
    const bytes = new Uint8Array(await file.slice(start, start + nbytes).arrayBuffer());
    if ((await digest(bytes)) === hash) return bytes;
  } catch (error) {
    console.info("a shared file is gone:", error); // evicted since: as good as wrong
  }
  places.delete(hash);
  spoilt.add(hash);
  return null;
}
