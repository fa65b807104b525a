// Runs plans through shims/webgpu.js. test_kernels.py calls `runAll`; `facts` is what it compiles the
// plans for.

import * as webgpu from "../../shims/webgpu.js";
import { runAll as run } from "./jobs.js";

const { handle, facts } = await webgpu.open();
/** @type {string[]} */
const complaints = [];
handle.gpu.addEventListener("uncapturederror", ({ error }) => complaints.push(error.message));

/** @param {import("./jobs.js").Job[]} jobs */
const runAll = async (jobs) => ({ results: await run(webgpu, handle, jobs), complaints });

Object.assign(globalThis, { facts, runAll });
document.documentElement.dataset.ready = "true";
