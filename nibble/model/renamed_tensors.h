// Tensors under the names that a text model by itself has, and experts one by one, whatever the
// file calls them.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/core/tensor_source.h"

namespace nibble {

/// A tensor that is another one, or a part of it.
struct TensorAlias {
  std::string name, stored;
  /// Of a stored tensor [n, rows, ...]: of the one at `index` (-1: all) the rows first, first +
  /// step, ..., as many as shape[0] says.
  int64_t index = -1, first = 0, step = 1;
  Shape shape = {};         ///< of the alias
  bool transposed = false;  ///< it is stored as [n, ..., rows]
};

/// Text models in files of models of several parts: "model.language_model." and
/// "language_model.model." before every name become "model.". Experts that lie in one tensor of
/// three dimensions ("experts.gate_up_proj", [experts, 2 width, inputs], gate before up, and
/// "experts.down_proj") become a matrix each, "experts.0.gate_proj.weight". gpt-oss, whose experts
/// have biases stacked beside them ("experts.gate_up_proj_bias"), stores them as [experts, inputs,
/// 2 width], with the rows of gate and up in turn; or in MXFP4, "experts.gate_up_proj_blocks" and
/// "_scales", which become "experts.0.gate_proj.weight_packed" and "weight_scale". Everything else
/// has the name that it has.
std::vector<TensorAlias> text_aliases(const TensorSource& tensors);

/// The same tensors by these names. Gives `tensors` back where every alias is what it stands for.
std::unique_ptr<TensorSource> renamed_tensors(std::unique_ptr<TensorSource> tensors);

}  // namespace nibble
