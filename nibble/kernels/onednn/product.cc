#include "nibble/kernels/onednn/product.h"

#include <dnnl.h>

#include <new>

#include "nibble/core/cpu.h"
#include "nibble/core/error.h"
#include "nibble/kernels/onednn/one_thread.h"
#include "nibble/kernels/onednn/room.h"

namespace nibble {
namespace {

constexpr int64_t kCachedElements = int64_t{1} << 15;
constexpr int64_t kWorthACall = int64_t{1} << 21;  // multiplications

}  // namespace

bool onednn_is_better(const TrainProduct<float>& p) {
  return p.k * p.n > kCachedElements && p.m * p.k * p.n > kWorthACall;
}

void onednn_product(const TrainProduct<float>& p) {
  const bool transposed = p.a_column != 1;
  NIBBLE_CHECK(!transposed || p.a_row == 1);
  // Where there is one row, the step to the next means nothing, and may be less than oneDNN asks.
  const auto step = [](int64_t rows, int64_t given, int64_t columns) {
    return rows == 1 ? columns : given;
  };
  const int64_t lda = transposed ? step(p.k, p.a_column, p.m) : step(p.m, p.a_row, p.k);
  static const bool there_was_room = (require_room_for_onednn(), true);
  static_cast<void>(there_was_room);
  const OneThread one;
  const dnnl_status_t status =
      dnnl_sgemm(transposed ? 'T' : 'N', 'N', p.m, p.n, p.k, 1.0f, p.a, lda, p.b,
                 step(p.k, p.ldb, p.n), p.accumulate ? 1.0f : 0.0f, p.c, step(p.m, p.ldc, p.n));
  if (status == dnnl_out_of_memory) throw std::bad_alloc();
  NIBBLE_CHECK(status == dnnl_success);
}

void cap_onednn() {
  const uint32_t bits = cpu().bits;
  if (bits == cpu().detected) return;
  const dnnl_cpu_isa_t isa = (bits & kAvx512Vnni) != 0 ? dnnl_cpu_isa_avx512_core_bf16
                             : (bits & kAvx512) != 0   ? dnnl_cpu_isa_avx512_core
                             : (bits & kAvxVnni) != 0  ? dnnl_cpu_isa_avx2_vnni
                             : (bits & kAvx2) != 0     ? dnnl_cpu_isa_avx2
                                                       : dnnl_cpu_isa_sse41;
  dnnl_set_max_cpu_isa(isa);
}

}  // namespace nibble
