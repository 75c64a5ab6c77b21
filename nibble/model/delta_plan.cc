// Where the parts of a delta layer's projections stand.
#include "nibble/model/layer_plan.h"

namespace nibble {

// By key heads: a query, a key, the values and the gates of the heads that share them.
int64_t DeltaPlan::q_column(int64_t key_head) const {
  return shape.by_head ? key_head * (2 * shape.key_dim + 2 * shape.shared() * shape.value_dim)
                       : key_head * shape.key_dim;
}
int64_t DeltaPlan::k_column(int64_t key_head) const {
  return shape.by_head ? q_column(key_head) + shape.key_dim
                       : shape.keys() + key_head * shape.key_dim;
}
int64_t DeltaPlan::v_column(int64_t value_head) const {
  const int64_t of = value_head / shape.shared(), own = value_head % shape.shared();
  return shape.by_head ? k_column(of) + shape.key_dim + own * shape.value_dim
                       : 2 * shape.keys() + value_head * shape.value_dim;
}
int64_t DeltaPlan::z_column(int64_t value_head) const {
  return shape.by_head ? v_column(value_head) + shape.shared() * shape.value_dim
                       : value_head * shape.value_dim;
}
int64_t DeltaPlan::b_column(int64_t value_head) const {
  const int64_t shared = shape.shared();
  return shape.by_head ? value_head / shared * 2 * shared + value_head % shared : value_head;
}
int64_t DeltaPlan::a_column(int64_t value_head) const {
  return shape.by_head ? b_column(value_head) + shape.shared() : value_head;
}

}  // namespace nibble
