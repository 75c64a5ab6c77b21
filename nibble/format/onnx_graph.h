// An ONNX model in the making: a graph of nodes, its inputs and outputs, and tensors whose bytes
// are made one weight at a time when it is written.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "nibble/core/protobuf_writer.h"
#include "nibble/format/onnx_proto.h"

namespace nibble {

/// An input or an output. An extent is a number or a name ("batch_size"): one name stands for one
/// number in a run.
struct OnnxValue {
  std::string name;
  OnnxType type;
  std::vector<std::variant<int64_t, std::string>> shape;
};

struct OnnxAttribute {
  std::string_view name;
  std::variant<int64_t, float, std::vector<int64_t>> value;
};

/// Tensors that are made together: what they will be, and their making, in the same order.
struct OnnxTensors {
  std::vector<TensorInfo> infos;
  std::function<std::vector<Tensor>()> make;
};

class OnnxGraph {
 public:
  void input(const OnnxValue& value);
  void output(const OnnxValue& value);
  void add(OnnxTensors tensors) { tensors_.push_back(std::move(tensors)); }

  /// Names of the values that follow begin with it: "layers.0".
  void scope(std::string name) { scope_ = std::move(name); }

  /// A node of an operator, of the default domain or written "com.microsoft.NAME"; nodes stand in
  /// the order in which they are added. An input is the name of a value, empty where it is left
  /// out.
  void node(std::string_view op, std::span<const std::string> inputs,
            std::span<const std::string> outputs, std::span<const OnnxAttribute> attributes = {});
  /// The same with one output, whose name is made up and returned.
  std::string value(std::string_view op, std::vector<std::string> inputs,
                    std::vector<OnnxAttribute> attributes = {});
  /// A name of no other value.
  std::string fresh(std::string_view of);

  /// Constants: a scalar, a list [values.size()]. Equal ones are one tensor.
  std::string constant(float value);
  std::string constant(int64_t value);
  std::string constant(std::span<const float> values);
  std::string constant(std::vector<int64_t> values);

  /// Writes kOnnxModel into `folder` and, for the tensors that are not small, kOnnxData beside it:
  /// each at a multiple of 4096, so that it can be mapped. One of OnnxTensors is in memory at a
  /// time. Returns the bytes of both files. Error{unsupported} where kOnnxModel would be too large
  /// for readers (2 GiB).
  int64_t write(const std::string& folder) const;

 private:
  std::string constant(const Tensor& tensor);
  std::string opsets() const;

  ProtobufWriter nodes_, inputs_, outputs_;
  std::vector<OnnxTensors> tensors_;
  std::map<std::string, std::string> constants_;  // what makes it different, its name
  std::set<std::string, std::less<>> domains_;
  std::string scope_;
  int64_t names_ = 0;
};

}  // namespace nibble
