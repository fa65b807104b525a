// The decode loop: reads a prompt in chunks, then makes tokens, one step after another. Between
// steps it lets messages in, so that `cancel` is heard.

/**
 * @typedef {import("./wasm_plan.js").Executable} Executable
 * @typedef {{tokens: Int32Array, past: number, maxNewTokens: number, stopIds: number[],
 *            uniforms: Float32Array, batch: number}} Request
 */

const BATCH_MS = 50; // who reads along notices no delay below it

/** Lets messages in. @returns {Promise<void>} */
const breathe = () => new Promise((resolve) => {
  const { port1, port2 } = new MessageChannel(); // a timer would wait for 4 ms
  port1.onmessage = () => {
    port1.close();
    resolve();
  };
  port2.postMessage(null);
});

/**
 * New tokens, handed over in batches, until a stop token, the count, or `cancelled`.
 * @param {Executable} e @param {Request} request @param {(tokens: number[]) => void} onTokens
 */
export async function generate(e, request, onTokens) {
  const { tokens, maxNewTokens, stopIds, uniforms, batch } = request;
  const chunk = e.plan.symbols.seq;
  let past = request.past;
  /** @type {number[]} */
  let made = [];
  e.cancelled = false;
  for (let at = 0; at < tokens.length; at += chunk) {
    const part = tokens.slice(at, at + chunk);
    e.write("tokens", new Uint8Array(part.buffer));
    const program = part.length > 1 ? "prefill" : "decode"; // one is read as fast as it is made
    made = [step(e, program, { seq: part.length, past }, uniforms[0])];
    past += part.length;
    await breathe();
    if (e.cancelled) return;
  }
  let handed = -BATCH_MS; // the first token goes out at once
  for (let n = 1; ; n++) {
    const ended = n === maxNewTokens || stopIds.includes(made[made.length - 1]);
    if (ended || made.length >= batch || performance.now() - handed >= BATCH_MS) {
      onTokens(made);
      made = [];
      handed = performance.now();
      await breathe();
    }
    if (ended || e.cancelled) return;
    made.push(step(e, "decode", { past }, uniforms[n]));
    past++;
  }
}

/**
 * Runs a program whose result is a token, with a random number in [0, 1).
 * @param {Executable} e @param {string} program
 * @param {Record<string, number>} bindings @param {number} uniform
 */
function step(e, program, bindings, uniform) {
  const [, inputs, draw] = e.plan.slot;
  for (const name in inputs) e.put(name, draw, new Uint8Array(Float32Array.of(uniform).buffer));
  e.run(program, bindings);
  return new Int32Array(e.read("token", 4).buffer)[0];
}
