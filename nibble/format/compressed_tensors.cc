#include "nibble/format/compressed_tensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "nibble/core/checked.h"

namespace nibble {
namespace {

constexpr std::string_view kWeightEnd = ".weight";

// int8 weights with int8 activations lie as plain I8; everything else as packed bits.
bool stored_plain(const QuantScheme& s) {
  return s.type == NumberType::int8 && s.activations == ActivationType::a8 && !s.asymmetric &&
         s.granularity != Granularity::group;
}

std::string_view format_of(const QuantScheme& s) {
  return stored_plain(s) ? "int-quantized" : "pack-quantized";
}

std::string_view strategy_of(Granularity g) {
  return g == Granularity::tensor ? "tensor" : g == Granularity::channel ? "channel" : "group";
}

Tensor scales_as_stored(const QuantizedTensor& q) {
  return q.scheme.granularity == Granularity::tensor ? q.scales.reshaped(Shape{1}) : q.scales;
}

// Unsigned codes with a row stride become signed bytes without padding, and the reverse.
Tensor to_signed_bytes(const QuantizedTensor& q) {
  Tensor out(DType::i8, q.shape);
  const auto codes = q.codes.data<uint8_t>();
  const auto stride = static_cast<size_t>(q.codes.shape()[1]), k = static_cast<size_t>(q.k());
  auto to = out.mutable_data<int8_t>();
  for (size_t r = 0; r < static_cast<size_t>(q.n()); ++r) {
    for (size_t c = 0; c < k; ++c)
      to[r * k + c] = static_cast<int8_t>(codes[r * stride + c] ^ 0x80);
  }
  return out;
}

Tensor from_signed_bytes(const Tensor& bytes, int64_t n, int64_t k) {
  const int64_t stride = packed_row_bytes(k, 8);
  Tensor out(DType::u8, Shape{n, stride});
  const auto from = bytes.data<int8_t>();
  auto to = out.mutable_data<uint8_t>();
  for (int64_t r = 0; r < n; ++r) {
    for (int64_t c = 0; c < k; ++c) {
      to[static_cast<size_t>(r * stride + c)] =
          static_cast<uint8_t>(from[static_cast<size_t>(r * k + c)]) ^ uint8_t { 0x80 };
    }
  }
  return out;
}

// Zero points are packed down the output axis: column g is one LSB-first bit stream over the n
// rows.
Tensor pack_zeros(const Tensor& zeros, int bits) {
  const int64_t n = zeros.shape()[0], groups = zeros.shape()[1],
                words = packed_row_bytes(n, bits) / 4;
  Tensor out(DType::i32, Shape{words, groups});
  const auto z = zeros.data<uint8_t>();
  auto to = out.mutable_data<int32_t>();
  std::vector<uint8_t> column(static_cast<size_t>(n)), stream(static_cast<size_t>(words * 4));
  for (int64_t g = 0; g < groups; ++g) {
    for (int64_t r = 0; r < n; ++r)
      column[static_cast<size_t>(r)] = z[static_cast<size_t>(r * groups + g)];
    pack_codes(column, bits, stream);
    for (int64_t w = 0; w < words; ++w) {
      std::memcpy(&to[static_cast<size_t>(w * groups + g)], stream.data() + w * 4, 4);
    }
  }
  return out;
}

Tensor unpack_zeros(const Tensor& packed, int64_t n, int64_t groups, int bits) {
  const int64_t words = packed_row_bytes(n, bits) / 4;
  Tensor out(DType::u8, Shape{n, groups});
  const auto from = packed.data<int32_t>();
  auto z = out.mutable_data<uint8_t>();
  std::vector<uint8_t> column(static_cast<size_t>(n)), stream(static_cast<size_t>(words * 4));
  for (int64_t g = 0; g < groups; ++g) {
    for (int64_t w = 0; w < words; ++w) {
      std::memcpy(stream.data() + w * 4, &from[static_cast<size_t>(w * groups + g)], 4);
    }
    unpack_codes(stream, bits, column);
    for (int64_t r = 0; r < n; ++r)
      z[static_cast<size_t>(r * groups + g)] = column[static_cast<size_t>(r)];
  }
  return out;
}

Tensor require(const TensorSource& source, const std::string& name, DType dtype,
               const Shape& shape) {
  Tensor t = source.get(name);
  if (t.dtype() != dtype || t.shape() != shape) {
    throw corrupt(fmt::format("expected {} {}, found {} {}", to_string(dtype), shape.to_string(),
                              to_string(t.dtype()), t.shape().to_string()))
        .at("tensor " + in_quotes(name));
  }
  return t;
}

Tensor require_scales(const TensorSource& source, const std::string& name, const Shape& shape) {
  const Tensor t = source.get(name);
  const bool known = t.dtype() == DType::f16 || t.dtype() == DType::bf16 || t.dtype() == DType::f32;
  if (!known || t.elements() != shape.elements()) {
    throw corrupt(fmt::format("expected float scales {}, found {} {}", shape.to_string(),
                              to_string(t.dtype()), t.shape().to_string()))
        .at("tensor " + in_quotes(name));
  }
  return t.reshaped(shape);
}

Shape read_shape(const TensorSource& source, const std::string& module) {
  const std::string name = module + ".weight_shape";
  const Tensor t = require(source, name, DType::i64, Shape{2});
  const auto dims = t.data<int64_t>();
  if (dims[0] < 1 || dims[1] < 1 || !checked_mul(dims[0], dims[1])) {
    throw corrupt(fmt::format("[{}, {}] is not the shape of a weight", dims[0], dims[1]))
        .at("tensor " + in_quotes(name));
  }
  return Shape{dims[0], dims[1]};
}

Shape scale_shape(const QuantScheme& s, int64_t n, int64_t k) {
  if (s.granularity == Granularity::tensor) return Shape{1, 1};
  return Shape{n, ceil_div(k, s.group_size(k))};
}

void write_weights(const QuantScheme& s, JsonWriter& out) {
  out.key("weights").begin_object();
  out.field("num_bits", s.bits()).field("type", "int").field("symmetric", !s.asymmetric);
  out.field("strategy", strategy_of(s.granularity)).key("group_size");
  s.granularity == Granularity::group ? out.value(s.group) : out.null();
  out.field("dynamic", false).key("actorder").null().key("block_structure").null();
  out.field("observer", "minmax").key("observer_kwargs").begin_object().end_object();
  out.end_object();
}

void write_activations(const QuantScheme& s, JsonWriter& out) {
  out.key("input_activations");
  if (s.activations == ActivationType::none) {
    out.null();
    return;
  }
  out.begin_object().field("num_bits", 8).field("type", "int").field("symmetric", true);
  out.field("strategy", "token").key("group_size").null().field("dynamic", true).end_object();
}

QuantScheme read_weights(const JsonFields& f, const std::string& group) {
  const std::string w = group + ".weights.";
  if (f.string_or(w + "type", "int") != "int")
    throw unsupported("only integer weights can be loaded").at("key \"" + w + "type\"");
  std::string text = fmt::format("int{}", f.integer(w + "num_bits"));
  const std::string strategy = f.string_or(w + "strategy", "channel");
  if (strategy == "group")
    text += fmt::format(":g{}", f.integer(w + "group_size"));
  else if (strategy == "tensor" || strategy == "channel")
    text += ":" + strategy;
  else
    throw unsupported(fmt::format("strategy {} is not one that nibble loads", in_quotes(strategy)))
        .at("key \"" + w + "strategy\"");
  if (!f.boolean_or(w + "symmetric", true)) text += ":asym";
  const std::string a = group + ".input_activations";
  if (f.has_section(a) && !f.is_null(a)) {
    if (f.string_or(a + ".strategy", "") != "token" || f.integer_or(a + ".num_bits", 0) != 8) {
      throw unsupported("only int8 activations per token can be loaded").at("key \"" + a + "\"");
    }
    text += ":a8";
  }
  try {
    return parse_scheme(text);
  } catch (const Error& e) {
    throw corrupt(e.reason()).at("key \"" + group + ".weights\"");
  }
}

}  // namespace

std::string module_of(std::string_view name) {
  if (name.ends_with(kWeightEnd)) name.remove_suffix(kWeightEnd.size());
  return std::string(name);
}

void require_expressible(const QuantScheme& s) {
  const bool activations =
      s.activations == ActivationType::none || s.activations == ActivationType::a8;
  if (s.is_float() || (s.is_integer() && activations)) return;
  throw unsupported(
      fmt::format("{} cannot be stored in a Hugging Face folder by this version; int2 to int8 can, "
                  "with :tensor, :channel or :gN, :asym and :a8",
                  to_string(s)));
}

std::vector<NamedTensor> to_tensors(std::string_view tensor_name, const QuantizedTensor& q) {
  require_expressible(q.scheme);
  const std::string x = module_of(tensor_name);
  std::vector<NamedTensor> out;
  if (stored_plain(q.scheme)) {
    out.push_back({x + ".weight", to_signed_bytes(q)});
    out.push_back({x + ".weight_scale", scales_as_stored(q)});
    return out;
  }
  const Shape words{q.n(), q.codes.shape()[1] / 4};
  out.push_back(
      {x + ".weight_packed", Tensor(DType::i32, words,
                                    {std::make_shared<Tensor>(q.codes),
                                     const_cast<std::byte*>(q.codes.raw()), q.codes.bytes()})});
  out.push_back({x + ".weight_scale", scales_as_stored(q)});
  const int64_t dims[] = {q.n(), q.k()};
  out.push_back({x + ".weight_shape", Tensor::from<int64_t>(Shape{2}, dims)});
  if (q.zeros) out.push_back({x + ".weight_zero_point", pack_zeros(*q.zeros, q.scheme.bits())});
  return out;
}

std::vector<TensorInfo> tensor_layout(std::string_view tensor_name, const QuantScheme& scheme,
                                      const Shape& shape, DType scale_dtype) {
  const std::string x = module_of(tensor_name);
  const int64_t n = shape[0], k = shape[1], words = packed_row_bytes(k, scheme.bits()) / 4;
  const Shape full = scale_shape(scheme, n, k);
  const TensorInfo scale{x + ".weight_scale", scale_dtype,
                         scheme.granularity == Granularity::tensor ? Shape{1} : full};
  if (stored_plain(scheme)) return {{x + ".weight", DType::i8, shape}, scale};
  std::vector<TensorInfo> out{{x + ".weight_packed", DType::i32, Shape{n, words}},
                              scale,
                              {x + ".weight_shape", DType::i64, Shape{2}}};
  if (scheme.asymmetric) {
    const int64_t rows = packed_row_bytes(full[0], scheme.bits()) / 4;
    out.push_back({x + ".weight_zero_point", DType::i32, Shape{rows, full[1]}});
  }
  return out;
}

QuantizedTensor from_tensors(const TensorSource& source, std::string_view tensor_name,
                             const QuantScheme& scheme) {
  const std::string x = module_of(tensor_name);
  QuantizedTensor q;
  q.scheme = scheme;
  if (stored_plain(scheme)) {
    const Tensor bytes = source.get(x + ".weight");
    if (bytes.dtype() != DType::i8 || bytes.shape().rank() != 2) {
      throw corrupt(fmt::format("expected i8 [n, k], found {} {}", to_string(bytes.dtype()),
                                bytes.shape().to_string()))
          .at("tensor " + in_quotes(x + ".weight"));
    }
    q.shape = bytes.shape();
    q.codes = from_signed_bytes(bytes, q.n(), q.k());
    q.scales = require_scales(source, x + ".weight_scale", scale_shape(scheme, q.n(), q.k()));
    return q;
  }
  q.shape = read_shape(source, x);
  const int64_t stride = packed_row_bytes(q.k(), scheme.bits());
  const Tensor words = require(source, x + ".weight_packed", DType::i32, Shape{q.n(), stride / 4});
  q.codes =
      Tensor(DType::u8, Shape{q.n(), stride},
             {std::make_shared<Tensor>(words), const_cast<std::byte*>(words.raw()), words.bytes()});
  const Shape scales = scale_shape(scheme, q.n(), q.k());
  q.scales = require_scales(source, x + ".weight_scale", scales);
  if (scheme.asymmetric) {
    const Shape packed{packed_row_bytes(scales[0], scheme.bits()) / 4, scales[1]};
    q.zeros = unpack_zeros(require(source, x + ".weight_zero_point", DType::i32, packed), scales[0],
                           scales[1], scheme.bits());
  }
  validate(q);
  return q;
}

void write_quantization_config(const SchemeMap& schemes, const std::vector<std::string>& plain,
                               JsonWriter& out) {
  std::map<std::string, std::vector<std::string>> groups;
  std::set<std::string_view> formats;
  for (const auto& [module, scheme] : schemes) {
    groups[to_string(scheme)].push_back(module);
    formats.insert(format_of(scheme));
  }
  out.begin_object().field("quant_method", "compressed-tensors").field("version", "0.12.2");
  out.field("format", formats.size() == 1 ? *formats.begin() : std::string_view("mixed-precision"));
  out.field("quantization_status", "compressed").key("global_compression_ratio").null();
  out.key("kv_cache_scheme").null().key("config_groups").begin_object();
  int index = 0;
  for (const auto& [spelling, modules] : groups) {
    const QuantScheme scheme = parse_scheme(spelling);
    out.key(fmt::format("group_{}", index++)).begin_object();
    out.array("targets", modules).field("format", format_of(scheme));
    write_weights(scheme, out);
    write_activations(scheme, out);
    out.key("output_activations").null().end_object();
  }
  out.end_object().array("ignore", plain).end_object();
}

SchemeMap read_quantization_config(const JsonFields& f, const std::vector<std::string>& modules) {
  SchemeMap out;
  const std::string top = "quantization_config";
  if (!f.has_section(top) || f.is_null(top)) return out;
  const std::string method = f.string_or(top + ".quant_method", "");
  if (method != "compressed-tensors") {
    throw unsupported(
        fmt::format("quant_method {} cannot be loaded; compressed-tensors can", in_quotes(method)))
        .at("key \"quantization_config.quant_method\"");
  }
  const auto ignored = f.strings(top + ".ignore");
  const std::set<std::string> ignore(ignored.begin(), ignored.end());
  const std::string groups = top + ".config_groups";
  SchemeMap by_class;
  for (const std::string& name : f.keys(groups)) {
    const std::string group = groups + "." + name;
    const QuantScheme scheme = read_weights(f, group);
    for (const std::string& target : f.strings(group + ".targets")) {
      if (target.starts_with("re:"))
        throw unsupported(
            fmt::format("target {} is a regular expression, which nibble does not read yet",
                        in_quotes(target)))
            .at("key \"" + group + ".targets\"");
      if (target == "Linear") {
        for (const std::string& m : modules) {
          if (!ignore.contains(m)) by_class.emplace(m, scheme);
        }
      } else {
        out[target] = scheme;
      }
    }
  }
  out.merge(by_class);
  return out;
}

}  // namespace nibble
