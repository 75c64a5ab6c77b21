#include "nibble/model/onnx_parameters.h"

namespace nibble {
namespace {

using Form = OnnxWeight::Form;

bool is_table(const ParamSpec& spec) {
  return spec.role == Role::token_embedding || spec.role == Role::position_embedding;
}

std::vector<std::string> with(std::vector<std::string> names, const std::string& optional) {
  if (!optional.empty()) names.push_back(optional);
  return names;
}

}  // namespace

OnnxSource onnx_source(const ParamSpec& spec) {
  return {.name = spec.name, .shape = spec.shape, .table = is_table(spec)};
}

OnnxWeight onnx_weight_of(const WritableParameter& p) {
  OnnxSource source = onnx_source(p.spec);
  source.scheme = p.scheme;
  source.dtype = p.dtype;
  return onnx_weight(source);
}

OnnxParameters::OnnxParameters(OnnxGraph& graph, const std::vector<WritableParameter>& parameters)
    : graph_(graph) {
  for (const WritableParameter& p : parameters) {
    const OnnxWeight w = onnx_weight_of(p);
    weights_.emplace(p.spec, w);
    graph_.add({w.infos(), [w, make = p.make] { return onnx_tensors(w, make()); }});
  }
}

const OnnxWeight& OnnxParameters::require(const ParamKey& key) const {
  const auto found = weights_.find(key);
  NIBBLE_CHECK(found != weights_.end());
  return found->second;
}

std::string OnnxParameters::vector(const ParamKey& key) const { return require(key).name; }

std::string OnnxParameters::multiply(const std::string& x, const ParamKey& key) const {
  const std::string y = product(x, require(key));
  const ParamKey bias = key.with_bias(true);
  return has(bias) ? graph_.value("Add", {y, vector(bias)}) : y;
}

// MatMul reads [k, n]: of a table that is the head as well, the same tensor turned.
std::string OnnxParameters::product(const std::string& x, const OnnxWeight& w) const {
  if (w.form == Form::blocks) {
    constexpr int64_t kAsFloats = 1;  // x is not rounded to int8 on its way
    return graph_.value("com.microsoft.MatMulNBits",
                        with({x, w.codes_name(), w.scales_name()}, w.zeros_name()),
                        {{"K", w.shape[1]},
                         {"N", w.shape[0]},
                         {"bits", int64_t{w.scheme.bits()}},
                         {"block_size", w.block()},
                         {"accuracy_level", kAsFloats}});
  }
  std::string matrix = w.name;
  if (w.form == Form::bytes)
    matrix =
        graph_.value("DequantizeLinear", with({w.codes_name(), w.scales_name()}, w.zeros_name()),
                     {{"axis", int64_t{w.turned ? 1 : 0}}});
  else if (w.dtype != DType::f32)
    matrix = as_f32(matrix);
  if (!w.turned)
    matrix = graph_.value("Transpose", {matrix}, {{"perm", std::vector<int64_t>{1, 0}}});
  return graph_.value("MatMul", {x, matrix});
}

std::string OnnxParameters::as_f32(const std::string& x) const {
  return graph_.value("Cast", {x}, {{"to", static_cast<int64_t>(OnnxType::f32)}});
}

// The rows alone become floats, not the table.
std::string OnnxParameters::look_up(const std::string& ids, const ParamKey& key) const {
  const OnnxWeight& w = require(key);
  if (w.form == Form::blocks) return look_up_blocks(ids, w);
  std::string rows = graph_.value("Gather", {w.codes_name(), ids});
  if (w.form == Form::floats) return w.dtype == DType::f32 ? rows : as_f32(rows);
  rows = as_f32(rows);
  const auto of_rows = [&](const std::string& name) {
    if (w.one_scale) return name;
    return graph_.value("Unsqueeze", {graph_.value("Gather", {name, ids}), axes({-1})});
  };
  if (w.scheme.asymmetric) rows = graph_.value("Sub", {rows, as_f32(of_rows(w.zeros_name()))});
  return graph_.value("Mul", {rows, of_rows(w.scales_name())});
}

// Bytes [batch, rows, a, b] as the codes in them, the lowest bits first: floats
// [batch, rows, a, b * 8 / bits]. What is divided is a power of two: nothing is rounded.
std::string OnnxParameters::unpacked(const std::string& bytes, int bits) const {
  std::string x = as_f32(bytes);
  for (int width = 8; width > bits; width /= 2) {
    const auto half = static_cast<float>(1 << width / 2);
    const std::string high =
        graph_.value("Floor", {graph_.value("Mul", {x, graph_.constant(1 / half)})});
    const std::string low =
        graph_.value("Sub", {x, graph_.value("Mul", {high, graph_.constant(half)})});
    const std::string both = graph_.value("Concat",
                                          {graph_.value("Unsqueeze", {low, axes({-1})}),
                                           graph_.value("Unsqueeze", {high, axes({-1})})},
                                          {{"axis", int64_t{-1}}});
    x = graph_.value("Reshape", {both, axes({0, 0, 0, -1})});
  }
  return x;
}

std::string OnnxParameters::first(const std::string& x, int64_t axis, int64_t count) const {
  return graph_.value("Slice", {x, axes({0}), axes({count}), axes({axis})});
}

std::string OnnxParameters::look_up_blocks(const std::string& ids, const OnnxWeight& w) const {
  const int bits = w.scheme.bits();
  std::string codes = unpacked(graph_.value("Gather", {w.codes_name(), ids}), bits);
  std::string zeros = graph_.constant(static_cast<float>(1 << (bits - 1)));
  if (w.scheme.asymmetric) {
    const std::string packed =
        graph_.value("Unsqueeze", {graph_.value("Gather", {w.zeros_name(), ids}), axes({2})});
    zeros = graph_.value("Reshape",
                         {first(unpacked(packed, bits), 3, w.blocks()), axes({0, 0, -1, 1})});
  }
  const std::string scales =
      graph_.value("Unsqueeze", {graph_.value("Gather", {w.scales_name(), ids}), axes({-1})});
  const std::string values = graph_.value("Mul", {graph_.value("Sub", {codes, zeros}), scales});
  const std::string rows = graph_.value("Reshape", {values, axes({0, 0, -1})});
  return w.blocks() * w.block() == w.shape[1] ? rows : first(rows, 2, w.shape[1]);
}

}  // namespace nibble
