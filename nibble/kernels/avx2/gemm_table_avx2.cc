// Codes that name values of a table, and 8-bit floats, times f32 rows, over panels of 16 outputs.
// Each lane is one output: its fmas run over the inputs in order, as the reference has them.
#include <immintrin.h>

#include "nibble/kernels/gather_scales.h"
#include "nibble/kernels/table_panels.h"

namespace nibble {
namespace {

constexpr int kTileRows = 3;
// Inputs that stay in the second-level cache for a slice of outputs while all rows pass.
constexpr int64_t kInputBlock = 1024;

__m128i load8(const uint8_t* bytes) {
  return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes));
}

// How 8 weights of each type become f32, before their scales; `half` is 0 or 1, the lower or upper
// 8 of the panel's 16. The table lies in two registers; bit 3 of a code chooses between them.
struct Table {
  __m256 low, high;
  explicit Table(const GemmWeight& w)
      : low(_mm256_loadu_ps(w.table)), high(_mm256_loadu_ps(w.table + 8)) {}
  __m256 at(const uint8_t* panel, int64_t i, int half) const {
    const __m256i pairs =
        _mm256_cvtepu8_epi32(load8(panel + (i >> 1) * kTablePanelRows + half * 8));
    const __m256i code = _mm256_srl_epi32(pairs, _mm_cvtsi32_si128(static_cast<int>(i & 1) * 4));
    return _mm256_blendv_ps(_mm256_permutevar8x32_ps(low, code),
                            _mm256_permutevar8x32_ps(high, code),
                            _mm256_castsi256_ps(_mm256_slli_epi32(code, 28)));
  }
};
__m128i load_words(const uint8_t* panel, int64_t i, int half) {
  return _mm_cvtepu8_epi16(load8(panel + i * kTablePanelRows + half * 8));
}
// The bits of an f16 that is 2^-8 times the value: both have their subnormals in the same place.
struct E4m3 {
  explicit E4m3(const GemmWeight&) {}
  __m256 at(const uint8_t* panel, int64_t i, int half) const {
    const __m128i code = load_words(panel, i, half);
    const __m128i sign = _mm_slli_epi16(_mm_and_si128(code, _mm_set1_epi16(0x80)), 8);
    const __m128i rest = _mm_slli_epi16(_mm_and_si128(code, _mm_set1_epi16(0x7F)), 7);
    return _mm256_mul_ps(_mm256_cvtph_ps(_mm_or_si128(sign, rest)), _mm256_set1_ps(256));
  }
};
// The upper byte of an f16.
struct E5m2 {
  explicit E5m2(const GemmWeight&) {}
  __m256 at(const uint8_t* panel, int64_t i, int half) const {
    return _mm256_cvtph_ps(_mm_slli_epi16(load_words(panel, i, half), 8));
  }
};

__m256 scales_of(const GemmWeight& w, const GatheredScales& s, int half) {
  if (w.scale_type == ScaleType::f16 || w.scale_type == ScaleType::bf16) {
    const __m128i narrow = _mm_load_si128(reinterpret_cast<const __m128i*>(s.narrow + half * 8));
    if (w.scale_type == ScaleType::f16) return _mm256_cvtph_ps(narrow);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(narrow), 16));
  }
  const __m256 wide = _mm256_load_ps(s.wide + half * 8);
  if (w.scale_type == ScaleType::f32) return wide;
  if (w.super_scales == nullptr) return _mm256_div_ps(wide, _mm256_set1_ps(w.scale_divisor));
  const __m256 product = _mm256_mul_ps(wide, _mm256_load_ps(s.super + half * 8));
  return _mm256_add_ps(product, _mm256_set1_ps(w.super_offset));
}

// One tile: `kRows` rows of x and one panel, over the inputs [begin, end).
struct Tile {
  const GemmWeight& w;
  const uint8_t* panel;
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
  alignas(32) float full[kTablePanelRows] = {};
  for (int64_t j = 0; j < count; ++j) full[j] = y[j];
  out[0] = _mm256_load_ps(full);
  out[1] = _mm256_load_ps(full + 8);
}

void store_outputs(float* y, int64_t count, const __m256 (&sum)[2]) {
  alignas(32) float full[kTablePanelRows];
  _mm256_store_ps(full, sum[0]);
  _mm256_store_ps(full + 8, sum[1]);
  for (int64_t j = 0; j < count; ++j) y[j] = full[j];
}

template <class Values, int kRows>
void run_tile(const Tile& t) {
  const Values values(t.w);
  __m256 sum[kRows][2];
  for (int r = 0; r < kRows; ++r)
    load_outputs(t.y + r * t.y_stride + t.n, t.begin == 0 ? 0 : t.count, sum[r]);
  for (int64_t i = t.begin; i < t.end;) {
    const int64_t group = i / t.w.traits.group, edge = (group + 1) * t.w.traits.group;
    const int64_t stop = edge < t.end ? edge : t.end;
    GatheredScales gathered;
    gather_scales(t.w, t.n, group, gathered);
    const __m256 scale[2] = {scales_of(t.w, gathered, 0), scales_of(t.w, gathered, 1)};
    for (; i < stop; ++i) {
      const __m256 low = _mm256_mul_ps(values.at(t.panel, i, 0), scale[0]);
      const __m256 high = _mm256_mul_ps(values.at(t.panel, i, 1), scale[1]);
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

template <class Values>
void run_rows(Tile t, int64_t m) {
  const auto advance = [&](int64_t rows) {
    t.x += rows * t.x_stride;
    t.y += rows * t.y_stride;
  };
  for (; m >= kTileRows; m -= kTileRows, advance(kTileRows)) run_tile<Values, kTileRows>(t);
  for (; m >= 1; --m, advance(1)) run_tile<Values, 1>(t);
}

template <class Values>
void run(const GemmWeight& w, const GemmInput& in, int64_t n_begin, int64_t n_end,
         const GemmOutput& out, void*) {
  const int64_t k = w.traits.k, bytes = table_panel_bytes(w.traits);
  const auto* first = static_cast<const uint8_t*>(w.data) + n_begin / kTablePanelRows * bytes;
  const int64_t step = in.m <= kTileRows ? k : kInputBlock;
  for (int64_t begin = 0; begin < k; begin += step) {
    const int64_t end = begin + step < k ? begin + step : k;
    for (int64_t n = n_begin; n < n_end; n += kTablePanelRows) {
      const int64_t count = n_end - n < kTablePanelRows ? n_end - n : kTablePanelRows;
      const uint8_t* panel = first + (n - n_begin) / kTablePanelRows * bytes;
      run_rows<Values>(
          {w, panel, in.x, in.x_stride, out.y, out.y_stride, out.bias, n, begin, end, count}, in.m);
    }
  }
}

bool is_table(const GemmTraits& t) { return t.weight == WeightType::table; }
bool is_e4m3(const GemmTraits& t) { return t.weight == WeightType::e4m3; }
bool is_e5m2(const GemmTraits& t) { return t.weight == WeightType::e5m2; }

template <class Values>
constexpr Kernel kernel(const char* name, bool (*accepts)(const GemmTraits&)) {
  Kernel out;
  out.name = name;
  out.isa = KernelIsa::avx2;
  out.accepts = accepts;
  out.run = run<Values>;
  out.packed_bytes = table_panels_bytes;
  out.pack = pack_table_panels;
  out.unpack = unpack_table_panels;
  return out;
}

}  // namespace

extern const Kernel gemm_table_avx2, gemm_e4m3_avx2, gemm_e5m2_avx2;
constinit const Kernel gemm_table_avx2 = kernel<Table>("gemm_table_avx2", is_table);
constinit const Kernel gemm_e4m3_avx2 = kernel<E4m3>("gemm_e4m3_avx2", is_e4m3);
constinit const Kernel gemm_e5m2_avx2 = kernel<E5m2>("gemm_e5m2_avx2", is_e5m2);

}  // namespace nibble
