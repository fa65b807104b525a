// A hint: fetches the model that most visits want while Python is still starting.
//
// What it stores is what Python would fetch anyway, so when it fails, nothing is lost. Before
// Python fetches a range itself it waits here for it, so that nothing is fetched twice.

import * as store from "./store.js";

const REQUESTS = 4; // at a time, each with a share of the bytes

/** @typedef {{at: number, nbytes: number, segments: [string, number][], arrived: number, stored: number, ended: boolean}} Share */

let file = ""; // its address
/** @type {Share[]} */
let shares = [];
/** @type {Promise<void>} */
let planned = Promise.resolve();
/** @type {Set<() => void>} */
const watchers = new Set();

/** @param {string} manifest  its address @param {string} [needs]  "webgpu" */
export function start(manifest, needs) {
  planned = plan(manifest, needs).catch((error) => console.info("prefetch:", error));
  planned.then(() => shares.forEach(fetchShare));
}

/**
 * Waits until nothing of bytes [offset, offset + nbytes) of `url` is still on its way.
 * @param {string} url @param {number} offset @param {number} nbytes
 * @param {(nbytes: number) => void} onBytes  called with what arrived of them
 * @param {AbortSignal} signal
 */
export async function wait(url, offset, nbytes, onBytes, signal) {
  await planned;
  const end = offset + nbytes;
  const mine = shares.filter((share) => share.at < end && share.at + share.nbytes > offset);
  if (url !== file || !mine.length) return;
  let told = 0;
  await new Promise((resolve, reject) => {
    const look = () => {
      if (signal.aborted) return finish(reject);
      const covered = mine.reduce((sum, { at, arrived }) =>
        sum + Math.max(0, Math.min(end, at + arrived) - Math.max(offset, at)), 0); // prettier-ignore
      if (covered > told) onBytes(covered - told);
      told = covered;
      if (mine.every((share) => share.ended || share.at + share.stored >= end)) finish(resolve);
    };
    const finish = (/** @type {(reason: any) => void} */ settle) => {
      watchers.delete(look);
      signal.removeEventListener("abort", look);
      settle(signal.reason);
    };
    watchers.add(look);
    signal.addEventListener("abort", look);
    look();
  });
}

/** @param {string} manifest @param {string} [needs] */
async function plan(manifest, needs) {
  if (needs === "webgpu" && !(await navigator.gpu?.requestAdapter())) return;
  const response = await fetch(manifest);
  if (!response.ok) return;
  const content = await response.json();
  file = new URL(content.file.url, manifest).href;
  const weights = Math.min(.../** @type {any[]} */ (Object.values(content.tensors)).map((t) => t.offset));
  shares = share((await missing(content.segments)).filter(({ at }) => at >= weights));
}

/** @param {[string, number][]} segments */
async function missing(segments) {
  const there = await store.has(segments.map(([hash]) => hash));
  let offset = 0;
  const all = segments.map(([hash, nbytes], i) => {
    const at = offset;
    offset += nbytes;
    return { hash, nbytes, at, there: there[i] };
  });
  return all.filter((segment) => !segment.there);
}

/** Consecutive segments together, cut into about equal shares.
 * @param {{hash: string, nbytes: number, at: number}[]} segments */
function share(segments) {
  const most = segments.reduce((sum, { nbytes }) => sum + nbytes, 0) / REQUESTS;
  /** @type {Share[]} */
  const found = [];
  let covered = 0;
  for (const { hash, nbytes, at } of segments) {
    const last = found.at(-1);
    if (last && last.at + last.nbytes === at && covered < found.length * most) {
      last.nbytes += nbytes;
      last.segments.push([hash, nbytes]);
    } else found.push({ at, nbytes, segments: [[hash, nbytes]], arrived: 0, stored: 0, ended: false });
    covered += nbytes;
  }
  return found;
}

/** @param {Share} share */
async function fetchShare(share) {
  const onBytes = (/** @type {number} */ nbytes) => {
    share.arrived += nbytes;
    watchers.forEach((look) => look());
  };
  const onStored = (/** @type {number} */ nbytes) => {
    share.stored += nbytes;
    watchers.forEach((look) => look());
  };
  await store.fetchRun(file, share.at, share.segments, { onBytes, onStored });
  share.ended = true;
  watchers.forEach((look) => look());
}
