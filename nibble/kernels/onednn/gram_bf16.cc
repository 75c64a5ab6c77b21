#include "nibble/kernels/onednn/gram_bf16.h"

#include <array>
#include <dnnl.hpp>
#include <map>

#include "nibble/core/cpu.h"
#include "nibble/kernels/onednn/one_thread.h"

namespace nibble {
namespace {

using Key = std::array<int64_t, 6>;
using dnnl::memory;

const dnnl::engine& engine() {
  static const dnnl::engine kEngine(dnnl::engine::kind::cpu, 0);
  return kEngine;
}

struct Product {
  memory::desc a, b, c;
  dnnl::matmul run;
};

Product make(const Key& key) {
  const auto [m, n, rows, lda, ldb, ldc] = key;
  const auto bf16 = memory::data_type::bf16;
  const memory::dims a_strides{1, lda}, b_strides{ldb, 1}, c_strides{ldc, 1};
  const memory::desc a({m, rows}, bf16, a_strides), b({rows, n}, bf16, b_strides),
      c({m, n}, memory::data_type::f32, c_strides);
  dnnl::post_ops adds;
  adds.append_sum(1.0f);
  dnnl::primitive_attr attributes;
  attributes.set_post_ops(adds);
  const dnnl::matmul::primitive_desc described({a, b, c}, attributes, engine());
  return {a, b, c, dnnl::matmul(described)};
}

}  // namespace

bool has_bf16_products() { return (cpu().bits & kAvx512Bf16) != 0; }

void onednn_gram_bf16(int64_t m, int64_t n, int64_t rows, const uint16_t* a, int64_t lda,
                      const uint16_t* b, int64_t ldb, float* c, int64_t ldc) {
  if (m == 0 || n == 0 || rows == 0) return;
  // Few shapes come again and again; making one costs as much as a small product.
  static thread_local std::map<Key, Product> made;
  static thread_local dnnl::stream stream(engine());
  const OneThread one;
  if (made.size() > 64) made.clear();
  const Key key{m, n, rows, lda, ldb, ldc};
  auto found = made.find(key);
  if (found == made.end()) found = made.emplace(key, make(key)).first;
  const Product& p = found->second;
  memory of_a(p.a, engine(), const_cast<uint16_t*>(a)),
      of_b(p.b, engine(), const_cast<uint16_t*>(b)), of_c(p.c, engine(), c);
  p.run.execute(stream, {{DNNL_ARG_SRC, of_a}, {DNNL_ARG_WEIGHTS, of_b}, {DNNL_ARG_DST, of_c}});
  stream.wait();
}

}  // namespace nibble
