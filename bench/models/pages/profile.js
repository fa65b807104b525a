// Where the GPU's time goes in one run of a plan: each dispatch by timestamps.

import { load } from "./engines.js";
import { stepTimes, table } from "./kernels.js";
import { query, round } from "./report.js";

const RUNS = Number(query.runs ?? 5);
const REPEATS = Number(query.repeats ?? 8);
const TOP = 40;

/** @param {any} test @param {string} name */
export async function profile(test, name) {
  const row = test.plans[name];
  const { e } = await load(row);
  if (!e.gpu.features.has("timestamp-query")) throw new Error("the adapter has no timestamp-query");
  const { labels, whole, alone, repeated } = await stepTimes(e, "main", row.bindings, RUNS, REPEATS);
  const steps = e.programs.main.map((/** @type {any} */ step, /** @type {number} */ i) => ({
    step: i, kernel: labels[i], origin: e.plan.programs.main[i][3], groups: groups(e, i),
    alone_us: round(alone[i] / 1e3), repeated_us: round(repeated[i] / 1e3),
  }));
  return {
    case: test.case, engine: name, run_ms: whole, kernels: table(labels, alone, repeated),
    steps: steps.sort((/** @type {any} */ a, /** @type {any} */ b) => b.repeated_us - a.repeated_us).slice(0, TOP),
  };
}

/** The workgroups of a step, as the plan has them. @param {any} e @param {number} i */
const groups = (e, i) => e.plan.programs.main[i][2].map((/** @type {any} */ [factors, divisor]) => {
  const known = factors.every((/** @type {any} */ [terms]) => !Object.keys(terms).length);
  if (!known) return "?";
  return Math.ceil(factors.reduce((/** @type {number} */ n, /** @type {any} */ [, k]) => n * k, 1) / divisor);
});
