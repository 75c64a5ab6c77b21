// Plain weights, and codes dequantized on the fly: one fma an input, in order.
#include <algorithm>
#include <cmath>

#include "nibble/kernels/ref/weights.h"

namespace nibble {
namespace {

bool accepts_floats(const GemmTraits& t) { return t.weight != WeightType::codes; }
bool accepts_codes(const GemmTraits& t) { return t.weight == WeightType::codes && !t.a8; }

int64_t row_of_floats(const GemmTraits& t) { return t.k * static_cast<int64_t>(sizeof(float)); }

// One weight row as f32.
void expand(const GemmWeight& w, int64_t j, float* row) {
  if (w.traits.weight != WeightType::codes) {
    for (int64_t i = 0; i < w.traits.k; ++i) row[i] = ref::value_at(w, j, i);
    return;
  }
  for (int64_t i = 0; i < w.traits.k; ++i) {
    const int64_t g = i / w.traits.group;
    const int code = ref::code_at(w, j, i) - ref::zero_at(w, j, g);
    row[i] = static_cast<float>(code) * ref::scale_at(w, j, g);
    if (w.offsets != nullptr) row[i] += ref::offset_at(w, j, g);
  }
}

void run(const GemmWeight& w, const GemmInput& in, int64_t n_begin, int64_t n_end,
         const GemmOutput& out, void* scratch) {
  auto* row = static_cast<float*>(scratch);
  for (int64_t j = n_begin; j < n_end; ++j) {
    expand(w, j, row);
    for (int64_t r = 0; r < in.m; ++r) {
      const float* x = in.x + r * in.x_stride;
      float t = 0;
      for (int64_t i = 0; i < w.traits.k; ++i) t = std::fma(x[i], row[i], t);
      ref::finish(out, r, j, t);
    }
  }
}

}  // namespace

extern const Kernel gemm_f32_ref, gemm_dequant_ref;
constinit const Kernel gemm_f32_ref = {
    .name = "gemm_f32_ref", .accepts = accepts_floats, .run = run, .scratch_bytes = row_of_floats};
constinit const Kernel gemm_dequant_ref = {.name = "gemm_dequant_ref",
                                           .accepts = accepts_codes,
                                           .run = run,
                                           .scratch_bytes = row_of_floats};

}  // namespace nibble
