#include <fmt/format.h>

#include <algorithm>

#include "nibble/core/error.h"
#include "nibble/core/transpose.h"
#include "nibble/core/version.h"
#include "nibble/format/gptq.h"
#include "nibble/format/layout_parts.h"
#include "nibble/format/packed_int32.h"
#include "nibble/quant/number.h"

namespace nibble::gptq {
namespace {

constexpr int64_t kWholeWords = 32;  // codes of any width that fill words

int64_t config_group(const QuantScheme& s) {
  return s.granularity == Granularity::group ? s.group : -1;
}

// Zero points [n, groups] less `less`, as fields along the outputs.
Tensor packed_zeros(const Tensor& zeros, int bits, int less) {
  const int64_t n = zeros.shape()[0], groups = zeros.shape()[1];
  const auto stride = static_cast<size_t>(packed_row_bytes(n, bits));
  Tensor out(DType::i32, Shape{groups, static_cast<int64_t>(stride / 4)});
  const auto z = zeros.data<uint8_t>();
  std::vector<uint8_t> row(static_cast<size_t>(n)), fields(stride);
  for (int64_t g = 0; g < groups; ++g) {
    for (int64_t r = 0; r < n; ++r) {
      const int stored = z[static_cast<size_t>(r * groups + g)] - less;
      row[static_cast<size_t>(r)] = static_cast<uint8_t>(stored & ((1 << bits) - 1));
    }
    pack_codes(row, bits, fields);
    std::copy(fields.begin(), fields.end(),
              reinterpret_cast<uint8_t*>(out.mutable_raw()) + static_cast<size_t>(g) * stride);
  }
  return out;
}

Tensor group_of_inputs(const QuantizedTensor& q) {
  const auto size = static_cast<int32_t>(q.scheme.group_size(q.k()));
  Tensor out(DType::i32, Shape{q.k()});
  int32_t input = 0;
  for (int32_t& g : out.mutable_data<int32_t>()) g = input++ / size;
  return out;
}

}  // namespace

bool can_hold(const QuantScheme& s) {
  const bool known = std::ranges::find(kBits, s.bits()) != std::end(kBits);
  return known && s.is_integer() && s.granularity != Granularity::tensor &&
         s.activations == ActivationType::none;
}

bool can_say(const SchemeMap& schemes) {
  const auto like_first = [&](const auto& entry) {
    return can_hold(entry.second) && entry.second.asymmetric == schemes.begin()->second.asymmetric;
  };
  return !schemes.empty() && std::all_of(schemes.begin(), schemes.end(), like_first);
}

std::string misfit(const QuantScheme& /*scheme*/, const Shape& shape) {
  if (shape[0] % kWholeWords == 0 && shape[1] % kWholeWords == 0) return "";
  return fmt::format("gptq packs outputs and inputs by {}, and this matrix has {} and {}",
                     kWholeWords, shape[0], shape[1]);
}

std::vector<NamedTensor> to_tensors(const std::string& x, const QuantizedTensor& q) {
  NIBBLE_CHECK(!q.input_order);
  const Tensor zeros = packed_int32::zeros_or_middle(q);
  const int less = q.scheme.asymmetric ? 0 : 1;
  return {{x + ".qweight", packed_int32::turned_words(q)},
          {x + ".qzeros", packed_zeros(zeros, q.scheme.bits(), less)},
          {x + ".scales", transpose(q.scales)},
          {x + ".g_idx", group_of_inputs(q)}};
}

std::vector<TensorInfo> infos(const std::string& x, const QuantScheme& scheme, const Shape& shape,
                              DType scale_dtype) {
  const int64_t n = shape[0], k = shape[1], groups = scales_shape(scheme, n, k)[1];
  const int bits = scheme.bits();
  return {{x + ".qweight", DType::i32, Shape{packed_row_bytes(k, bits) / 4, n}},
          {x + ".qzeros", DType::i32, Shape{groups, packed_row_bytes(n, bits) / 4}},
          {x + ".scales", stored_scale_dtype(scheme, scale_dtype), Shape{groups, n}},
          {x + ".g_idx", DType::i32, Shape{k}}};
}

namespace {

// The scheme that most modules have.
const QuantScheme& usual_of(const SchemeMap& schemes) {
  const auto count = [&](const QuantScheme& s) {
    return std::count_if(schemes.begin(), schemes.end(),
                         [&](const auto& entry) { return entry.second == s; });
  };
  const QuantScheme* best = &schemes.begin()->second;
  int64_t most = 0;
  for (const auto& [module, scheme] : schemes) {
    if (scheme == *best && most > 0) continue;
    if (const int64_t times = count(scheme); times > most) {
      best = &scheme;
      most = times;
    }
  }
  return *best;
}

// Loaders look for matrices in numbered blocks only: what else is plain need not be said.
bool is_in_block(std::string_view module) {
  for (size_t at = 0; at < module.size();) {
    const size_t end = std::min(module.find('.', at), module.size());
    const std::string_view part = module.substr(at, end - at);
    if (!part.empty() && std::ranges::all_of(part, [](char c) { return c >= '0' && c <= '9'; }))
      return true;
    at = end + 1;
  }
  return false;
}

// A regular expression that is this name alone.
std::string pattern_of(std::string_view sign, std::string_view module) {
  std::string out = std::string(sign) + "^";
  for (const char c : module) {
    if (c == '.') out += '\\';
    out += c;
  }
  return out + "$";
}

void write_dynamic(const SchemeMap& schemes, const QuantScheme& usual,
                   const std::vector<std::string>& plain, JsonWriter& out) {
  std::vector<std::string> skipped;
  for (const std::string& module : plain) {
    if (is_in_block(module)) skipped.push_back(pattern_of("-:", module));
  }
  const bool differ = std::any_of(schemes.begin(), schemes.end(),
                                  [&](const auto& entry) { return entry.second != usual; });
  if (skipped.empty() && !differ) return;
  out.key("dynamic").begin_object();
  for (const std::string& pattern : skipped) out.key(pattern).begin_object().end_object();
  for (const auto& [module, scheme] : schemes) {
    if (scheme == usual) continue;
    out.key(pattern_of("+:", module)).begin_object();
    out.field("bits", scheme.bits()).field("group_size", config_group(scheme)).end_object();
  }
  out.end_object();
}

}  // namespace

void write_config(const SchemeMap& schemes, const std::vector<std::string>& plain,
                  JsonWriter& out) {
  const QuantScheme& usual = usual_of(schemes);
  out.begin_object().field("quant_method", "gptq").field("bits", usual.bits());
  out.field("group_size", config_group(usual)).field("sym", !usual.asymmetric);
  out.field("checkpoint_format", usual.asymmetric ? "gptq_v2" : "gptq");
  out.field("desc_act", false).field("static_groups", false).field("true_sequential", true);
  out.field("lm_head", schemes.contains("lm_head")).field("pack_dtype", "int32");
  write_dynamic(schemes, usual, plain, out);
  out.key("meta").begin_object();
  out.array("quantizer", std::vector<std::string>{fmt::format("nibble:{}", version())});
  out.end_object().end_object();
}

}  // namespace nibble::gptq
