// f32, f16, bf16 weights and 8- and 4-bit codes times f32 rows, over panels of 16 outputs.
// Each lane is one output: its fmas run over the inputs in order, as the reference has them.
#include <immintrin.h>

#include "nibble/kernels/avx2/expand.h"
#include "nibble/kernels/panels.h"

namespace nibble {
namespace {

// Inputs that stay in the second-level cache for a slice of outputs while all rows pass.
constexpr int64_t kInputBlock = 1024;

// How 16 weights of each type become f32.
struct F32 {
  static constexpr int kTileRows = 6;
  __m512 at(const uint8_t* panel, int64_t i) const {
    return _mm512_loadu_ps(reinterpret_cast<const float*>(panel) + i * kPanelRows);
  }
};
struct F16 {
  static constexpr int kTileRows = 6;
  __m512 at(const uint8_t* panel, int64_t i) const {
    return _mm512_cvtph_ps(
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(panel + i * kPanelRows * 2)));
  }
};
struct Bf16 {
  static constexpr int kTileRows = 6;
  __m512 at(const uint8_t* panel, int64_t i) const {
    const __m256i raw =
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(panel + i * kPanelRows * 2));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(raw), 16));
  }
};

// (code - zero) * scale: the difference is exact, the product rounded once, as dequantize() does.
struct Codes {
  static constexpr int kTileRows = 4;
  __m512i zero;
  __m512 scale;
  __m512 value(__m512i code) const {
    return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(code, zero)), scale);
  }
};
struct W8 : Codes {
  __m512 at(const uint8_t* panel, int64_t i) const {
    return value(_mm512_cvtepu8_epi32(
        _mm_loadu_si128(reinterpret_cast<const __m128i*>(panel + i * kPanelRows))));
  }
};
struct W4 : Codes {
  __m512 at(const uint8_t* panel, int64_t i) const {
    const __m128i pairs =
        _mm_loadu_si128(reinterpret_cast<const __m128i*>(panel + (i >> 1) * kPanelRows));
    const __m128i half = _mm_srl_epi16(pairs, _mm_cvtsi32_si128(static_cast<int>(i & 1) * 4));
    return value(_mm512_cvtepu8_epi32(_mm_and_si128(half, _mm_set1_epi8(15))));
  }
};

// The scales and zero points of 16 rows for one group.
void load_codes(const GemmWeight& w, int64_t row, int64_t group, Codes& out) {
  alignas(64) uint32_t scales[kPanelRows] = {};
  alignas(64) int32_t zeros[kPanelRows] = {};
  for (int64_t j = 0; j < kPanelRows && row + j < w.traits.n; ++j) {
    const int64_t at = (row + j) * w.scale_stride + group;
    scales[j] = w.scale_type == ScaleType::f32 ? static_cast<const uint32_t*>(w.scales)[at]
                                               : static_cast<const uint16_t*>(w.scales)[at];
    zeros[j] = w.zeros == nullptr ? 1 << (w.traits.bits - 1) : w.zeros[at];
  }
  const __m512i raw = _mm512_load_si512(scales);
  out.zero = _mm512_load_si512(zeros);
  if (w.scale_type == ScaleType::f16) {
    out.scale = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(raw));
  } else {
    const int shift = w.scale_type == ScaleType::bf16 ? 16 : 0;
    out.scale = _mm512_castsi512_ps(_mm512_slli_epi32(raw, static_cast<unsigned>(shift)));
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

// One tile: `kRows` rows of x and `kPanels` panels, over the inputs [begin, end).
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

  __mmask16 mask(int64_t panel) const {
    const int64_t left = w.traits.n - n - panel * kPanelRows;
    return left >= kPanelRows ? 0xFFFF : static_cast<__mmask16>((1u << left) - 1);
  }
};

template <class Load, int kRows, int kPanels>
void run_tile(const Tile& t) {
  const int64_t bytes = panel_bytes(t.w.traits);
  __m512 sum[kRows][kPanels];
  for (int r = 0; r < kRows; ++r) {
    for (int p = 0; p < kPanels; ++p) {
      const float* y = t.y + r * t.y_stride + t.n + p * kPanelRows;
      sum[r][p] = t.begin == 0 ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(t.mask(p), y);
    }
  }
  Load load[kPanels];
  for (int64_t i = t.begin; i < t.end;) {
    const int64_t group = i / t.w.traits.group, edge = (group + 1) * t.w.traits.group;
    const int64_t stop = edge < t.end ? edge : t.end;
    for (int p = 0; p < kPanels; ++p) prepare(t.w, t.n + p * kPanelRows, group, load[p]);
    for (; i < stop; ++i) {
      __m512 value[kPanels];
      for (int p = 0; p < kPanels; ++p) value[p] = load[p].at(t.panels + p * bytes, i);
      for (int r = 0; r < kRows; ++r) {
        const __m512 x = _mm512_set1_ps(t.x[r * t.x_stride + i]);
        for (int p = 0; p < kPanels; ++p) sum[r][p] = _mm512_fmadd_ps(x, value[p], sum[r][p]);
      }
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int p = 0; p < kPanels; ++p) {
      const int64_t at = t.n + p * kPanelRows;
      __m512 out = sum[r][p];
      if (t.end == t.w.traits.k && t.bias != nullptr)
        out = _mm512_add_ps(out, _mm512_maskz_loadu_ps(t.mask(p), t.bias + at));
      _mm512_mask_storeu_ps(t.y + r * t.y_stride + at, t.mask(p), out);
    }
  }
}

template <class Load, int kPanels>
void run_rows(Tile t, int64_t m) {
  const auto advance = [&](int64_t rows) {
    t.x += rows * t.x_stride;
    t.y += rows * t.y_stride;
  };
  for (; m >= Load::kTileRows; m -= Load::kTileRows, advance(Load::kTileRows))
    run_tile<Load, Load::kTileRows, kPanels>(t);
  for (; m >= 2; m -= 2, advance(2)) run_tile<Load, 2, kPanels>(t);
  if (m == 1) run_tile<Load, 1, kPanels>(t);
}

// Outputs [n_begin, n_end) from their panels.
template <class Load>
void run_panels(const GemmWeight& w, const uint8_t* panels, const GemmInput& in, int64_t n_begin,
                int64_t n_end, const GemmOutput& out) {
  const int64_t k = w.traits.k, bytes = panel_bytes(w.traits);
  const int64_t step = in.m <= Load::kTileRows ? k : kInputBlock;
  for (int64_t begin = 0; begin < k; begin += step) {
    const int64_t end = begin + step < k ? begin + step : k;
    Tile t{w, panels, in.x, in.x_stride, out.y, out.y_stride, out.bias, n_begin, begin, end};
    for (; t.n + 3 * kPanelRows < n_end; t.n += 4 * kPanelRows, t.panels += 4 * bytes)
      run_rows<Load, 4>(t, in.m);
    for (; t.n < n_end; t.n += kPanelRows, t.panels += bytes) run_rows<Load, 1>(t, in.m);
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
  out.isa = KernelIsa::avx512;
  out.accepts = accepts;
  out.run = run<Load>;
  out.packed_bytes = panels_bytes;
  out.pack = pack_panels;
  out.unpack = unpack_panels;
  return out;
}

}  // namespace

extern const Kernel gemm_f32_avx512, gemm_f16_avx512, gemm_bf16_avx512, gemm_w8_avx512,
    gemm_w4_avx512, gemm_narrow_f32_avx512;
constinit const Kernel gemm_f32_avx512 = kernel<F32>("gemm_f32_avx512", is_f32);
constinit const Kernel gemm_f16_avx512 = kernel<F16>("gemm_f16_avx512", is_f16);
constinit const Kernel gemm_bf16_avx512 = kernel<Bf16>("gemm_bf16_avx512", is_bf16);
constinit const Kernel gemm_w8_avx512 = kernel<W8>("gemm_w8_avx512", is_w8);
constinit const Kernel gemm_w4_avx512 = kernel<W4>("gemm_w4_avx512", is_w4);
constinit const Kernel gemm_narrow_f32_avx512 = {.name = "gemm_narrow_f32_avx512",
                                                 .isa = KernelIsa::avx512,
                                                 .accepts = is_narrow,
                                                 .run = run_narrow,
                                                 .scratch_bytes = narrow_scratch};

}  // namespace nibble
