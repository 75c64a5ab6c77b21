#include "nibble/format/packed_int32.h"

#include <fmt/format.h>

#include <algorithm>

#include "nibble/core/checked.h"
#include "nibble/core/error.h"
#include "nibble/core/transpose.h"
#include "nibble/format/layout_parts.h"

namespace nibble::packed_int32 {
namespace {

constexpr int64_t kLargestGroup = int64_t{1} << 30;

// How auto-round found the numbers, and what it would round beside weights: that at 16 bits and
// more is nothing.
constexpr KnownKey kAutoRoundKeys[] = {
    {"autoround_version"},
    {"provider"},
    {"data_type"},
    {"amp"},
    {"iters"},
    {"lr"},
    {"minmax_lr"},
    {"nsamples"},
    {"seqlen"},
    {"batch_size"},
    {"train_bs"},
    {"gradient_accumulate_steps"},
    {"enable_minmax_tuning"},
    {"enable_norm_bias_tuning"},
    {"enable_quanted_input"},
    {"enable_alg_ext"},
    {"low_gpu_mem_usage"},
    {"low_cpu_mem_usage"},
    {"scale_dtype"},
    {"act_bits"},
    {"act_group_size"},
    {"act_sym"},
    {"act_dynamic"},
    {"act_data_type"},
    {"static_attention_granularity"},
    {"static_kv_granularity"},
    {"static_attention_dtype", "the rounding of attention"},
    {"static_kv_dtype", "the numbers that keys and values are kept in"},
    {"super_bits", "scales that are quantized themselves"},
    {"super_group_size", "scales that are quantized themselves"},
    {"to_quant_block_names"},
    {"extra_config"},
};

}  // namespace

std::vector<std::string> packed_modules(std::span<const MatrixModule> modules,
                                        const TensorSource& tensors) {
  std::vector<std::string> out;
  for (const MatrixModule& m : modules) {
    if (tensors.contains(m.name + ".qweight")) out.push_back(m.name);
  }
  return out;
}

Tensor require_words(const TensorSource& source, const std::string& name) {
  Tensor t = require_tensor(source, name);
  if (t.dtype() == DType::i32 && t.shape().rank() == 2 && t.elements() > 0) return t;
  throw corrupt(fmt::format("expected i32 of two extents, found {} {}", to_string(t.dtype()),
                            t.shape().to_string()))
      .at("tensor " + in_quotes(name));
}

Tensor require_turned_scales(const TensorSource& source, const std::string& name, int64_t groups,
                             int64_t n) {
  return transpose(require_scales(source, name, Shape{groups, n}));
}

QuantScheme scheme_of(int bits, int64_t group, int64_t groups, int64_t k, bool asymmetric,
                      bool modules_differ, const std::string& name) {
  if (modules_differ && groups > 0 && k % groups == 0) group = k / groups;
  const bool one = group == -1 || group >= k;
  const bool known = one || (group >= 1 && group <= kLargestGroup);
  if (!known || groups != (one ? 1 : ceil_div(k, group))) {
    throw corrupt(fmt::format("{} inputs in groups of {} by quantization_config have {} groups", k,
                              group, groups))
        .at("tensor " + in_quotes(name));
  }
  return parse_scheme(fmt::format("int{}:{}{}", bits, one ? "channel" : fmt::format("g{}", group),
                                  asymmetric ? ":asym" : ""));
}

void take_zeros(Tensor zeros, const std::string& name, QuantizedTensor& q) {
  if (q.scheme.asymmetric) {
    q.zeros = std::move(zeros);
    return;
  }
  const int middle = 1 << (q.scheme.bits() - 1);
  for (const uint8_t z : zeros.data<uint8_t>()) {
    if (z == middle) continue;
    throw corrupt(fmt::format("holds the zero point {}, but quantization_config says that weights "
                              "are symmetric, which is {}",
                              z, middle))
        .at("tensor " + in_quotes(name));
  }
}

Tensor turned_words(const QuantizedTensor& q) {
  return transpose(seen_as(q.codes, DType::i32, Shape{q.n(), q.codes.shape()[1] / 4}));
}

Tensor zeros_or_middle(const QuantizedTensor& q) {
  if (q.zeros) return *q.zeros;
  Tensor out(DType::u8, scales_shape(q.scheme, q.n(), q.k()));
  std::ranges::fill(out.mutable_data<uint8_t>(), static_cast<uint8_t>(1 << (q.scheme.bits() - 1)));
  return out;
}

void require_keys(const JsonFields& f, std::span<const KnownKey> known) {
  std::vector<KnownKey> all(known.begin(), known.end());
  all.insert(all.end(), std::begin(kAutoRoundKeys), std::end(kAutoRoundKeys));
  require_known_keys(f, "quantization_config", all);
  const std::string type = "quantization_config.data_type", inputs = "quantization_config.act_bits";
  if (f.string_or(type, "int") != "int") {
    throw unsupported(fmt::format("is {}, expected int", in_quotes(f.string(type))))
        .at("key " + in_quotes(type));
  }
  if (f.integer_or(inputs, 16) >= 16) return;
  throw unsupported("inputs are rounded, which nibble does not do in this layout")
      .at("key " + in_quotes(inputs));
}

}  // namespace nibble::packed_int32
