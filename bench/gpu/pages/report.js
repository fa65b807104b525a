// How these pages tell run.py what they found.

/** @param {() => Promise<object>} work  whose result, or error, is posted and ends the run */
export async function report(work) {
  let result;
  try {
    result = await work();
  } catch (/** @type {any} */ error) {
    const { code, what, got } = error ?? {};
    result = { error: what ? [code, what, got].join(": ") : String(error?.stack ?? error) };
  }
  await fetch("/result", { method: "POST", body: JSON.stringify(result) });
}

/** @param {string} text */
export const say = (text) => fetch("/log", { method: "POST", body: text });

/** Time of `work` in milliseconds. @param {() => unknown} work */
export async function timed(work) {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** @param {number[]} values */
export function summary(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  const median = sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
  return { median: round(median), min: round(sorted[0]), max: round(sorted.at(-1) ?? 0), n: sorted.length };
}

/** @param {number} value */
export const round = (value) => Number(value.toPrecision(5));

/** Bytes in place of weights: as f16 or f32 they are finite and small. @param {number} nbytes */
export function madeUp(nbytes) {
  const words = new Uint32Array(Math.ceil(nbytes / 4));
  let state = 1;
  for (let i = 0; i < words.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    words[i] = state & 0x3b3b3b3b;
  }
  return new Uint8Array(words.buffer, 0, nbytes);
}

export const query = Object.fromEntries(new URLSearchParams(location.search));
