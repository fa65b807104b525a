// What Cache Storage does, in this page's memory: for a page to which the browser gives no storage.
// It is gone with the page.

/** @typedef {{body: Blob, headers: Headers}} Kept */

/** @type {Map<string, Map<string, Kept>>} */
const opened = new Map();

/** Whether anything is kept here. */
export const used = () => opened.size > 0;

/** @param {string} name @returns {Cache} */
export function open(name) {
  /** @type {Map<string, Kept>} */
  const kept = opened.get(name) ?? new Map();
  opened.set(name, kept);
  const cache = {
    async match(/** @type {string | Request} */ key) {
      const found = kept.get(typeof key === "string" ? key : key.url);
      return found && new Response(found.body, { headers: found.headers });
    },
    async put(/** @type {string} */ key, /** @type {Response} */ response) {
      // a Blob: the browser may put it on the disk
      kept.set(key, { body: await response.blob(), headers: response.headers });
    },
    delete: async (/** @type {string} */ key) => kept.delete(key),
    keys: async (/** @type {string} */ key) =>
      [...kept.keys()].filter((url) => !key || url === key).map((url) => ({ url })),
  };
  return /** @type {Cache} */ (/** @type {unknown} */ (cache));
}
