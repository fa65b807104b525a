// quant     reads the codes and the (scale, minimum) pairs of quantised weights
// needs     bindings `scales`; flags BITS4 (else 8-bit signed codes), WIDE (f32 pairs, else f16)
// source    value = code * scale + minimum, one pair a group (ggml block types)

#if WIDE
fn scale_minimum(group: u32) -> vec2f {
  return vec2f(bitcast<f32>(scales[2u * group]), bitcast<f32>(scales[2u * group + 1u]));
}
#else
fn scale_minimum(group: u32) -> vec2f { return unpack2x16float(scales[group]); }
#endif

#if BITS4
fn codes_low(c: u32) -> vec4f { return vec4f(vec4u(c, c >> 4u, c >> 8u, c >> 12u) & vec4u(15u)); }
fn codes_high(c: u32) -> vec4f { return codes_low(c >> 16u); }
#else
fn codes_of(c: u32) -> vec4f { return vec4f(unpack4xI8(c)); }
#endif
