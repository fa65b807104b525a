// One case on several engines in turn, in one page: A B A B, the same inputs, and what each gives.
//
// Query: facts=webgpu or webnn (what the device is; probes=JSON), or case=NAME, engines=NAME,NAME (see
// engines.js), reference=NAME (whose outputs all are compared with, once), rounds=N, runs=N of each
// engine in a round, warm=N, threads=N for Wasm, profile=1 for the GPU time of each dispatch instead.
// A run is: write the inputs, run, read every output.

import * as webgpu from "./shims/webgpu.js";
import * as webnn from "./shims/webnn.js";
import { open } from "./engines.js";
import { profile } from "./profile.js";
import { query, report, round, say, summary, timed } from "./report.js";

const ROUNDS = Number(query.rounds ?? 6);
const RUNS = Number(query.runs ?? 5);
const WARM = Number(query.warm ?? 5);

/** @typedef {Record<string, ArrayLike<number>>} Arrays */
/** @typedef {{name: string, load_ms: number, run: () => Promise<Arrays>, about: object}} Engine */

/** What `open` says, or why there is nothing. @param {() => Promise<{facts: object}>} open */
async function found(open) {
  try {
    return (await open()).facts;
  } catch (/** @type {any} */ error) {
    await say(JSON.stringify(error));
    return null;
  }
}

/** Of two results: the largest difference, and the largest number that there is. @param {Arrays} a @param {Arrays} b */
function difference(a, b) {
  /** @type {Record<string, object>} */
  const rows = {};
  for (const name in a) {
    let most = 0;
    let size = 0;
    const [x, y] = [a[name], b[name]];
    for (let i = 0; i < x.length; i++) {
      const gap = Math.abs(x[i] - y[i]);
      if (!(gap <= most)) most = gap; // NaN too
      size = Math.max(size, Math.abs(y[i]));
    }
    rows[name] = { elements: x.length, same_length: x.length === y.length, max_abs: most, largest: size };
  }
  return rows;
}

/** @param {any} test @param {string[]} names */
async function compare(test, names) {
  /** @type {Engine[]} */
  const engines = [];
  /** @type {Record<string, string>} */
  const failed = {};
  /** @type {Record<string, Arrays>} */
  const outputs = {};
  /** @type {Record<string, number>} */
  const first = {};
  for (const name of names) {
    try {
      const engine = await open(test, name);
      await say(`${test.case} ${name}: loaded in ${engine.load_ms.toFixed(0)} ms`);
      first[name] = round(await timed(async () => { outputs[name] = await engine.run(); }));
      for (let i = 1; i < WARM; i++) await engine.run();
      engines.push(engine);
    } catch (/** @type {any} */ error) {
      failed[name] = error?.code ? JSON.stringify(error) : String(error?.stack ?? error).slice(0, 600);
    }
  }
  /** @type {Record<string, number[]>} */
  const times = Object.fromEntries(engines.map(({ name }) => [name, []]));
  for (let i = 0; i < ROUNDS; i++) {
    for (const { name, run } of engines) {
      for (let j = 0; j < RUNS; j++) times[name].push(round(await timed(run)));
    }
  }
  const last = engines.at(-1);
  const right = outputs[query.reference] ?? await (await open(test, query.reference)).run();
  return {
    case: test.case,
    reference: query.reference,
    failed,
    engines: engines.map(({ name, load_ms, about }) => ({
      engine: name, load_ms: round(load_ms), first_ms: first[name], ms: summary(times[name]),
      // of each round by itself: what other work on the machine does to all engines cancels out
      ratios: last && ratios(times[name], times[last.name]),
      difference: difference(outputs[name], right),
      ...about, times_ms: times[name],
    })),
  };
}

/** The last engine's median of each round over this one's. @param {number[]} own @param {number[]} other */
function ratios(own, other) {
  const median = (/** @type {number[]} */ times, /** @type {number} */ i) =>
    summary(times.slice(i * RUNS, (i + 1) * RUNS)).median;
  return summary(Array.from({ length: ROUNDS }, (_, i) => median(other, i) / median(own, i)));
}

report(async () => {
  if (query.facts) {
    const open = query.facts === "webgpu" ? webgpu.open : () => webnn.open("cpu", query.probes);
    return { [query.facts]: await found(open), user_agent: navigator.userAgent,
      cores: navigator.hardwareConcurrency };
  }
  const test = await (await fetch(`${query.case}.json`)).json();
  const names = query.engines.split(",");
  return query.profile ? profile(test, names[0]) : compare(test, names);
});
