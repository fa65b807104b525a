import * as store from "../../../shims/store.js";

const REQUESTS = 4; // at a time, as store/download.py has it
const PLAIN = "plain";

/** @typedef {[string, number][]} Segments */
/** @type {Record<string, (url: string, segments: Segments) => Promise<void>>} */
const ways = {
  async plain(url) {
    const cache = await caches.open(PLAIN);
    await cache.put("https://edgewise.invalid/plain", await fetch(url, { cache: "no-store" }));
  },
  async edgewise(url, segments) {
    const runs = shares(segments).map(async ({ at, part }) => {
      const { error } = await store.fetchRun(url, at, part);
      if (error) throw new Error(JSON.stringify(error));
    });
    await Promise.all(runs);
  },
};

/** About equal parts of consecutive segments. @param {Segments} segments */
function shares(segments) {
  const most = segments.reduce((sum, [, nbytes]) => sum + nbytes, 0) / REQUESTS;
  /** @type {{at: number, part: Segments}[]} */
  const found = [];
  let at = 0;
  for (const segment of segments) {
    if (at >= found.length * most) found.push({ at, part: [] });
    found[found.length - 1].part.push(segment);
    at += segment[1];
  }
  return found;
}

onmessage = async ({ data: { name, url, segments } }) => {
  try {
    const start = performance.now();
    await ways[name](url, segments);
    const ms = performance.now() - start;
    const held = (await store.list()).length;
    if (name !== PLAIN && held !== new Set(segments.map((/** @type {[string, number]} */ [hash]) => hash)).size) throw new Error(`${held} objects`);
    for (const cache of await caches.keys()) await caches.delete(cache);
    postMessage({ ms });
  } catch (error) {
    postMessage({ error: String(error) });
  }
};
