// The facts that plans are compiled for, and what a dispatch, a submit and a byte cost here.

import * as webgpu from "./shims/webgpu.js";
import { query, report, round, summary, timed } from "./report.js";

const ADD = `@group(0) @binding(0) var<storage, read_write> x: array<f32>;
  @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) g: vec3u) { x[g.x] += 1.0; }`;
const READ = `@group(0) @binding(0) var<storage, read> x: array<vec4f>;
  @group(0) @binding(1) var<storage, read_write> y: array<f32>;
  @compute @workgroup_size(256) fn main(
      @builtin(global_invocation_id) g: vec3u, @builtin(num_workgroups) n: vec3u) {
    var sum = vec4f();
    for (var i = g.x; i < arrayLength(&x); i += n.x * 256) { sum += x[i]; }
    y[g.x] = dot(sum, vec4f(1));
  }`;

/** @param {GPUDevice} gpu @param {string} code @param {number[]} sizes */
async function bound(gpu, code, sizes) {
  const pipeline = await gpu.createComputePipelineAsync({
    layout: "auto", compute: { module: gpu.createShaderModule({ code }) } });
  const buffers = sizes.map((size) => gpu.createBuffer({
    size, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC }));
  const group = gpu.createBindGroup({ layout: pipeline.getBindGroupLayout(0),
    entries: buffers.map((buffer, binding) => ({ binding, resource: { buffer } })) });
  return { pipeline, group, buffers };
}

report(async () => {
  const { handle, facts } = await webgpu.open();
  const { gpu } = handle;
  const add = await bound(gpu, ADD, [1024]);
  const reader = gpu.createBuffer({
    size: 1024, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });

  /** @param {typeof add} what @param {number} count @param {number} groups */
  const submit = (what, count, groups) => {
    const encoder = gpu.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(what.pipeline);
    pass.setBindGroup(0, what.group);
    for (let i = 0; i < count; i++) pass.dispatchWorkgroups(groups);
    pass.end();
    if (what === add) encoder.copyBufferToBuffer(add.buffers[0], 0, reader, 0, 1024);
    gpu.queue.submit([encoder.finish()]);
  };
  /** @param {number} count */
  const roundTrip = async (count) => {
    const times = [];
    for (let i = 0; i < 21; i++) {
      times.push(await timed(async () => {
        submit(add, count, 4);
        await reader.mapAsync(GPUMapMode.READ);
        reader.unmap();
      }));
    }
    return summary(times).median;
  };
  const one = await roundTrip(1);
  const thousand = await roundTrip(1000);

  const nbytes = query.small ? 1 << 24 : 768 << 20;
  const read = await bound(gpu, READ, [nbytes, 1 << 20]);
  const reading = async (/** @type {number} */ count) => timed(async () => {
    submit(read, count, 1024);
    await gpu.queue.onSubmittedWorkDone();
  });
  await reading(2);
  const few = await reading(2);
  const many = await reading(22);
  return {
    facts,
    user_agent: navigator.userAgent,
    read_back_ms: one,
    dispatch_us: round((thousand - one) / 999 * 1e3),
    read_gb_per_s: round(20 * nbytes / (many - few) / 1e6),
  };
});
