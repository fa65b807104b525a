// A hint: fetches the model that most visits want while Python is still starting.
//
// What it stores is what Python would fetch anyway, so when it fails, nothing is lost. It holds the
// lock of the file as any tab that downloads does (store/together.py), so that Python, which waits
// for it, fetches nothing twice; and it tells how much is left.

import { hold } from "./locks.js";
import * as store from "./store.js";
import { tell } from "./told.js";

const REQUESTS = 4; // at a time, each with a share of the bytes
const TELL_MS = 100; // what an eye can follow

/** @typedef {{at: number, nbytes: number, segments: [string, number][]}} Share */

/** Ends when nothing more comes. @param {string} manifest  its address @param {string} [needs]  "webgpu" */
export async function start(manifest, needs) {
  try {
    if (needs !== "webgpu" || (await navigator.gpu?.requestAdapter())) await bring(manifest);
  } catch (error) {
    console.info("prefetch:", error);
  }
}

/** @param {string} manifest */
async function bring(manifest) {
  const response = await fetch(manifest);
  if (!response.ok) return;
  const content = await response.json();
  const file = new URL(content.file.url, manifest).href;
  const name = `download ${content.file.sha256 ?? file}`;
  const end = new AbortController();
  const { over } = await hold(name, false, true, end.signal);
  try {
    const weights = Math.min(.../** @type {any[]} */ (Object.values(content.tensors)).map((t) => t.offset));
    const shares = share((await missing(content.segments)).filter(({ at }) => at >= weights));
    await Promise.all(fetchAll(file, name, shares));
  } finally {
    end.abort();
    await over;
  }
}

/** @param {string} file @param {string} name @param {Share[]} shares */
function fetchAll(file, name, shares) {
  let left = shares.reduce((sum, { nbytes }) => sum + nbytes, 0);
  let told = 0;
  const onBytes = (/** @type {number} */ nbytes) => {
    left -= nbytes;
    if (performance.now() - told < TELL_MS) return;
    told = performance.now();
    tell(name, String(left));
  };
  return shares.map(({ at, segments }) => store.fetchRun(file, at, segments, { onBytes }));
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
    } else found.push({ at, nbytes, segments: [[hash, nbytes]] });
    covered += nbytes;
  }
  return found;
}
