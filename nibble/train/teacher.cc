#include "nibble/train/teacher.h"

namespace nibble {

Teacher::Teacher(const DecoderConfig& config, const WeightLoader& load, const TrainOps<float>& ops)
    : layout_(make_layout(config)), weights_(layout_.size), transposed_(layout_.transposed_size) {
  load_weights(layout_, load, weights_.data());
  transpose_weights(layout_, ops, weights_.data(), transposed_.data());
  view_ = view_of<float>(layout_, weights_.data(), transposed_.data());
}

TeacherPass::TeacherPass(const Teacher& teacher, const TrainOps<float>& ops)
    : teacher_(teacher),
      pass_(teacher.layout().config, teacher.layout().plans, ops),
      head_(teacher.layout().config, ops) {}

TeacherRows<float> TeacherPass::run(const Batch& batch, const Chunk& chunk, double share) {
  return {&head_, &teacher_.view().head, pass_.stream(teacher_.view(), batch, chunk),
          teacher_.layout().config.hidden_size, share};
}

}  // namespace nibble
