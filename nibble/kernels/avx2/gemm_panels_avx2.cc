// f32, f16, bf16 weights and 8- and 4-bit codes times f32 rows, over panels of 16 outputs.
// Each lane is one output: its fmas run over the inputs in order, as the reference has them.
#include <immintrin.h>

#include "nibble/kernels/avx2/expand.h"
#include "nibble/kernels/panels.h"

namespace nibble {
namespace {

// Inputs that stay in the second-level cache for a slice of outputs while all rows pass.
constexpr int64_t kInputBlock = 1024;

// How 8 weights of each type become f32; `half` is 0 or 1, the lower or upper 8 of the panel's 16.
struct F32 {
  static constexpr int kTileRows = 6;
  __m256 at(const uint8_t* panel, int64_t i, int half) const {
    return _mm256_loadu_ps(reinterpret_cast<const float*>(panel) + i * kPanelRows + half * 8);
  }
};
__m128i load16(const uint8_t* panel, int64_t i, int half) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(panel + (i * kPanelRows + half * 8) * 2));
}
struct F16 {
  static constexpr int kTileRows = 6;
  __m256 at(const uint8_t* panel, int64_t i, int half) const {
    return _mm256_cvtph_ps(load16(panel, i, half));
  }
};
struct Bf16 {
  static constexpr int kTileRows = 6;
  __m256 at(const uint8_t* panel, int64_t i, int half) const {
    return _mm256_castsi256_ps(
        _mm256_slli_epi32(_mm256_cvtepu16_epi32(load16(panel, i, half)), 16));
  }
};

// (code - zero) * scale: the difference is exact, the product rounded once, as dequantize() does.
struct Codes {
  static constexpr int kTileRows = 3;
  __m256i zero[2];
  __m256 scale[2];
  __m256 value(__m128i codes, int half) const {
    const __m256i code = _mm256_sub_epi32(_mm256_cvtepu8_epi32(codes), zero[half]);
    return _mm256_mul_ps(_mm256_cvtepi32_ps(code), scale[half]);
  }
};
__m128i load8(const uint8_t* bytes) {
  return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes));
}
struct W8 : Codes {
  __m256 at(const uint8_t* panel, int64_t i, int half) const {
    return value(load8(panel + i * kPanelRows + half * 8), half);
  }
};
struct W4 : Codes {
  __m256 at(const uint8_t* panel, int64_t i, int half) const {
    const __m128i pairs = load8(panel + (i >> 1) * kPanelRows + half * 8);
    const __m128i one = _mm_srl_epi16(pairs, _mm_cvtsi32_si128(static_cast<int>(i & 1) * 4));
    return value(_mm_and_si128(one, _mm_set1_epi8(15)), half);
  }
};

// The scales and zero points of 16 rows for one group.
void load_codes(const GemmWeight& w, int64_t row, int64_t group, Codes& out) {
  alignas(32) uint32_t wide[kPanelRows] = {};
  alignas(32) uint16_t narrow[kPanelRows] = {};
  alignas(32) int32_t zeros[kPanelRows] = {};
  for (int64_t j = 0; j < kPanelRows && row + j < w.traits.n; ++j) {
    const int64_t at = (row + j) * w.scale_stride + group;
    if (w.scale_type == ScaleType::f32) {
      wide[j] = static_cast<const uint32_t*>(w.scales)[at];
    } else {
      narrow[j] = static_cast<const uint16_t*>(w.scales)[at];
      wide[j] = static_cast<uint32_t>(narrow[j]) << 16;
    }
    zeros[j] = w.zeros == nullptr ? 1 << (w.traits.bits - 1) : w.zeros[at];
  }
  for (int half = 0; half < 2; ++half) {
    out.zero[half] = _mm256_load_si256(reinterpret_cast<const __m256i*>(zeros + half * 8));
    out.scale[half] =
        w.scale_type == ScaleType::f16
            ? _mm256_cvtph_ps(_mm_load_si128(reinterpret_cast<const __m128i*>(narrow + half * 8)))
            : _mm256_castsi256_ps(
                  _mm256_load_si256(reinterpret_cast<const __m256i*>(wide + half * 8)));
  }
}
void prepare(const GemmWeight&, int64_t, int64_t, F32&) {}
void prepare(const GemmWeight&, int64_t, int64_t, F16&) {}
void prepare(const GemmWeight&, int64_t, int64_t, Bf16&) {}
void prepare(const GemmWeight& w, int64_t row, int64_t group, W8& out) {
  load_codes(w, row, group, out);
}
void prepare(const GemmWeight& w, int64_t row, int64_t group, W4& out) {
  load_codes(w, row, group, out);
}

// One tile: `kRows` rows of x and one panel, over the inputs [begin, end).
struct Tile {
  const GemmWeight& w;
  const uint8_t* panels;  // the first of them
  const float* x;
  int64_t x_stride;
  float* y;
  int64_t y_stride;
  const float* bias;
  int64_t n;  // the first output
  int64_t begin, end;
  int64_t count;  // outputs of the panel that exist
};

void load_outputs(const float* y, int64_t count, __m256 (&out)[2]) {
  alignas(32) float full[kPanelRows] = {};
  for (int64_t j = 0; j < count; ++j) full[j] = y[j];
  out[0] = _mm256_load_ps(full);
  out[1] = _mm256_load_ps(full + 8);
}

void store_outputs(float* y, int64_t count, const __m256 (&sum)[2]) {
  if (count == kPanelRows) {
    _mm256_storeu_ps(y, sum[0]);
    _mm256_storeu_ps(y + 8, sum[1]);
    return;
  }
  alignas(32) float full[kPanelRows];
  _mm256_store_ps(full, sum[0]);
  _mm256_store_ps(full + 8, sum[1]);
  for (int64_t j = 0; j < count; ++j) y[j] = full[j];
}

template <class Load, int kRows>
void run_tile(const Tile& t) {
  __m256 sum[kRows][2];
  for (int r = 0; r < kRows; ++r)
    load_outputs(t.y + r * t.y_stride + t.n, t.begin == 0 ? 0 : t.count, sum[r]);
  Load load;
  for (int64_t i = t.begin; i < t.end;) {
    const int64_t group = i / t.w.traits.group, edge = (group + 1) * t.w.traits.group;
    const int64_t stop = edge < t.end ? edge : t.end;
    prepare(t.w, t.n, group, load);
    for (; i < stop; ++i) {
      const __m256 low = load.at(t.panels, i, 0), high = load.at(t.panels, i, 1);
      for (int r = 0; r < kRows; ++r) {
        const __m256 x = _mm256_broadcast_ss(t.x + r * t.x_stride + i);
        sum[r][0] = _mm256_fmadd_ps(x, low, sum[r][0]);
        sum[r][1] = _mm256_fmadd_ps(x, high, sum[r][1]);
      }
    }
  }
  __m256 bias[2];
  const bool add_bias = t.end == t.w.traits.k && t.bias != nullptr;
  if (add_bias) load_outputs(t.bias + t.n, t.count, bias);
  for (int r = 0; r < kRows; ++r) {
    for (int half = 0; half < 2 && add_bias; ++half)
      sum[r][half] = _mm256_add_ps(sum[r][half], bias[half]);
    store_outputs(t.y + r * t.y_stride + t.n, t.count, sum[r]);
  }
}

template <class Load>
void run_rows(Tile t, int64_t m) {
  const auto advance = [&](int64_t rows) {
    t.x += rows * t.x_stride;
    t.y += rows * t.y_stride;
  };
  for (; m >= Load::kTileRows; m -= Load::kTileRows, advance(Load::kTileRows))
    run_tile<Load, Load::kTileRows>(t);
  for (; m >= 1; m -= 1, advance(1)) run_tile<Load, 1>(t);
}

// Outputs [n_begin, n_end) from their panels.
template <class Load>
void run_panels(const GemmWeight& w, const uint8_t* panels, const GemmInput& in, int64_t n_begin,
                int64_t n_end, const GemmOutput& out) {
  const int64_t k = w.traits.k, bytes = panel_bytes(w.traits);
  const int64_t step = in.m <= Load::kTileRows ? k : kInputBlock;
  for (int64_t begin = 0; begin < k; begin += step) {
    const int64_t end = begin + step < k ? begin + step : k;
    for (int64_t n = n_begin; n < n_end; n += kPanelRows) {
      const int64_t count = n_end - n < kPanelRows ? n_end - n : kPanelRows;
      const uint8_t* panel = panels + (n - n_begin) / kPanelRows * bytes;
      run_rows<Load>(
          {w, panel, in.x, in.x_stride, out.y, out.y_stride, out.bias, n, begin, end, count}, in.m);
    }
  }
}

template <class Load>
void run(const GemmWeight& w, const GemmInput& in, int64_t n_begin, int64_t n_end,
         const GemmOutput& out, void*) {
  const auto* panels = static_cast<const uint8_t*>(w.data);
  run_panels<Load>(w, panels + n_begin / kPanelRows * panel_bytes(w.traits), in, n_begin, n_end,
                   out);
}

// Codes of 2, 3, 5, 6 and 7 bits stay as stored; a slice of them becomes panels of bytes when used.
void run_narrow(const GemmWeight& w, const GemmInput& in, int64_t n_begin, int64_t n_end,
                const GemmOutput& out, void* scratch) {
  const Expander expander(w.traits.bits);
  const int64_t k = w.traits.k, bytes = panel_bytes(w.traits);
  auto* panels = static_cast<uint8_t*>(scratch);
  uint8_t* row = panels + kOutputSlice / kPanelRows * bytes;
  for (int64_t n = n_begin; n < n_end; n += kOutputSlice) {
    const int64_t end = n + kOutputSlice < n_end ? n + kOutputSlice : n_end;
    for (int64_t j = n; j < end; ++j) {
      expander.row(static_cast<const uint8_t*>(w.data) + j * w.row_bytes, w.row_bytes, k, row);
      uint8_t* column = panels + (j - n) / kPanelRows * bytes + (j - n) % kPanelRows;
      for (int64_t i = 0; i < k; ++i) column[i * kPanelRows] = row[i];
    }
    run_panels<W8>(w, panels, in, n, end, out);
  }
}
int64_t narrow_scratch(const GemmTraits& t) {
  return kOutputSlice / kPanelRows * panel_bytes(t) + (t.k + 15) / 16 * 16;
}

bool is_f32(const GemmTraits& t) { return t.weight == WeightType::f32; }
bool is_f16(const GemmTraits& t) { return t.weight == WeightType::f16; }
bool is_bf16(const GemmTraits& t) { return t.weight == WeightType::bf16; }
bool is_w8(const GemmTraits& t) { return t.weight == WeightType::codes && !t.a8 && t.bits == 8; }
bool is_w4(const GemmTraits& t) { return t.weight == WeightType::codes && !t.a8 && t.bits == 4; }
bool is_narrow(const GemmTraits& t) {
  return t.weight == WeightType::codes && !t.a8 && t.bits < 8 && t.bits != 4;
}

template <class Load>
constexpr Kernel kernel(const char* name, bool (*accepts)(const GemmTraits&)) {
  Kernel out;
  out.name = name;
  out.isa = KernelIsa::avx2;
  out.accepts = accepts;
  out.run = run<Load>;
  out.packed_bytes = panels_bytes;
  out.pack = pack_panels;
  out.unpack = unpack_panels;
  return out;
}

}  // namespace

extern const Kernel gemm_f32_avx2, gemm_f16_avx2, gemm_bf16_avx2, gemm_w8_avx2, gemm_w4_avx2,
    gemm_narrow_f32_avx2;
constinit const Kernel gemm_f32_avx2 = kernel<F32>("gemm_f32_avx2", is_f32);
constinit const Kernel gemm_f16_avx2 = kernel<F16>("gemm_f16_avx2", is_f16);
constinit const Kernel gemm_bf16_avx2 = kernel<Bf16>("gemm_bf16_avx2", is_bf16);
constinit const Kernel gemm_w8_avx2 = kernel<W8>("gemm_w8_avx2", is_w8);
constinit const Kernel gemm_w4_avx2 = kernel<W4>("gemm_w4_avx2", is_w4);
constinit const Kernel gemm_narrow_f32_avx2 = {.name = "gemm_narrow_f32_avx2",
                                               .isa = KernelIsa::avx2,
                                               .accepts = is_narrow,
                                               .run = run_narrow,
                                               .scratch_bytes = narrow_scratch};

}  // namespace nibble
