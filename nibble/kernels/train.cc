#include "nibble/kernels/train.h"

#include "nibble/core/cpu.h"

namespace nibble {
namespace {

struct Row {
  uint32_t needs;
  const TrainOps<float>& (*ops)();
};
// In order of preference; the first whose bits are all present wins.
constexpr Row kRows[] = {
#if defined(__x86_64__)
    {kAvx2 | kAvx512, avx512_train_ops},
    {kAvx2, avx2_train_ops},
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
