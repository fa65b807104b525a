// navigator.crossOriginStorage (WICG proposal): whole files by their SHA-256, shared by all sites.
//
// Its one method has had three names: requestFileHandles takes and gives an array, requestFileHandle
// and getFileHandle take one hash. A browser answers NotFoundError for a file that it does not want
// to disclose as for one that is not there, and NotAllowedError where it or the person refuses. It
// may allow few look-ups. What it gives is a File that is read where it lies.

/** @typedef {{algorithm: "SHA-256", value: string}} Hash */

/** @returns {any} */
const storage = () => /** @type {any} */ (navigator).crossOriginStorage;

/** Whether this context has it, in a shape that is known. */
export const exists = () => Boolean(method());

function method() {
  const names = ["getFileHandle", "requestFileHandle", "requestFileHandles"];
  return names.find((name) => typeof storage()?.[name] === "function");
}

/** @param {string} sha256 @param {object} [options] @returns {Promise<any>} a FileSystemFileHandle */
async function handle(sha256, options) {
  /** @type {Hash} */
  const hash = { algorithm: "SHA-256", value: sha256 };
  const name = method();
  if (name !== "requestFileHandles") return storage()[String(name)](hash, options);
  return (await storage().requestFileHandles([hash], options))[0];
}

/** The file, or null where the browser says that there is none. Rejects with what the browser
 * says. @param {string} sha256 @returns {Promise<Blob | null>} */
export async function find(sha256) {
  try {
    return await (await handle(sha256)).getFile();
  } catch (/** @type {any} */ error) {
    if (error?.name === "NotFoundError") return null;
    throw error;
  }
}

/** Stores a file for every site; the browser checks its hash. Whether it is kept. Rejects with what
 * the browser says. @param {string} sha256 @param {ReadableStream<Uint8Array>} bytes */
export async function offer(sha256, bytes) {
  const reader = bytes.getReader();
  const writable = await (await handle(sha256, { create: true, origins: "*" })).createWritable();
  try {
    for (let step = await reader.read(); !step.done; step = await reader.read()) {
      await writable.write(step.value);
    }
  } catch (error) {
    await writable.abort?.(error);
    throw error;
  }
  await writable.close();
  return true;
}
