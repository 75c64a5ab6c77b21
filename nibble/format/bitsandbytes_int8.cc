#include "nibble/format/bitsandbytes_int8.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <set>
#include <utility>

#include "nibble/core/error.h"
#include "nibble/format/layout_parts.h"
#include "nibble/quant/static_activations.h"

namespace nibble::bitsandbytes {
namespace {

constexpr float kLargestCode = 127;

std::string largest_name(const std::string& x) { return x + ".SCB"; }
std::string order_of_rows_name(const std::string& x) { return x + ".weight_format"; }

Tensor read_row_scales(const TensorSource& source, const std::string& name, int64_t n) {
  const Tensor largest = require_tensor(source, name, DType::f32, Shape{n});
  Tensor out(DType::f32, Shape{n, 1});
  const auto from = largest.data<float>();
  const auto to = out.mutable_data<float>();
  for (size_t r = 0; r < to.size(); ++r) to[r] = from[r] / kLargestCode;
  return out;
}

// The other formats are orders in which old graphics processors read a weight.
void require_rows(const TensorSource& source, const std::string& name) {
  if (!source.contains(name)) return;
  const Tensor t = require_tensor(source, name);
  if (t.dtype() != DType::u8 || t.elements() != 1) {
    throw corrupt(
        fmt::format("expected one u8, found {} {}", to_string(t.dtype()), t.shape().to_string()))
        .at("tensor " + in_quotes(name));
  }
  if (const int format = t.data<uint8_t>()[0]; format != 0) {
    throw unsupported(fmt::format("is {}: expected 0, rows behind each other (save the model again "
                                  "with a bitsandbytes of today)",
                                  format))
        .at("tensor " + in_quotes(name));
  }
}

float threshold_of(const JsonFields& f) {
  const std::string key = "quantization_config.llm_int8_threshold";
  const double said = f.number_or(key, kOutlierThreshold);
  if (said >= 0 && said <= double{std::numeric_limits<float>::max()})
    return static_cast<float>(said);
  throw corrupt(fmt::format("is {}, expected a number from 0 on", said))
      .at("key " + in_quotes(key));
}

void require_rounded_weights(const JsonFields& f) {
  const std::string key = "quantization_config.llm_int8_has_fp16_weight";
  if (!f.boolean_or(key, false)) return;
  throw unsupported(
      "weights of 16 bits are to be rounded when they are used, which nibble does not do")
      .at("key " + in_quotes(key));
}

}  // namespace

StoredModules read_int8_config(const JsonFields& f, std::span<const MatrixModule> modules,
                               const TensorSource& tensors) {
  require_rounded_weights(f);
  const float threshold = threshold_of(f);
  QuantScheme scheme;
  scheme.type = NumberType::int8;
  scheme.activations = threshold > 0 ? ActivationType::a8_outlier : ActivationType::a8;
  std::set<std::string_view> bytes;
  for (const TensorInfo& info : tensors.list()) {
    if (info.dtype == DType::i8) bytes.insert(info.name);
  }
  StoredModules out;
  for (const MatrixModule& m : modules) {
    if (bytes.contains(m.name + ".weight") || tensors.contains(largest_name(m.name)))
      out.schemes.emplace(m.name, scheme);
  }
  if (threshold > 0) out.layout.outlier_threshold = threshold;
  return out;
}

QuantizedTensor read_int8(const TensorSource& source, const std::string& x,
                          const QuantScheme& scheme, const LayoutInUse& use) {
  const Tensor codes = require_matrix(source, x + ".weight", DType::i8);
  require_rows(source, order_of_rows_name(x));
  QuantizedTensor q;
  q.scheme = scheme;
  q.shape = codes.shape();
  q.codes = with_row_bytes(with_signs_flipped(codes), packed_row_bytes(q.k(), 8));
  q.scales = read_row_scales(source, largest_name(x), q.n());
  if (use.outlier_threshold)
    q.activation = Tensor::from<float>(Shape{1}, std::span(&*use.outlier_threshold, 1));
  return validated(std::move(q), x + ".weight");
}

std::vector<std::string> int8_names(const TensorSource& source, const std::string& x) {
  std::vector<std::string> out{x + ".weight", largest_name(x)};
  if (std::string format = order_of_rows_name(x); source.contains(format))
    out.push_back(std::move(format));
  return out;
}

}  // namespace nibble::bitsandbytes
