// Objects in Cache Storage, several to an entry: an entry costs as much time as half a megabyte.
//
// The key lists what its entry holds, one after the other: `…/objects/HASH` or
// `…/objects/HASH.NBYTES,HASH.NBYTES,…`. So the index is there with the bytes, at once or not at
// all, and no crash parts them. Whatever is read is digested; what fails is dropped, and what lay
// beside it is kept in an entry of its own.

export const ORIGIN = "https://edgewise.invalid"; // keys must be http(s) URLs; .invalid never resolves
const OBJECTS = `${ORIGIN}/objects/`;
const LOCK = "edgewise-entries"; // two pages that cut up one entry would each keep what the other drops

/** @typedef {{key: string, hash: string, at: number, nbytes: number | undefined}} Place */
/** @typedef {(cache: Cache, key: string, body: Blob) => Promise<void>} Commit  throws for want of room */

/** @type {Map<string, Place[]>} */
let index = new Map(); // as of the last look: another page may have changed it since
/** @type {{key: string, bytes: Promise<Uint8Array | null>} | null} */
let opened = null; // the entry that was read last: what is wanted next is mostly in it

/** @param {Uint8Array} bytes */
export async function sha256(bytes) {
  const digest = await crypto.subtle.digest("SHA-256", /** @type {BufferSource} */ (bytes));
  return Array.from(new Uint8Array(digest), (b) => b.toString(16).padStart(2, "0")).join("");
}

/** @param {string} key @returns {Place[]} */
function places(key) {
  let at = 0;
  return key.slice(OBJECTS.length).split(",").map((item) => {
    const [hash, length] = item.split(".");
    const nbytes = length === undefined ? undefined : Number(length);
    const place = { key, hash, at, nbytes };
    at += nbytes ?? 0;
    return place;
  }); // prettier-ignore
}

/** Where every object lies now. @param {Cache} cache */
export async function look(cache) {
  /** @type {Map<string, Place[]>} */
  const found = new Map();
  for (const { url } of await cache.keys()) {
    for (const place of places(url)) found.set(place.hash, [...(found.get(place.hash) ?? []), place]);
  }
  return (index = found);
}

/**
 * Stores verified objects as one entry, at once or not at all.
 * @param {Cache} cache @param {[hash: string, bytes: Uint8Array][]} objects @param {Commit} commit
 */
export async function write(cache, objects, commit) {
  const names = objects.map(([hash, { length }]) => `${hash}.${length}`);
  const key = OBJECTS + (objects.length === 1 ? objects[0][0] : names.join(","));
  const body = new Blob(objects.map(([, bytes]) => /** @type {BlobPart} */ (bytes)));
  await commit(cache, key, body);
}

/** The object, or null where there is none; one that fails its hash is dropped, and null too.
 * @param {Cache} cache @param {string} hash @param {Commit} commit @returns {Promise<Uint8Array | null>} */
export async function read(cache, hash, commit) {
  for (const lookup of [() => index, () => look(cache)]) {
    for (const place of (await lookup()).get(hash) ?? []) {
      const entry = await bytesOf(cache, place.key);
      if (!entry) continue; // another page removed it since
      const bytes = slice(entry, place);
      if ((await sha256(bytes)) === hash) return bytes;
      await cut(cache, place.key, new Set(), commit);
    }
  }
  return null;
}

/** @param {Uint8Array} entry @param {Place} place */
function slice(entry, { at, nbytes }) {
  return nbytes === undefined ? entry : entry.slice(at, at + nbytes);
}

/** An entry's bytes; they stay at hand until another entry is wanted.
 * @param {Cache} cache @param {string} key @returns {Promise<Uint8Array | null>} */
async function bytesOf(cache, key) {
  const last = opened; // another read may put its entry there meanwhile
  if (last?.key === key && (await cache.keys(key)).length) return last.bytes;
  const bytes = cache.match(key).then(async (found) => found ? new Uint8Array(await found.arrayBuffer()) : null); // prettier-ignore
  opened = key.includes(",") ? { key, bytes } : null;
  return bytes;
}

/** Removes objects; which of them were there.
 * @param {Cache} cache @param {string[]} hashes @param {Commit} commit */
export async function remove(cache, hashes, commit) {
  const there = await look(cache);
  const wanted = new Set(hashes);
  const keys = new Set(hashes.flatMap((hash) => there.get(hash) ?? []).map(({ key }) => key));
  for (const key of keys) await cut(cache, key, wanted, commit);
  return hashes.map((hash) => there.has(hash));
}

/**
 * Drops objects out of an entry, and all that are not what their hash says.
 * @param {Cache} cache @param {string} key @param {Set<string>} without @param {Commit} commit
 */
function cut(cache, key, without, commit) {
  return navigator.locks.request(LOCK, async () => {
    opened = null;
    const all = places(key);
    const kept = all.filter(({ hash }) => !without.has(hash));
    const objects = all.length > 1 && kept.length ? await sound(cache, key, kept) : [];
    if (objects.length === all.length) return;
    try {
      if (objects.length) await write(cache, objects, commit);
      await cache.delete(key);
    } catch {
      await cache.delete(key); // without room for both, the old one goes first
      await write(cache, objects, commit);
    }
    await look(cache);
  });
}

/** What of an entry is as its hash says. @param {Cache} cache @param {string} key @param {Place[]} kept */
async function sound(cache, key, kept) {
  const entry = await bytesOf(cache, key);
  /** @type {[string, Uint8Array][]} */
  const objects = [];
  for (const place of entry ? kept : []) {
    const bytes = slice(/** @type {Uint8Array} */ (entry), place);
    if ((await sha256(bytes)) === place.hash) objects.push([place.hash, bytes]);
  }
  return objects;
}
