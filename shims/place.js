// A place that keeps whole files by their SHA-256 and is somewhere else, across a MessagePort: this
// site's window for its worker, or another site's hub. Both ends of the wire.
//
//   {id, find: sha256}                  -> {id, file: Blob or null}
//   {id, offer: sha256, parts: port}    -> {id, kept: boolean}
//   whatever fails or is not understood -> {id, refused: {name, message}}
//
// `parts` gives the file's bytes: {} asks for the next ones, which come as {bytes}, or {done}, or
// {failed}. So no end holds more than one part.

/**
 * @typedef {object} Place
 * @property {(sha256: string) => Promise<Blob | null>} find
 * @property {(sha256: string, bytes: ReadableStream<Uint8Array>) => Promise<boolean>} offer  whether
 *   it is kept now
 */

/** @param {unknown} text @returns {text is string} */
const named = (text) => typeof text === "string" && /^[0-9a-f]{64}$/.test(text);

/** Answers what comes through the port. @param {MessagePort} port @param {Place} place */
export function serve(port, place) {
  port.onmessage = async ({ data }) => {
    const id = data?.id;
    try {
      port.postMessage({ id, ...(await answer(place, data)) });
    } catch (/** @type {any} */ error) {
      const { name = "Error", message = String(error) } = error ?? {};
      port.postMessage({ id, refused: { name, message } });
    }
  };
}

/** @param {Place} place @param {any} request */
async function answer(place, request) {
  const { find, offer, parts } = request ?? {};
  if (named(find)) return { file: await place.find(find) };
  if (named(offer) && parts instanceof MessagePort) {
    return { kept: await place.offer(offer, streamOf(parts)) };
  }
  throw new DOMException("a file is asked for by its SHA-256, and in no other way", "NotSupportedError");
}

/** @param {MessagePort} parts @returns {ReadableStream<Uint8Array>} */
function streamOf(parts) {
  return new ReadableStream({
    async pull(controller) {
      const { bytes, failed } = await asked(parts);
      if (bytes instanceof Uint8Array) controller.enqueue(bytes);
      else if (failed) controller.error(new Error(String(failed)));
      else controller.close();
    },
    cancel: () => parts.close(),
  });
}

/** @param {MessagePort} parts @returns {Promise<any>} */
const asked = (parts) =>
  new Promise((resolve) => {
    parts.onmessage = ({ data }) => resolve(data ?? {});
    parts.postMessage({});
  });

/** The place at the other end. @param {MessagePort} port @returns {Place} */
export function connect(port) {
  /** @type {Map<number, {resolve: (answer: any) => void, reject: (error: any) => void}>} */
  const waiting = new Map();
  let last = 0;
  port.onmessage = ({ data: { id, refused, ...answer } }) => {
    const { resolve, reject } = waiting.get(id) ?? {};
    waiting.delete(id);
    if (refused) reject?.(new DOMException(refused.message, refused.name));
    else resolve?.(answer);
  };
  /** @param {object} request @param {Transferable[]} [transfer] @returns {Promise<any>} */
  const ask = (request, transfer = []) =>
    new Promise((resolve, reject) => {
      const id = ++last;
      waiting.set(id, { resolve, reject });
      port.postMessage({ id, ...request }, transfer);
    });
  return {
    find: async (sha256) => (await ask({ find: sha256 })).file,
    async offer(sha256, bytes) {
      const { port1, port2 } = new MessageChannel();
      give(port1, bytes);
      try {
        return (await ask({ offer: sha256, parts: port2 }, [port2])).kept;
      } finally {
        port1.close();
      }
    },
  };
}

/** @param {MessagePort} parts @param {ReadableStream<Uint8Array>} stream */
function give(parts, stream) {
  const reader = stream.getReader();
  parts.onmessage = async () => {
    try {
      const { value } = await reader.read();
      parts.postMessage(value ? { bytes: value } : { done: true });
    } catch (error) {
      parts.postMessage({ failed: String(error) });
    }
  };
}
