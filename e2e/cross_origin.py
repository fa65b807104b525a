"""An implementation of Cross-Origin Storage for tests, put into every page before its scripts.

What it keeps is here, in this process, so all sites share it, whatever the browser keeps apart. Its
method has one of the three names that the proposal had. It checks what it must: a file's hash when
it is written whole. On demand it lies, refuses, takes nothing, or spoils a byte.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Literal

from playwright.sync_api import BrowserContext

SHAPES = ("getFileHandle", "requestFileHandle", "requestFileHandles")
Mood = Literal["honest", "lying", "refusing", "spoilt", "read-only"]

SCRIPT = """(() => {
  const shape = SHAPE;
  const no = (name, text) => { throw new DOMException(text, name); };
  const hex = async (data) => {
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
    return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  };
  const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const textOf = (bytes) => {
    let text = "";
    for (let at = 0; at < bytes.length; at += 8192) {
      text += String.fromCharCode(...bytes.subarray(at, at + 8192));
    }
    return btoa(text);
  };

  class Writable {
    parts = [];
    constructor(name) { this.name = name; }
    async write(part) { this.parts.push(part.slice ? part.slice() : part); }
    async abort() { this.parts = []; }
    async close() {
      const data = await new Blob(this.parts).arrayBuffer();
      if (await hex(data) !== this.name) no("DataError", "the bytes have another hash");
      await cosKeep(this.name, textOf(new Uint8Array(data)));
    }
  }

  async function one(hash, { create = false, origins } = {}) {
    if (hash.algorithm !== "SHA-256" || !/^[0-9a-f]{64}$/.test(hash.value)) {
      throw new TypeError("no hash");
    }
    if (create) {
      if (origins !== "*") no("DataError", "a file for this site alone");
      if (await cosMood() === "read-only") no("QuotaExceededError", "this site stored enough");
      return { createWritable: async () => new Writable(hash.value) };
    }
    const found = JSON.parse(await cosFind(hash.value));
    if (found.refused) no(found.refused, "as the test wants it");
    if (found.bytes === null) no("NotFoundError", "not there, or not for you");
    const file = new File([bytesOf(found.bytes)], hash.value);
    return { getFile: async () => file };
  }

  const storage = shape === "requestFileHandles"
    ? { [shape]: async (hashes, options) => Promise.all(hashes.map((hash) => one(hash, options))) }
    : { [shape]: one };
  Object.defineProperty(navigator, "crossOriginStorage", { value: storage });
})();"""


@dataclass
class CrossOriginStorage:
    """The browser's side of it."""

    files: dict[str, bytes] = field(default_factory=dict)
    mood: Mood = "honest"

    def enter(self, context: BrowserContext, shape: str) -> None:
        """Gives every page of the context that is opened from now on the API in this shape."""
        context.expose_function("cosFind", self.find)
        context.expose_function("cosKeep", self.keep)
        context.expose_function("cosMood", lambda: self.mood)
        context.add_init_script(SCRIPT.replace("SHAPE", f'"{shape}"', 1))

    def find(self, sha256: str) -> str:
        """What a look-up gives, as JSON."""
        if self.mood == "refusing":
            return json.dumps({"refused": "NotAllowedError"})
        data = self.files.get(sha256)
        if data is None or self.mood == "lying":
            return json.dumps({"bytes": None})
        if self.mood == "spoilt":
            middle = len(data) // 2
            data = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        text = base64.b64encode(data).decode()
        return json.dumps({"bytes": text})

    def keep(self, sha256: str, text: str) -> None:
        """A file that the page's side verified."""
        self.files[sha256] = base64.b64decode(text)
