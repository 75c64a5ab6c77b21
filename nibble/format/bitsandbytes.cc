// The 4-bit layout of bitsandbytes (wheel 0.50.2, read 2026-08; docs/formats/bitsandbytes.md),
// plain or doubly quantized: X.weight (u8, the first of two codes in the high half),
// X.weight.absmax, X.weight.quant_map, X.weight.quant_state.bitsandbytes__TYPE (JSON), and with
// double quantization X.weight.nested_absmax and X.weight.nested_quant_map. What it shares with the
// 8-bit one (bitsandbytes_int8.h) is the config.
//
// Blocks are runs of the flattened weight. nibble's groups never cross a row, so files whose blocks
// do are refused; where the block divides k both are the same.

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "nibble/core/checked.h"
#include "nibble/format/bitsandbytes_int8.h"
#include "nibble/format/bitsandbytes_state.h"
#include "nibble/format/known_keys.h"
#include "nibble/format/layout_parts.h"
#include "nibble/format/weight_layout.h"
#include "nibble/quant/nested_scales.h"
#include "nibble/quant/number.h"

namespace nibble::bitsandbytes {
namespace {

constexpr NumberType kTypes[] = {NumberType::nf4, NumberType::fp4};
constexpr int64_t kSmallestBlock = 32, kLargestBlock = 4096;
// Maps are computed by their writer, whose linear algebra may round the last bit otherwise.
constexpr float kMapSlack = 0x1p-20f;

// Our rows, the first code in the low half and padded, as one run with the first in the high half.
Tensor flat_codes(const QuantizedTensor& q) {
  const int64_t count = q.n() * q.k();
  Tensor out(DType::u8, Shape{ceil_div(count, int64_t{2}), 1});
  auto to = out.mutable_data<uint8_t>();
  const auto stride = static_cast<size_t>(q.codes.shape()[1]), k = static_cast<size_t>(q.k());
  std::vector<uint8_t> codes(k);
  size_t at = 0;
  for (size_t r = 0; r < static_cast<size_t>(q.n()); ++r) {
    unpack_codes(q.codes.data<uint8_t>().subspan(r * stride, stride), 4, codes);
    for (const uint8_t c : codes) {
      to[at / 2] |= static_cast<uint8_t>(at % 2 == 0 ? c << 4 : c);
      ++at;
    }
  }
  return out;
}

Tensor rows_of_codes(const Tensor& flat, int64_t n, int64_t k) {
  const int64_t stride = packed_row_bytes(k, 4);
  Tensor out(DType::u8, Shape{n, stride});
  const auto from = flat.data<uint8_t>();
  std::vector<uint8_t> codes(static_cast<size_t>(k));
  size_t at = 0;
  for (int64_t r = 0; r < n; ++r) {
    for (uint8_t& c : codes) {
      c = static_cast<uint8_t>(at % 2 == 0 ? from[at / 2] >> 4 : from[at / 2] & 15);
      ++at;
    }
    pack_codes(codes, 4,
               out.mutable_data<uint8_t>().subspan(static_cast<size_t>(r * stride),
                                                   static_cast<size_t>(stride)));
  }
  return out;
}

Tensor map_tensor(std::span<const float> map) {
  return Tensor::from<float>(Shape{static_cast<int64_t>(map.size())}, map);
}

void require_map(const TensorSource& source, const std::string& name, std::span<const float> map) {
  const Tensor found =
      require_tensor(source, name, DType::f32, Shape{static_cast<int64_t>(map.size())});
  const auto values = found.data<float>();
  for (size_t i = 0; i < map.size(); ++i) {
    if (std::fabs(values[i] - map[i]) <= kMapSlack) continue;
    throw unsupported(fmt::format("value {} is {}, expected {}: not the map of bitsandbytes", i,
                                  values[i], map[i]))
        .at("tensor " + in_quotes(name));
  }
}

// What the file says must be what the config said when the model was opened.
void require_fits(const State& state, const QuantScheme& scheme, const std::string& module) {
  const int64_t k = state.shape[1];
  if (state.block != scheme.group_size(k)) {
    throw corrupt(fmt::format("blocksize is {}, expected {}", state.block, scheme.group_size(k)))
        .at("tensor " + in_quotes(state_name(module, scheme.type)));
  }
}

void require_whole_rows(const State& state, const std::string& module) {
  if (state.shape[1] % state.block == 0) return;
  throw unsupported(fmt::format("blocks of {} cross rows of {} inputs, which nibble does not read",
                                state.block, state.shape[1]))
      .at("tensor " + in_quotes(state_name(module, state.type)));
}

constexpr std::string_view kHolds = "nf4 and fp4 with groups of 32, 64, 128, ... 4096";

bool holds(const QuantScheme& s) {
  return std::find(std::begin(kTypes), std::end(kTypes), s.type) != std::end(kTypes);
}

// With the groups that its kernels know: powers of two.
bool can_hold(const QuantScheme& s) {
  return holds(s) && s.group >= kSmallestBlock && s.group <= kLargestBlock &&
         std::has_single_bit(static_cast<uint64_t>(s.group));
}

std::vector<NamedTensor> to_tensors(const std::string& x, const QuantizedTensor& q) {
  const std::string w = x + ".weight";
  const Shape blocks{q.scales.elements()};
  State state{q.scheme.type, q.scheme.group_size(q.k()), q.shape, std::nullopt};
  std::vector<NamedTensor> out{{w, flat_codes(q)},
                               {w + ".absmax", q.scales.reshaped(blocks)},
                               {w + ".quant_map", map_tensor(number(q.scheme).table())}};
  if (q.super_scales) {
    out.push_back({w + ".nested_absmax", *q.super_scales});
    out.push_back({w + ".nested_quant_map", map_tensor(dynamic_map())});
    state.nested_offset = q.super_offsets->data<float>()[0];
  }
  out.push_back({state_name(x, q.scheme.type), write_state(state)});
  return out;
}

std::vector<TensorInfo> layout(const std::string& x, const QuantScheme& scheme, const Shape& shape,
                               DType scale_dtype) {
  const std::string w = x + ".weight";
  const DType stored = stored_scale_dtype(scheme, scale_dtype);
  const bool nested = stored == DType::u8;
  const int64_t blocks = scales_shape(scheme, shape[0], shape[1]).elements();
  std::vector<TensorInfo> out{{w, DType::u8, Shape{ceil_div(shape.elements(), int64_t{2}), 1}},
                              {w + ".absmax", stored, Shape{blocks}},
                              {w + ".quant_map", DType::f32, Shape{16}}};
  if (nested) {
    out.push_back({w + ".nested_absmax", DType::f32, Shape{ceil_div(blocks, kNestedBlock)}});
    out.push_back({w + ".nested_quant_map", DType::f32, Shape{256}});
  }
  out.push_back({state_name(x, scheme.type), DType::u8, Shape{state_bytes(nested)}});
  return out;
}

QuantizedTensor from_tensors(const TensorSource& source, const std::string& x,
                             const QuantScheme& scheme, const LayoutInUse& use) {
  if (scheme.is_integer()) return read_int8(source, x, scheme, use);
  const std::string w = x + ".weight";
  const State state = read_state(source, x, scheme.type);
  require_fits(state, scheme, x);
  require_whole_rows(state, x);
  require_map(source, w + ".quant_map", number(scheme).table());
  QuantizedTensor q;
  q.scheme = scheme;
  q.shape = state.shape;
  const Shape scales = scales_shape(scheme, q.n(), q.k()), blocks{scales.elements()};
  const Shape bytes{ceil_div(q.shape.elements(), int64_t{2}), 1};
  q.codes = rows_of_codes(require_tensor(source, w, DType::u8, bytes), q.n(), q.k());
  const DType dtype = state.nested_offset ? DType::u8 : DType::f32;
  q.scales = require_tensor(source, w + ".absmax", dtype, blocks).reshaped(scales);
  if (state.nested_offset) {
    require_map(source, w + ".nested_quant_map", dynamic_map());
    q.super_scales = require_tensor(source, w + ".nested_absmax", DType::f32,
                                    Shape{ceil_div(blocks[0], kNestedBlock)});
    q.super_offsets = Tensor::from<float>(Shape{1}, std::span(&*state.nested_offset, 1));
  }
  return validated(std::move(q), w);
}

bool can_say(const SchemeMap& schemes) {
  return !schemes.empty() && std::all_of(schemes.begin(), schemes.end(), [&](const auto& entry) {
    return can_hold(entry.second) && entry.second.type == schemes.begin()->second.type;
  });
}

void write_config(const SchemeMap& schemes, const std::vector<std::string>& plain,
                  JsonWriter& out) {
  const std::string_view type = number(schemes.begin()->second).name;
  out.begin_object().field("quant_method", "bitsandbytes");
  out.field("load_in_4bit", true).field("_load_in_4bit", true);
  out.field("load_in_8bit", false).field("_load_in_8bit", false);
  out.field("bnb_4bit_quant_type", type).field("bnb_4bit_use_double_quant", true);
  out.field("bnb_4bit_compute_dtype", "float32").field("bnb_4bit_quant_storage", "uint8");
  out.field("llm_int8_threshold", 6.0).array("llm_int8_skip_modules", plain);
  out.field("llm_int8_enable_fp32_cpu_offload", false).field("llm_int8_has_fp16_weight", false);
  out.end_object();
}

// Those that are not read say how the file was made or is to be run; the tensors say what they are.
constexpr KnownKey kTopKeys[] = {
    {"quant_method"},
    {"load_in_4bit"},
    {"_load_in_4bit"},
    {"load_in_8bit"},
    {"_load_in_8bit"},
    {"bnb_4bit_quant_type"},
    {"bnb_4bit_use_double_quant"},
    {"bnb_4bit_compute_dtype"},
    {"bnb_4bit_quant_storage"},
    {"llm_int8_threshold"},
    {"llm_int8_skip_modules"},
    {"llm_int8_enable_fp32_cpu_offload"},
    {"llm_int8_has_fp16_weight"},
};

bool is_said(const JsonFields& config, const std::string& flag) {
  const std::string top = "quantization_config.";
  return config.boolean_or(top + flag, config.boolean_or(top + '_' + flag, false));
}

// Of 4 bits: the modules that have a quantization state among the tensors.
StoredModules read_config(const JsonFields& config, std::span<const MatrixModule> modules,
                          const TensorSource& tensors) {
  require_known_keys(config, "quantization_config", kTopKeys);
  if (is_said(config, "load_in_8bit")) {
    if (!is_said(config, "load_in_4bit")) return read_int8_config(config, modules, tensors);
    throw corrupt("contradicts load_in_4bit: weights have 8 bits or 4")
        .at("key \"quantization_config.load_in_8bit\"");
  }
  SchemeMap out;
  for (const auto& [module, kind] : modules) {
    for (const NumberType type : kTypes) {
      if (!tensors.contains(state_name(module, type))) continue;
      const State state = read_state(tensors, module, type);
      require_whole_rows(state, module);
      QuantScheme scheme;
      scheme.type = type;
      scheme.granularity = Granularity::group;
      scheme.group = state.block;
      out.emplace(module, scheme);
    }
  }
  return {std::move(out)};
}

std::vector<std::string> stored_names(const TensorSource& source, const std::string& x,
                                      const QuantScheme& scheme) {
  if (scheme.is_integer()) return int8_names(source, x);
  const std::string w = x + ".weight", state = state_name(x, scheme.type);
  std::vector<std::string> out{w, w + ".absmax", w + ".quant_map", state};
  if (source.contains(state) && read_state(source, x, scheme.type).nested_offset) {
    out.push_back(w + ".nested_absmax");
    out.push_back(w + ".nested_quant_map");
  }
  return out;
}

}  // namespace

const WeightLayout& weight_layout() {
  static const WeightLayout kLayout = {.holds_what = kHolds,
                                       .holds = holds,
                                       .can_hold = can_hold,
                                       .can_say = can_say,
                                       .usual_scheme = "nf4",
                                       .conv1d = true,
                                       .to_tensors = to_tensors,
                                       .infos = layout,
                                       .from_tensors = from_tensors,
                                       .stored_names = stored_names,
                                       .write_config = write_config,
                                       .read_config = read_config};
  return kLayout;
}

}  // namespace nibble::bitsandbytes
