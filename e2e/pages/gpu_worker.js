// A dedicated worker: is there a WebGPU device, and does a dispatch compute?

const COUNT = 200; // not a multiple of the workgroup's 64: the guard matters
const DOUBLE = `
override WG: u32 = 64;
@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@compute @workgroup_size(WG) fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < arrayLength(&x)) { x[id.x] = 2.0 * x[id.x]; }
}`;

/**
 * 0, 1, 2, … doubled on the device.
 * @param {GPUDevice} device
 * @returns {Promise<number[]>}
 */
async function double(device) {
  const nbytes = COUNT * 4;
  const buffer = device.createBuffer({
    size: nbytes,
    usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
  });
  const back = device.createBuffer({
    size: nbytes,
    usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
  });
  device.queue.writeBuffer(buffer, 0, Float32Array.from({ length: COUNT }, (_, i) => i));
  const pipeline = await device.createComputePipelineAsync({
    layout: "auto",
    compute: { module: device.createShaderModule({ code: DOUBLE }), constants: { WG: 64 } },
  });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(
    0,
    device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: [{ binding: 0, resource: { buffer } }],
    }),
  );
  pass.dispatchWorkgroups(Math.ceil(COUNT / 64));
  pass.end();
  encoder.copyBufferToBuffer(buffer, 0, back, 0, nbytes);
  device.queue.submit([encoder.finish()]);
  await back.mapAsync(GPUMapMode.READ);
  const doubled = Array.from(new Float32Array(back.getMappedRange()));
  device.destroy();
  return doubled;
}

const facts = {
  isolated: self.crossOriginIsolated,
  /** @type {string[] | null} */
  features: null,
  /** @type {number[] | null} */
  doubled: null,
};
const adapter = (await navigator.gpu?.requestAdapter()) ?? null;
if (adapter) {
  facts.features = Array.from(adapter.features);
  facts.doubled = await double(await adapter.requestDevice());
}
postMessage(facts);
