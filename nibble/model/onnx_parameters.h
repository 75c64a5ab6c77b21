// The parameters of a model in the graph of an ONNX file: tensors, and the nodes that compute with
// them. A value of the graph is called by its name.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "nibble/format/onnx_graph.h"
#include "nibble/format/onnx_weight.h"
#include "nibble/model/model.h"

namespace nibble {

/// How a parameter lies in ONNX. Error{unsupported} names it where it cannot.
OnnxWeight onnx_weight_of(const WritableParameter& parameter);
/// What has to be known for that of one that is to be found in a file.
OnnxSource onnx_source(const ParamSpec& spec);

class OnnxParameters {
 public:
  /// Adds the tensors of all of them to the graph, which is referred to.
  OnnxParameters(OnnxGraph& graph, const std::vector<WritableParameter>& parameters);

  bool has(const ParamKey& key) const { return weights_.contains(key); }
  /// A gain, a bias: f32.
  std::string vector(const ParamKey& key) const;
  /// x W^T + b, over the last extent of x [batch, rows, k].
  std::string multiply(const std::string& x, const ParamKey& key) const;
  /// Rows [batch, rows, k] of a table, for ids [batch, rows] of int64.
  std::string look_up(const std::string& ids, const ParamKey& key) const;

 private:
  std::string product(const std::string& x, const OnnxWeight& w) const;
  std::string look_up_blocks(const std::string& ids, const OnnxWeight& w) const;
  std::string as_f32(const std::string& x) const;
  std::string first(const std::string& x, int64_t axis, int64_t count) const;
  std::string axes(std::vector<int64_t> values) const { return graph_.constant(std::move(values)); }
  std::string unpacked(const std::string& bytes, int bits) const;
  const OnnxWeight& require(const ParamKey& key) const;

  OnnxGraph& graph_;
  std::map<ParamKey, OnnxWeight> weights_;
};

}  // namespace nibble
