// Codes of 2 to 8 bits times int8 rows: exact integer sums, one fma a group, and one for its
// offset.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "nibble/kernels/ref/weights.h"

namespace nibble {
namespace {

bool accepts(const GemmTraits& t) { return t.weight == WeightType::codes && t.a8; }
int64_t row_of_codes(const GemmTraits& t) { return t.k; }

int64_t dot(const uint8_t* codes, int zero, const int8_t* x, int64_t count) {
  int64_t sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += (codes[i] - zero) * x[i];
  return sum;
}

void run(const GemmWeight& w, const GemmInput& in, int64_t n_begin, int64_t n_end,
         const GemmOutput& out, void* scratch) {
  const int64_t k = w.traits.k, group = w.traits.group;
  auto* codes = static_cast<uint8_t*>(scratch);
  for (int64_t j = n_begin; j < n_end; ++j) {
    for (int64_t i = 0; i < k; ++i) codes[i] = static_cast<uint8_t>(ref::code_at(w, j, i));
    for (int64_t r = 0; r < in.m; ++r) {
      const int8_t* x = in.codes + r * in.code_stride;
      float t = 0;
      for (int64_t begin = 0, g = 0; begin < k; begin += group, ++g) {
        const int64_t count = std::min(group, k - begin);
        const int64_t a = dot(codes + begin, ref::zero_at(w, j, g), x + begin, count);
        t = std::fma(static_cast<float>(a), ref::scale_at(w, j, g), t);
        if (w.offsets == nullptr) continue;
        const int64_t sum = std::accumulate(x + begin, x + begin + count, int64_t{0});
        t = std::fma(static_cast<float>(sum), ref::offset_at(w, j, g), t);
      }
      ref::finish(out, r, j, t * in.row_scales[r]);
    }
  }
}

}  // namespace

extern const Kernel gemm_i8_ref;
constinit const Kernel gemm_i8_ref = {
    .name = "gemm_i8_ref", .accepts = accepts, .run = run, .scratch_bytes = row_of_codes};

}  // namespace nibble
