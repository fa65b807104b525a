// What all engines measure alike: a model's runs, and a language model's two tasks.

/**
 * @typedef {{ids: number[], text: string, greedy: number[]}} Prompt
 * @typedef {{prefillMs: number, decodeMs: number, made: number[]}} Generated
 * @typedef {{prompt: string, tokens: number}} Task  a prompt's length, and how many tokens to make
 */

const LEAST_MS = 1000; // of a turn
const WARM_MS = 2000; // until the browser's optimising compiler is through
const MOST = 40;

/** @param {string} url */
export async function bytesOf(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

/** @returns {Promise<Record<string, Prompt>>} */
export const prompts = async () => (await fetch("inputs/prompts.json")).json();

/** @param {() => unknown} work */
export async function timed(work) {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** @param {number[]} values */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/**
 * Turns of a model: runs for about a second, and their median.
 * @param {() => Promise<unknown>} run
 */
export async function turns(run) {
  const start = performance.now();
  const first = await timed(run);
  let last = await timed(run);
  while (performance.now() - start < WARM_MS) last = await timed(run);
  const count = Math.min(MOST, Math.ceil(LEAST_MS / last));
  const turn = async () => {
    const times = [];
    for (let i = 0; i < count; i++) times.push(await timed(run));
    return { run: median(times) };
  };
  return { first, turn };
}

/**
 * One turn of a language model: the time to read the prompt, and that of a token after it.
 * @param {Task} task @param {(prompt: Prompt, tokens: number) => Promise<Generated>} generate
 */
export async function generation({ prompt, tokens }, generate) {
  const given = (await prompts())[prompt];
  const { prefillMs, decodeMs, made } = await generate(given, tokens);
  const wrong = made.findIndex((id, i) => id !== given.greedy[i]);
  return {
    [`prefill${prompt}`]: prefillMs,
    ...(tokens > 1 ? { decode: decodeMs / (tokens - 1) } : {}),
    agree: wrong < 0 ? made.length : wrong,
  };
}

/** Bytes as text that crosses to the driver. @param {Uint8Array} bytes */
export function base64(bytes) {
  let text = "";
  for (let i = 0; i < bytes.length; i += 0x8000) {
    text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  }
  return btoa(text);
}
