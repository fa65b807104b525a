// The worker of host.js: calls go to the engine's module, one after the other.

const query = Object.fromEntries(new URLSearchParams(self.location.search));
const engine = import(`./${query.engine}.js`);
/** @type {Promise<void>} */
let last = Promise.resolve();

/** @param {{id: number, method: string, argument: unknown}} asked */
async function answer({ id, method, argument }) {
  try {
    self.postMessage({ id, value: await (await engine)[method](argument) });
  } catch (/** @type {any} */ error) {
    const { code, what, got, need } = error ?? {};
    const text = what ? [code, what, got, need].join(": ") : String(error?.stack ?? error);
    self.postMessage({ id, error: text });
  }
}

self.onmessage = ({ data }) => {
  last = last.then(() => answer(data));
};
