// How quantized weights lie in safetensors, and how config.json says so: the one door to the
// layouts of list.inc.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/format/weight_layout.h"

namespace nibble {

/// "layers.0.attn.wq" of "layers.0.attn.wq.weight"; the name itself where it has no such end.
std::string module_of(std::string_view tensor_name);

/// Whether some layout holds weights of a scheme: to_tensors() and the others can be asked.
bool has_layout(const QuantScheme& scheme);

/// Throws Error{unsupported}, with the schemes that fit, where no layout of others has a way to say
/// the scheme.
void require_expressible(const QuantScheme& scheme);

/// The names of the layouts that nibble writes, "compressed-tensors" first.
std::vector<std::string_view> written_layouts();
/// One of them by its name; null for other names.
const WeightLayout* find_written_layout(std::string_view name);
/// The first that can say all of a model; null where none can.
const WeightLayout* layout_that_says(const SchemeMap& schemes);

/// What a layout is asked to hold: a weight [n, k] of a module.
struct LaidWeight {
  std::string module;
  QuantScheme scheme;
  Shape shape;
  bool conv1d = false;  ///< plain files hold it as [k, n]
};
bool is_held(const WeightLayout& layout, const LaidWeight& weight);
/// Error{unsupported} naming the first module that the layout cannot hold, and what it does hold.
void require_held(const WeightLayout& layout, std::span<const LaidWeight> weights);

/// The tensors of one weight in a layout, which must hold it; null: the first that holds its
/// scheme.
std::vector<NamedTensor> to_tensors(std::string_view tensor_name, const QuantizedTensor& q,
                                    const WeightLayout* layout = nullptr);

/// Names, types and shapes of what to_tensors() gives, known before anything is quantized.
/// `scale_dtype` is what was asked for: stored_scale_dtype() has the last word.
std::vector<TensorInfo> tensor_layout(std::string_view tensor_name, const QuantScheme& scheme,
                                      const Shape& shape, DType scale_dtype,
                                      const WeightLayout* layout = nullptr);

/// The reverse, out of the layout in use or the one that holds the scheme. Error{corrupt} names the
/// tensor that is missing or has another shape.
QuantizedTensor from_tensors(const TensorSource& source, std::string_view tensor_name,
                             const QuantScheme& scheme, const LayoutInUse& use = {});

/// The names of the tensors that make up one weight in `source`, whether they are there or not.
std::vector<std::string> stored_names(const TensorSource& source, std::string_view tensor_name,
                                      const QuantScheme& scheme, const LayoutInUse& use = {});
/// Error{corrupt} naming one of them that is missing, and what asks for it.
void require_stored(const TensorSource& source, std::string_view tensor_name,
                    const QuantScheme& scheme, const LayoutInUse& use = {});

/// `quantization_config` of a layout that can say all of `schemes`, written as the value of a key
/// that was just begun; null: one that only nibble reads ("quant_method": "nibble"), so that other
/// loaders refuse the model instead of misreading it. Everything in `plain` stands as ignored.
void write_quantization_config(const SchemeMap& schemes, const std::vector<std::string>& plain,
                               const WeightLayout* layout, JsonWriter& out);

/// The reverse; empty where config.json has none. `modules` are the matrices of the model;
/// `tensors` says which of them are packed where the config does not. Error{unsupported} names the
/// key of what nibble does not do or does not know, Error{corrupt} a target that is no matrix of
/// the model.
StoredModules read_quantization_config(const JsonFields& config,
                                       std::span<const MatrixModule> modules,
                                       const TensorSource& tensors);

}  // namespace nibble
