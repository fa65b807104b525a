// Keeps the site for a visit without a network: what build.json lists, each file by its hash.
//
// The network always comes first, so that a new build is seen at once; what is kept answers only
// when there is none. Models are not its business: requests with a range pass by, and weights
// lie in the store under their own hashes.

const KEPT = "edgewise-site-1"; // the number is the layout's version
const worker = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));

worker.addEventListener("install", () => worker.skipWaiting());
worker.addEventListener("message", (event) => event.waitUntil(keep()));
worker.addEventListener("fetch", (event) => {
  const { request } = event;
  const here = request.url.startsWith(worker.registration.scope);
  if (request.method !== "GET" || !here || request.headers.has("range")) return;
  event.respondWith(fetch(request).catch((error) => recall(request.url, error)));
});

/** @param {string} url @param {unknown} error  of the network */
async function recall(url, error) {
  const address = new URL(url);
  if (address.pathname.endsWith("/")) address.pathname += "index.html";
  const kept = await (await caches.open(KEPT)).match(address.href, { ignoreSearch: true });
  if (!kept) throw error;
  return kept;
}

async function keep() {
  const cache = await caches.open(KEPT);
  const index = await fetch("build.json", { cache: "no-cache" });
  const { files } = await index.clone().json();
  for (const { path, sha256 } of files) {
    const kept = await cache.match(path);
    if (kept?.headers.get("x-sha256") !== sha256) await put(cache, path, sha256);
  }
  await cache.put("build.json", index); // last: it promises the others
  const wanted = new Set(["build.json", ...files.map((/** @type {any} */ file) => file.path)]);
  const at = worker.registration.scope.length;
  for (const request of await cache.keys()) {
    if (!wanted.has(request.url.slice(at))) await cache.delete(request);
  }
}

/** @param {Cache} cache @param {string} path @param {string} sha256 */
async function put(cache, path, sha256) {
  const response = await fetch(path, { cache: "no-cache" });
  if (!response.ok) throw new Error(`${path}: HTTP ${response.status}`);
  const headers = new Headers(response.headers);
  headers.set("x-sha256", sha256);
  headers.delete("content-encoding"); // the body is decoded
  headers.delete("content-length");
  await cache.put(path, new Response(response.body, { headers }));
}
