#include "nibble/kernels/train.h"

#include "nibble/kernels/dispatch.h"
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

constexpr OpsRow<TrainOps<float>> kTrainRows[] = {
#if NIBBLE_BUILT_AVX512
    {KernelIsa::avx512, with_onednn<avx512_train_ops>},
#endif
#if NIBBLE_BUILT_AVX2
    {KernelIsa::avx2, with_onednn<avx2_train_ops>},
#endif
    {KernelIsa::ref, ref_train_ops_f32},
};

}  // namespace

const TrainOps<float>& best_train_ops() { return best_of(kTrainRows); }

}  // namespace nibble
