// The two ways of throughput.js, in a worker as in the real page. What one stored is removed again.

import * as store from "../../../shims/store.js";

const REQUESTS = 4; // at a time, as store/download.py has it

/** @typedef {[hash: string, nbytes: number][]} Segments */

/** @param {string} url */
async function plain(url) {
  const cache = await caches.open("plain");
  await cache.put("https://edgewise.invalid/plain", await fetch(url, { cache: "no-store" }));
}

/** @param {string} url @param {Segments} segments */
async function edgewise(url, segments) {
  const runs = shares(segments).map(({ at, part }) => store.fetchRun(url, at, part));
  const done = (await Promise.all(runs)).flatMap((run) => run.done);
  const there = await store.has(done);
  if (done.length !== segments.length || !there.every(Boolean)) throw new Error("not all is stored");
}

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
    await (name === "plain" ? plain(url) : edgewise(url, segments));
    const ms = performance.now() - start;
    for (const cache of await caches.keys()) await caches.delete(cache);
    postMessage({ ms });
  } catch (error) {
    postMessage({ error: String(error) });
  }
};
