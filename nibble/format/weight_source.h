// Where the weights of a model come from: files of any format, memory, another model changed. They
// have the names of the parameter table.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "nibble/core/tensor_source.h"
#include "nibble/quant/weight.h"

namespace nibble {

/// How a parameter is stored: in a scheme, or plain in `dtype`. Of a scheme that is the type of the
/// scales where it is known without reading them, else f32.
struct StoredAs {
  std::optional<QuantScheme> scheme;
  DType dtype = DType::f32;
  std::string_view type = {};  ///< what its file calls that, where it has words of its own: "Q4_K"
};

class WeightSource {
 public:
  virtual ~WeightSource() = default;
  /// A parameter as the parameter table has it, packed where it is stored packed; mapped where that
  /// is possible. Errors name the tensor; Error{not_found} for one that is absent.
  virtual Weight get(std::string_view name) const = 0;
  /// How it is stored, without reading it.
  virtual StoredAs stored_as(std::string_view name) const = 0;
  /// Says that the bytes will not be needed again soon (a mapped file drops its pages).
  virtual void release(std::string_view /*name*/) const {}
  /// Bytes on disk of all the files behind it; for memory those that it would take, or where that
  /// is not known the bytes of the weights.
  virtual int64_t file_bytes() const = 0;
};

/// Weights in memory by name.
using WeightMap = std::map<std::string, Weight, std::less<>>;
std::shared_ptr<const WeightSource> weights_in_memory(WeightMap weights,
                                                      std::optional<int64_t> file_bytes = {});
std::shared_ptr<const WeightSource> weights_in_memory(const TensorMap& weights);

}  // namespace nibble
