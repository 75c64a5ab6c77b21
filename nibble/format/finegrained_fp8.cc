// The fp8 layout of DeepSeek-V3, Qwen3-FP8, Ministral 3 and others, which transformers calls
// fine-grained FP8 (transformers 5.24 integrations/finegrained_fp8.py, read 2026-11;
// docs/formats/fp8.md): X.weight F8_E4M3 [n, k] and X.weight_scale_inv, which it is multiplied by:
// one number, or one for each block of rows and inputs. It is read, not written.
//
// A scheme has scales of one row and a group of inputs: those of a block are repeated over its
// rows, which changes no number.
#include <fmt/format.h>

#include <cstring>
#include <set>
#include <utility>

#include "nibble/core/checked.h"
#include "nibble/core/error.h"
#include "nibble/format/known_keys.h"
#include "nibble/format/layout_parts.h"
#include "nibble/format/weight_layout.h"

namespace nibble::finegrained_fp8 {
namespace {

constexpr char kTop[] = "quantization_config";
constexpr int64_t kUsualBlock = 128, kLargestBlock = int64_t{1} << 30;

// Which modules are fp8 is told by the tensors.
constexpr KnownKey kTopKeys[] = {
    {"quant_method"},
    {"fmt"},
    {"activation_scheme"},
    {"weight_block_size"},
    {"scale_fmt"},
    {"expert_dtype"},
    {"modules_to_not_convert"},
    {"ignored_layers"},
    // How transformers is to load the same weights.
    {"dequantize"},
    {"modules_to_convert", "what embeddings mean (fp8 with a scale of another name)"},
};

std::string of_key(std::string_view key) { return fmt::format("{}.{}", kTop, key); }

std::string scale_name(const std::string& x) { return x + ".weight_scale_inv"; }

// Exponents are bytes; blocks must be as many as the config says, one way and the other.
Tensor require_block_scales(const TensorSource& source, const std::string& name,
                            const Shape& shape) {
  const Tensor t = require_tensor(source, name);
  const bool bytes = t.dtype() == DType::u8;
  const bool fits = shape.elements() == 1 ? t.elements() == 1 : t.shape() == shape;
  if (bytes && fits) return scales_of_exponents(t).reshaped(shape);
  if (!bytes && fits) return require_scales(source, name, shape);
  throw corrupt(fmt::format("expected float scales {} by weight_block_size, found {} {}",
                            shape.to_string(), to_string(t.dtype()), t.shape().to_string()))
      .at("tensor " + in_quotes(name));
}

// Row r of the result is row r / times.
Tensor repeat_rows(const Tensor& t, int64_t times, int64_t n) {
  Tensor out(t.dtype(), Shape{n, t.shape()[1]});
  const auto bytes = static_cast<size_t>(t.shape()[1] * size_of(t.dtype()));
  for (size_t r = 0; r < static_cast<size_t>(n); ++r) {
    const size_t from = r / static_cast<size_t>(times);
    std::memcpy(out.mutable_raw() + r * bytes, t.raw() + from * bytes, bytes);
  }
  return out;
}

Tensor read_scales(const TensorSource& source, const std::string& name, const QuantizedTensor& q,
                   int64_t block_rows) {
  const Shape each = scales_shape(q.scheme, q.n(), q.k());
  if (q.scheme.granularity == Granularity::tensor) return require_block_scales(source, name, each);
  const Shape blocks{ceil_div(q.n(), block_rows), each[1]};
  return repeat_rows(require_block_scales(source, name, blocks), block_rows, q.n());
}

QuantizedTensor from_tensors(const TensorSource& source, const std::string& x,
                             const QuantScheme& scheme, const LayoutInUse& use) {
  const std::string name = x + ".weight";
  const Tensor bytes = require_matrix(source, name, DType::f8_e4m3);
  QuantizedTensor q;
  q.scheme = scheme;
  q.shape = bytes.shape();
  q.codes = with_row_bytes(seen_as(bytes, DType::u8, bytes.shape()), packed_row_bytes(q.k(), 8));
  q.scales = read_scales(source, scale_name(x), q, use.block_rows);
  return validated(std::move(q), name);
}

std::vector<std::string> stored_names(const TensorSource& source, const std::string& x,
                                      const QuantScheme& /*scheme*/) {
  std::vector<std::string> out{x + ".weight", scale_name(x)};
  std::string inputs = x + ".activation_scale";
  if (source.contains(inputs)) out.push_back(std::move(inputs));
  return out;
}

// A word that must be one of two where it stands at all; the first where it does not.
std::string word_of(const JsonFields& f, std::string_view name, std::string_view usual,
                    std::string_view other = {}) {
  std::string said = f.string_or(of_key(name), std::string(usual));
  if (said == usual || (!other.empty() && said == other)) return said;
  throw unsupported(fmt::format("is {}, which nibble does not read; {}{}{} can be", in_quotes(said),
                                usual, other.empty() ? "" : " and ", other))
      .at("key " + in_quotes(of_key(name)));
}

struct Blocks {
  int64_t rows = 0, inputs = 0;  // 0: one for the whole weight
};

Blocks blocks_of(const JsonFields& f) {
  const std::string key = of_key("weight_block_size");
  if (!f.contains(key)) return {kUsualBlock, kUsualBlock};
  if (f.is_null(key)) return {};
  const std::vector<int64_t> said = f.integers(key);
  const auto fits = [](int64_t v) { return v >= 1 && v <= kLargestBlock; };
  if (said.size() == 2 && fits(said[0]) && fits(said[1])) return {said[0], said[1]};
  throw corrupt(fmt::format("expected two numbers from 1 to {}, rows and inputs of a block, or "
                            "null for one scale a weight",
                            kLargestBlock))
      .at("key " + in_quotes(key));
}

// By what other programs would do to the inputs.
std::vector<std::string> warnings_of(const JsonFields& f) {
  const std::string said = word_of(f, "activation_scheme", "dynamic", "static");
  return {
      fmt::format("{} is {}: programs for graphics processors round inputs to fp8 as well; "
                  "nibble, like transformers on a CPU, multiplies them as they are",
                  of_key("activation_scheme"), said)};
}

// Modules whose weights are fp8 or have a scale.
SchemeMap schemes_of(const QuantScheme& scheme, std::span<const MatrixModule> modules,
                     const TensorSource& tensors) {
  std::set<std::string_view> floats;
  for (const TensorInfo& info : tensors.list()) {
    if (info.dtype == DType::f8_e4m3 || info.dtype == DType::f8_e5m2) floats.insert(info.name);
  }
  SchemeMap out;
  for (const MatrixModule& m : modules) {
    if (floats.contains(m.name + ".weight") || tensors.contains(scale_name(m.name)))
      out.emplace(m.name, scheme);
  }
  return out;
}

StoredModules read_config(const JsonFields& f, std::span<const MatrixModule> modules,
                          const TensorSource& tensors) {
  require_known_keys(f, kTop, kTopKeys);
  word_of(f, "fmt", "e4m3");
  word_of(f, "scale_fmt", "float", "ue8m0");
  word_of(f, "expert_dtype", "fp8");
  const Blocks blocks = blocks_of(f);
  const QuantScheme scheme = parse_scheme(
      blocks.inputs == 0 ? "fp8_e4m3:tensor" : fmt::format("fp8_e4m3:g{}", blocks.inputs));
  StoredModules out;
  out.schemes = schemes_of(scheme, modules, tensors);
  if (blocks.rows != 0) out.layout.block_rows = blocks.rows;
  out.warnings = warnings_of(f);
  return out;
}

}  // namespace

const WeightLayout& weight_layout() {
  static const WeightLayout kLayout = {
      .from_tensors = from_tensors, .stored_names = stored_names, .read_config = read_config};
  return kLayout;
}

}  // namespace nibble::finegrained_fp8
