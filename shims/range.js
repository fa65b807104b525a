// A range of a URL as a stream of exactly sized pieces, over fetch.
//
// Accepts what the world's servers do: 206, or 200 with the whole file where Range is unknown
// (its beginning is then skipped). A file that is another one by now is noticed by its ETag, else
// by when it was last modified. On its own origin If-Range tells the server which one is meant;
// across origins it would cost a preflight, which many hosts refuse. Everything else is an error with plain fields
// {code, what, got, need, where, fix}, the codes being class names of edgewise/errors.py, and
// `retry`, which says whether the same request may do better later. It stores nothing.

/** @typedef {{code: string, what: string, got?: string, need?: string, where?: string, fix?: string}} Fields */
/**
 * @typedef {object} Options
 * @property {AbortSignal} [signal]
 * @property {(nbytes: number) => void} [onBytes]  called for every chunk, with what it adds
 * @property {string | null} [etag]  what the file had before (the date has no quotes): another one is an error
 * @property {number} [stallMs]
 */

/** Gives a buffer of this length when there may be one more.
 * @typedef {(nbytes: number) => Promise<Uint8Array<ArrayBuffer>>} Room */

const SKIP_NBYTES = 1024 * 1024; // read at once of what is not wanted
const STALL_MS = 30_000; // no byte for this long: the connection is dead (some never say so)

/** An error with fields. @param {Fields} fields @param {boolean} [retry] */
export function failure(fields, retry = false) {
  return Object.assign(new Error(`${fields.what}: got ${fields.got}; need ${fields.need}`), {
    ...fields,
    retry,
  });
}

/** The fields of any error, as plain data. @param {any} error @returns {Fields} */
export function plain(error) {
  if (typeof error?.what !== "string") return { code: "StoreError", what: String(error) };
  const { code, what, got, need, where, fix } = error;
  return { code, what, got, need, where, fix };
}

/** @param {string} url @param {string} got @param {string} need @param {boolean} retry */
function lost(url, got, need, retry) {
  const fix = retry ? "try again later" : "check the address and that its server answers Range";
  return failure({ code: "DownloadError", what: `download of ${url}`, got, need, fix }, retry);
}

/**
 * Asks for consecutive pieces of a file by one Range request. The connection ends with the
 * iteration.
 * @param {string} url @param {number} offset @param {number[]} lengths
 * @param {Room} room
 * @param {Options} [options]
 */
export async function openRange(url, offset, lengths, room, options = {}) {
  const { signal, onBytes, etag = null, stallMs = STALL_MS } = options;
  const nbytes = lengths.reduce((sum, n) => sum + n, 0);
  const end = new AbortController();
  const both = signal ? AbortSignal.any([signal, end.signal]) : end.signal;
  try {
    const response = await request(url, offset, nbytes, etag, both, stallMs);
    check(response, url, offset, nbytes, etag);
    const ranged = response.status === 206;
    const stream = pieces(response, ranged ? 0 : offset, lengths, room, stallMs, end, onBytes);
    const { headers } = response;
    return { ranged, etag: headers.get("etag") ?? headers.get("last-modified"), pieces: stream };
  } catch (error) {
    end.abort(); // a body that nobody reads would hold the connection
    throw error;
  }
}

/** @param {string} url @param {number} offset @param {number} nbytes @param {string | null} etag @param {AbortSignal} signal @param {number} stallMs */
async function request(url, offset, nbytes, etag, signal, stallMs) {
  const headers = new Headers({ range: `bytes=${offset}-${offset + nbytes - 1}` });
  const own = new URL(url, location.href).origin === location.origin;
  if (own && etag?.startsWith('"')) headers.set("if-range", etag); // a weak one names no bytes
  try {
    // no-store: the bytes are kept once, here, and a bad copy in the HTTP cache is passed by
    return await within(stallMs, url, fetch(url, { headers, signal, cache: "no-store" }));
  } catch (/** @type {any} */ error) {
    if (error?.what || signal.aborted) throw error;
    throw lost(url, `no answer (${error?.message ?? error})`, `${nbytes} bytes`, true);
  }
}

/** @param {Response} response @param {string} url @param {number} offset @param {number} nbytes @param {string | null} etag */
function check(response, url, offset, nbytes, etag) {
  const { status, headers } = response;
  const range = `bytes ${offset}-${offset + nbytes - 1}/`;
  const got = headers.get("content-range");
  if (status !== 200 && status !== 206) {
    const later = status >= 500 || status === 408 || status === 429;
    throw lost(url, `HTTP ${status}${got ? ` (${got})` : ""}`, `206 with ${range}…`, later);
  }
  // a cross-origin server may hide the header; then the hash alone decides
  const hidden = got === null && response.type === "cors";
  if (status === 206 && !hidden && !got?.startsWith(range)) {
    throw lost(url, `content-range: ${got}`, `${range}…`, false);
  }
  const now = headers.get(etag?.endsWith('"') ? "etag" : "last-modified");
  if (etag !== null && now !== null && now !== etag) {
    throw Object.assign(lost(url, `a changed file (${now})`, `the file ${etag}`, false), { etag: now });
  }
}

/**
 * Cuts a body into pieces of these lengths after skipping its beginning.
 * @param {Response} response @param {number} skip @param {number[]} lengths
 * @param {Room} room @param {number} stallMs
 * @param {AbortController} end @param {(nbytes: number) => void} [onBytes]
 */
async function* pieces(response, skip, lengths, room, stallMs, end, onBytes) {
  const fill = filling(/** @type {ReadableStream<Uint8Array>} */ (response.body));
  const { url } = response;
  try {
    for (let left = skip; left > 0; ) {
      left -= (await next(fill, new Uint8Array(Math.min(left, SKIP_NBYTES)), url, stallMs)).length;
    }
    for (const nbytes of lengths) {
      let piece = await room(nbytes);
      for (let at = 0; at < nbytes; ) {
        const part = await next(fill, piece.subarray(at), url, stallMs);
        piece = new Uint8Array(part.buffer);
        at += part.length;
        onBytes?.(part.length);
      }
      yield piece;
    }
  } finally {
    end.abort();
  }
}

/** Fills the beginning of a view, as far as bytes are there; its buffer moves into what it gives.
 * @typedef {(view: Uint8Array<ArrayBuffer>) => Promise<ReadableStreamReadResult<Uint8Array<ArrayBuffer>>>} Fill */

/** @param {ReadableStream<Uint8Array>} body @returns {Fill} */
function filling(body) {
  try {
    const reader = body.getReader({ mode: "byob" });
    return async (view) => /** @type {any} */ (await reader.read(view));
  } catch {
    return copying(body); // WebKit: a body is no byte stream there
  }
}

/** @param {ReadableStream<Uint8Array>} body @returns {Fill} */
function copying(body) {
  const reader = body.getReader();
  let chunk = new Uint8Array(0);
  return async (view) => {
    if (!chunk.length) {
      const step = await reader.read();
      if (step.done) return { done: true, value: undefined };
      chunk = /** @type {Uint8Array<ArrayBuffer>} */ (step.value);
    }
    const part = chunk.subarray(0, view.length);
    view.set(part);
    chunk = chunk.subarray(part.length);
    return { done: false, value: view.subarray(0, part.length) };
  };
}

/** @param {Fill} fill @param {Uint8Array<ArrayBuffer>} view @param {string} url @param {number} stallMs */
async function next(fill, view, url, stallMs) {
  const need = `${view.length} more bytes of this segment`;
  let step;
  try {
    step = await within(stallMs, url, fill(view));
  } catch (/** @type {any} */ error) {
    if (error?.what || error?.name === "AbortError") throw error;
    throw lost(url, `a broken connection (${error?.message ?? error})`, need, true);
  }
  if (step.done) throw lost(url, "the end of the body", need, true);
  return step.value;
}

/** @template T @param {number} ms @param {string} url @param {Promise<T>} promise @returns {Promise<T>} */
function within(ms, url, promise) {
  /** @type {ReturnType<typeof setTimeout>} */
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(lost(url, `nothing for ${ms} ms`, "bytes", true)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
