// Codes that name values of a table, and 8-bit floats, times f32 rows, over panels of 16 outputs.
// Each lane is one output: its fmas run over the inputs in order, as the reference has them.
#include <immintrin.h>

#include "nibble/kernels/gather_scales.h"
#include "nibble/kernels/table_panels.h"

namespace nibble {
namespace {

constexpr int kTileRows = 4;
// Inputs that stay in the second-level cache for a slice of outputs while all rows pass.
constexpr int64_t kInputBlock = 1024;

// How 16 weights of each type become f32, before their scales. The table lies in one register.
struct Table {
  __m512 values;
  explicit Table(const GemmWeight& w) : values(_mm512_loadu_ps(w.table)) {}
  __m512 at(const uint8_t* panel, int64_t i) const {
    const __m128i pairs =
        _mm_loadu_si128(reinterpret_cast<const __m128i*>(panel + (i >> 1) * kTablePanelRows));
    const __m128i count = _mm_cvtsi32_si128(static_cast<int>(i & 1) * 4);
    // Only the four low bits of an index count.
    return _mm512_permutexvar_ps(_mm512_srl_epi32(_mm512_cvtepu8_epi32(pairs), count), values);
  }
};
__m256i load_words(const uint8_t* panel, int64_t i) {
  return _mm256_cvtepu8_epi16(
      _mm_loadu_si128(reinterpret_cast<const __m128i*>(panel + i * kTablePanelRows)));
}
// The bits of an f16 that is 2^-8 times the value: both have their subnormals in the same place.
struct E4m3 {
  explicit E4m3(const GemmWeight&) {}
  __m512 at(const uint8_t* panel, int64_t i) const {
    const __m256i code = load_words(panel, i);
    const __m256i sign = _mm256_slli_epi16(_mm256_and_si256(code, _mm256_set1_epi16(0x80)), 8);
    const __m256i rest = _mm256_slli_epi16(_mm256_and_si256(code, _mm256_set1_epi16(0x7F)), 7);
    return _mm512_mul_ps(_mm512_cvtph_ps(_mm256_or_si256(sign, rest)), _mm512_set1_ps(256));
  }
};
// The upper byte of an f16.
struct E5m2 {
  explicit E5m2(const GemmWeight&) {}
  __m512 at(const uint8_t* panel, int64_t i) const {
    return _mm512_cvtph_ps(_mm256_slli_epi16(load_words(panel, i), 8));
  }
};

__m512 load_scales(const GemmWeight& w, int64_t row, int64_t group) {
  GatheredScales s;
  gather_scales(w, row, group, s);
  if (w.scale_type == ScaleType::f16 || w.scale_type == ScaleType::bf16) {
    const __m256i narrow = _mm256_load_si256(reinterpret_cast<const __m256i*>(s.narrow));
    if (w.scale_type == ScaleType::f16) return _mm512_cvtph_ps(narrow);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(narrow), 16));
  }
  const __m512 wide = _mm512_load_ps(s.wide);
  if (w.scale_type == ScaleType::f32) return wide;
  if (w.super_scales == nullptr) return _mm512_div_ps(wide, _mm512_set1_ps(w.scale_divisor));
  const __m512 product = _mm512_mul_ps(wide, _mm512_load_ps(s.super));
  return _mm512_add_ps(product, _mm512_set1_ps(w.super_offset));
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
    const int64_t left = w.traits.n - n - panel * kTablePanelRows;
    return left >= kTablePanelRows ? 0xFFFF : static_cast<__mmask16>((1u << left) - 1);
  }
};

template <class Values, int kRows, int kPanels>
void run_tile(const Tile& t) {
  const int64_t bytes = table_panel_bytes(t.w.traits);
  const Values values(t.w);
  __m512 sum[kRows][kPanels];
  for (int r = 0; r < kRows; ++r) {
    for (int p = 0; p < kPanels; ++p) {
      const float* y = t.y + r * t.y_stride + t.n + p * kTablePanelRows;
      sum[r][p] = t.begin == 0 ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(t.mask(p), y);
    }
  }
  for (int64_t i = t.begin; i < t.end;) {
    const int64_t group = i / t.w.traits.group, edge = (group + 1) * t.w.traits.group;
    const int64_t stop = edge < t.end ? edge : t.end;
    __m512 scale[kPanels];
    for (int p = 0; p < kPanels; ++p) scale[p] = load_scales(t.w, t.n + p * kTablePanelRows, group);
    for (; i < stop; ++i) {
      __m512 value[kPanels];
      for (int p = 0; p < kPanels; ++p)
        value[p] = _mm512_mul_ps(values.at(t.panels + p * bytes, i), scale[p]);
      for (int r = 0; r < kRows; ++r) {
        const __m512 x = _mm512_set1_ps(t.x[r * t.x_stride + i]);
        for (int p = 0; p < kPanels; ++p) sum[r][p] = _mm512_fmadd_ps(x, value[p], sum[r][p]);
      }
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int p = 0; p < kPanels; ++p) {
      const int64_t at = t.n + p * kTablePanelRows;
      __m512 out = sum[r][p];
      if (t.end == t.w.traits.k && t.bias != nullptr)
        out = _mm512_add_ps(out, _mm512_maskz_loadu_ps(t.mask(p), t.bias + at));
      _mm512_mask_storeu_ps(t.y + r * t.y_stride + at, t.mask(p), out);
    }
  }
}

template <class Values, int kPanels>
void run_rows(Tile t, int64_t m) {
  const auto advance = [&](int64_t rows) {
    t.x += rows * t.x_stride;
    t.y += rows * t.y_stride;
  };
  for (; m >= kTileRows; m -= kTileRows, advance(kTileRows))
    run_tile<Values, kTileRows, kPanels>(t);
  for (; m >= 1; --m, advance(1)) run_tile<Values, 1, kPanels>(t);
}

template <class Values>
void run(const GemmWeight& w, const GemmInput& in, int64_t n_begin, int64_t n_end,
         const GemmOutput& out, void*) {
  const int64_t k = w.traits.k, bytes = table_panel_bytes(w.traits);
  const auto* first = static_cast<const uint8_t*>(w.data) + n_begin / kTablePanelRows * bytes;
  const int64_t step = in.m <= kTileRows ? k : kInputBlock;
  for (int64_t begin = 0; begin < k; begin += step) {
    const int64_t end = begin + step < k ? begin + step : k;
    Tile t{w, first, in.x, in.x_stride, out.y, out.y_stride, out.bias, n_begin, begin, end};
    for (; t.n + 3 * kTablePanelRows < n_end; t.n += 4 * kTablePanelRows, t.panels += 4 * bytes)
      run_rows<Values, 4>(t, in.m);
    for (; t.n < n_end; t.n += kTablePanelRows, t.panels += bytes) run_rows<Values, 1>(t, in.m);
  }
}

bool is_table(const GemmTraits& t) { return t.weight == WeightType::table; }
bool is_e4m3(const GemmTraits& t) { return t.weight == WeightType::e4m3; }
bool is_e5m2(const GemmTraits& t) { return t.weight == WeightType::e5m2; }

template <class Values>
constexpr Kernel kernel(const char* name, bool (*accepts)(const GemmTraits&)) {
  Kernel out;
  out.name = name;
  out.isa = KernelIsa::avx512;
  out.accepts = accepts;
  out.run = run<Values>;
  out.packed_bytes = table_panels_bytes;
  out.pack = pack_table_panels;
  out.unpack = unpack_table_panels;
  return out;
}

}  // namespace

extern const Kernel gemm_table_avx512, gemm_e4m3_avx512, gemm_e5m2_avx512;
constinit const Kernel gemm_table_avx512 = kernel<Table>("gemm_table_avx512", is_table);
constinit const Kernel gemm_e4m3_avx512 = kernel<E4m3>("gemm_e4m3_avx512", is_e4m3);
constinit const Kernel gemm_e5m2_avx512 = kernel<E5m2>("gemm_e5m2_avx512", is_e5m2);

}  // namespace nibble
