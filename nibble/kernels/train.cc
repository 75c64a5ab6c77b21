#include "nibble/kernels/train.h"

#include "nibble/core/cpu.h"
#include "nibble/kernels/onednn/product.h"

namespace nibble {
namespace {

#if NIBBLE_BUILT_AVX2
// Our own kernels for small products, oneDNN for large ones.
template <const TrainOps<float>& (*own)()>
void product(const TrainProduct<float>& p) {
  onednn_is_better(p) ? onednn_product(p) : own().product(p);
}

template <const TrainOps<float>& (*own)()>
const TrainOps<float>& with_onednn() {
  static const TrainOps<float> kOps = [] {
    TrainOps<float> ops = own();
    ops.product = product<own>;
    return ops;
  }();
  return kOps;
}
#endif

struct Row {
  uint32_t needs;
  const TrainOps<float>& (*ops)();
};
// In order of preference; the first whose bits are all present wins.
constexpr Row kRows[] = {
#if NIBBLE_BUILT_AVX512
    {kAvx2 | kAvx512, with_onednn<avx512_train_ops>},
#endif
#if NIBBLE_BUILT_AVX2
    {kAvx2, with_onednn<avx2_train_ops>},
#endif
    {0, ref_train_ops_f32},
};

}  // namespace

const TrainOps<float>& best_train_ops() {
  for (const Row& r : kRows) {
    if ((cpu().bits & r.needs) == r.needs) return r.ops();
  }
  return ref_train_ops_f32();
}

}  // namespace nibble
