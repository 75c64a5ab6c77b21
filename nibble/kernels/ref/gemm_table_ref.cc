// Codes that name values of a table, and 8-bit floats: value * scale, then one fma an input.
#include <cmath>

#include "nibble/kernels/ref/weights.h"

namespace nibble {
namespace {

bool accepts(const GemmTraits& t) {
  return t.weight == WeightType::table || t.weight == WeightType::e4m3 ||
         t.weight == WeightType::e5m2;
}
int64_t row_of_floats(const GemmTraits& t) { return t.k * static_cast<int64_t>(sizeof(float)); }

float value_at(const GemmWeight& w, int64_t row, int64_t column) {
  const auto code = static_cast<uint8_t>(ref::code_at(w, row, column));
  if (w.traits.weight == WeightType::e4m3) return e4m3_to_f32(code);
  if (w.traits.weight == WeightType::e5m2) return e5m2_to_f32(code);
  return w.table[code];
}

float scale_at(const GemmWeight& w, int64_t row, int64_t group) {
  if (w.scale_type <= ScaleType::bf16 || w.scale_type == ScaleType::blocks)
    return ref::scale_at(w, row, group);
  const int64_t i = row * w.scale_stride + group;
  const uint8_t byte = static_cast<const uint8_t*>(w.scales)[i];
  if (w.scale_type == ScaleType::e8m0) return std::ldexp(1.0f, byte - 127);
  if (w.scale_type == ScaleType::e4m3) return e4m3_to_f32(byte) / w.scale_divisor;
  const float product = w.scale_table[byte] * w.super_scales[i / kSuperBlock];
  return product + w.super_offset;
}

void run(const GemmWeight& w, const GemmInput& in, int64_t n_begin, int64_t n_end,
         const GemmOutput& out, void* scratch) {
  auto* row = static_cast<float*>(scratch);
  for (int64_t j = n_begin; j < n_end; ++j) {
    for (int64_t i = 0; i < w.traits.k; ++i)
      row[i] = value_at(w, j, i) * scale_at(w, j, i / w.traits.group);
    for (int64_t r = 0; r < in.m; ++r) {
      const float* x = in.x + r * in.x_stride;
      float t = 0;
      for (int64_t i = 0; i < w.traits.k; ++i) t = std::fma(x[i], row[i], t);
      ref::finish(out, r, j, t);
    }
  }
}

}  // namespace

extern const Kernel gemm_table_ref;
constinit const Kernel gemm_table_ref = {
    .name = "gemm_table_ref", .accepts = accepts, .run = run, .scratch_bytes = row_of_floats};

}  // namespace nibble
