#include "nibble/kernels/onednn/product_bf16.h"

#include <algorithm>
#include <array>
#include <dnnl.hpp>
#include <map>
#include <new>

#include "nibble/core/cpu.h"
#include "nibble/kernels/onednn/one_thread.h"

namespace nibble {
namespace {

using dnnl::memory;

const dnnl::engine& engine() {
  static const dnnl::engine kEngine(dnnl::engine::kind::cpu, 0);
  return kEngine;
}

// What a primitive is made for: all of a Bf16Product but the pointers.
using Key = std::array<int64_t, 9>;

Key key_of(const Bf16Product& p) {
  return {p.m, p.n, p.k, p.a_row, p.a_column, p.b_row, p.b_column, p.ldc, p.accumulate ? 1 : 0};
}

struct Primitive {
  memory::desc a, b, c;
  dnnl::matmul run;
};

Primitive make(const Bf16Product& p) {
  const auto bf16 = memory::data_type::bf16;
  const memory::desc a({p.m, p.k}, bf16, memory::dims{p.a_row, p.a_column});
  const memory::desc b = p.b_row == 0
                             ? memory::desc({p.k, p.n}, bf16, memory::format_tag::BA16a64b2a)
                             : memory::desc({p.k, p.n}, bf16, memory::dims{p.b_row, p.b_column});
  const memory::desc c({p.m, p.n}, memory::data_type::f32, memory::dims{p.ldc, 1});
  dnnl::primitive_attr attributes;
  if (p.accumulate) {
    dnnl::post_ops adds;
    adds.append_sum(1.0f);
    attributes.set_post_ops(adds);
  }
  const dnnl::matmul::primitive_desc described({a, b, c}, attributes, engine());
  return {a, b, c, dnnl::matmul(described)};
}

}  // namespace

bool has_bf16_products() { return (cpu().bits & kAvx512Bf16) != 0; }

namespace {

void run(const Bf16Product& p) {
  const OneThread one;
  // Few shapes come again and again; making one costs as much as a small product.
  static thread_local std::map<Key, Primitive> made;
  static thread_local dnnl::stream stream(engine());
  if (made.size() > 64) made.clear();
  const Key key = key_of(p);
  auto found = made.find(key);
  if (found == made.end()) found = made.emplace(key, make(p)).first;
  const Primitive& primitive = found->second;
  memory a(primitive.a, engine(), const_cast<uint16_t*>(p.a)),
      b(primitive.b, engine(), const_cast<uint16_t*>(p.b)), c(primitive.c, engine(), p.c);
  primitive.run.execute(stream, {{DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, b}, {DNNL_ARG_DST, c}});
  stream.wait();
}

}  // namespace

void onednn_product(const Bf16Product& p) {
  if (p.m == 0 || p.n == 0 || p.k == 0) return;
  try {
    run(p);
  } catch (const dnnl::error& e) {
    if (e.status == dnnl_out_of_memory) throw std::bad_alloc();
    throw;
  }
}

namespace {

// A slab holds kOutputSlice outputs as a packed b: [inputs / 32][16][outputs][2].
constexpr int64_t kPairs = 16, kInputs = 2 * kPairs;

int64_t slab_elements(int64_t k) { return (k + kInputs - 1) / kInputs * kInputs * kOutputSlice; }
// Where input i of output j of a slab is.
int64_t place(int64_t i, int64_t j) { return (i / 2 * kOutputSlice + j) * 2 + i % 2; }

int64_t packed_bytes(const GemmWeight& w) {
  const int64_t slabs = (w.traits.n + kOutputSlice - 1) / kOutputSlice;
  return slabs * slab_elements(w.traits.k) * int64_t{sizeof(uint16_t)};
}

void pack(const GemmWeight& w, void* packed, int64_t n_begin, int64_t n_end) {
  const int64_t k = w.traits.k, count = slab_elements(k);
  for (int64_t n = n_begin; n < n_end; n += kOutputSlice) {
    uint16_t* slab = static_cast<uint16_t*>(packed) + n / kOutputSlice * count;
    if (k % kInputs != 0 || n_end - n < kOutputSlice) std::fill_n(slab, count, uint16_t{0});
    const auto* rows = static_cast<const uint16_t*>(w.data) + n * k;
    // A few inputs of all outputs at a time, so that what is written stays in cache.
    for (int64_t from = 0; from < k; from += kInputs) {
      const int64_t to = std::min(from + kInputs, k);
      for (int64_t j = 0; j < std::min(kOutputSlice, n_end - n); ++j)
        for (int64_t i = from; i < to; ++i) slab[place(i, j)] = rows[j * k + i];
    }
  }
}

void unpack(const GemmWeight& w, int64_t n_begin, int64_t n_end, const GemmRows& out) {
  const int64_t k = w.traits.k, count = slab_elements(k);
  for (int64_t n = n_begin; n < n_end; ++n) {
    const auto* slab = static_cast<const uint16_t*>(w.data) + n / kOutputSlice * count;
    auto* row = reinterpret_cast<uint16_t*>(static_cast<std::byte*>(out.data) +
                                            (n - n_begin) * out.row_bytes);
    for (int64_t i = 0; i < k; ++i) row[i] = slab[place(i, n % kOutputSlice)];
  }
}

constexpr int64_t kRows = 96;  // whose sums are in scratch

// Bias, residual, and out: sums [m, n_end - n] of rows from `row` on.
void finish(const float* sums, int64_t row, int64_t m, int64_t n, int64_t n_end,
            const GemmOutput& out) {
  for (int64_t r = row; r < row + m; ++r) {
    float* const y = out.y + r * out.y_stride;
    for (int64_t j = n; j < n_end; ++j) {
      float v = *sums++;
      if (out.bias != nullptr) v += out.bias[j];
      if (out.residual != nullptr) v += out.residual[r * out.y_stride + j];
      y[j] = v;
    }
  }
}

void run_gemm(const GemmWeight& w, const GemmInput& in, int64_t n_begin, int64_t n_end,
              const GemmOutput& out, void* scratch) {
  const int64_t k = w.traits.k, count = slab_elements(k);
  auto* const sums = static_cast<float*>(scratch);
  for (int64_t n = n_begin; n < n_end; n += kOutputSlice) {
    const auto* slab = static_cast<const uint16_t*>(w.data) + n / kOutputSlice * count;
    const int64_t end = std::min(n + kOutputSlice, n_end);
    for (int64_t r = 0; r < in.m; r += kRows) {
      const int64_t m = std::min(kRows, in.m - r);
      onednn_product(
          Bf16Product{m, end - n, k, in.narrow + r * k, k, 1, slab, 0, 0, sums, end - n, false});
      finish(sums, r, m, n, end, out);
    }
  }
}

int64_t scratch_bytes(const GemmTraits& /*traits*/) {
  return kRows * kOutputSlice * int64_t{sizeof(float)};
}

constexpr Kernel kernel() {
  Kernel out;
  out.name = "gemm_bf16_onednn";
  out.isa = KernelIsa::avx512vnni;
  out.run = run_gemm;
  out.scratch_bytes = scratch_bytes;
  out.packed_bytes = packed_bytes;
  out.pack = pack;
  out.unpack = unpack;
  return out;
}
constexpr Kernel kGemm = kernel();

}  // namespace

const Kernel& gemm_bf16_onednn() { return kGemm; }

}  // namespace nibble
