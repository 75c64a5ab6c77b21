// A model with LoRA adapters on it.
#pragma once

#include <string>
#include <vector>

#include "nibble/format/peft_adapter.h"
#include "nibble/model/model.h"

namespace nibble {

struct AdapterChoice {
  std::string path;  ///< as read_peft_adapter() takes it
  double weight = 1;
};
/// "PATH" or "PATH=WEIGHT"; a path that exists is one, whatever is in it. Error{invalid_argument}
/// for a weight that is no finite number.
AdapterChoice parse_adapter(const std::string& text);
std::vector<AdapterChoice> parse_adapters(const std::vector<std::string>& texts);

/// `model` with each weight W that adapters change as W + sum over them of weight * scale * B A: W
/// stays as it is stored, packed or plain, and the change is beside it (Weight::added()). What an
/// adapter replaces is plain. A head that is the token embedding becomes a matrix of its own where
/// an adapter changes one of the two alone.
/// Error{corrupt} naming the tensor that the model has no place for, or whose shape does not fit;
/// Error{invalid_argument} for a weight that is not finite, or not 1 where the adapter replaces
/// parameters.
/// `changed`: where not null, the names of the parameters that are not the base's.
Model with_adapters(const Model& model, const std::vector<AdapterChoice>& adapters,
                    std::vector<std::string>* changed = nullptr);

/// The same with one that is in memory; errors call it by that name.
Model with_adapter(const Model& model, const PeftAdapter& adapter, const std::string& name);

/// The same with the weights that adapters change as floats, made as they are asked for: f32, said
/// to be of the type of the base's plain weights, or f16 where those are quantized.
Model merged_model(const Model& model, const std::vector<AdapterChoice>& adapters, int threads);

}  // namespace nibble
