// A small decoder of ONNX files, independent of the one that nibble reads with: what tests look at.
#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/temp_folder.h"

namespace nibble::test {

/// The fields of a message, in order: numbers, or bytes.
struct WireField {
  uint32_t number;
  uint64_t value;
  std::string bytes;
};

inline std::vector<WireField> wire_fields(std::string_view message) {
  size_t at = 0;
  const auto varint = [&] {
    uint64_t out = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<uint8_t>(message.at(at++));
      out |= uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return out;
    }
  };
  std::vector<WireField> out;
  while (at < message.size()) {
    const uint64_t tag = varint();
    WireField f{static_cast<uint32_t>(tag >> 3), 0, ""};
    if ((tag & 7) == 0) {
      f.value = varint();
    } else {
      if ((tag & 7) == 2) f.value = varint();
      const size_t size = (tag & 7) == 2 ? f.value : (tag & 7) == 5 ? 4 : 8;
      f.bytes = message.substr(at, size);
      if (f.bytes.size() != size) throw std::runtime_error("a field is cut");
      at += size;
    }
    out.push_back(std::move(f));
  }
  return out;
}

struct OnnxParts {
  struct Node {
    std::string op, domain;
    std::vector<std::string> inputs, outputs;
    std::map<std::string, int64_t> integers;
  };
  struct Initializer {
    std::vector<int64_t> dims;
    int64_t type = 0;
    int64_t offset = -1;  // in the file beside it; -1: inside
    std::string bytes;
  };
  struct Value {
    std::string name;
    int64_t type = 0;
    std::string shape;  // "[batch_size, 2, past_sequence_length, 4]"
  };
  std::string producer;
  std::map<std::string, int64_t> opsets;
  std::vector<Node> nodes;
  std::map<std::string, Initializer> initializers;
  std::vector<Value> inputs, outputs;
};

inline OnnxParts::Node onnx_node(std::string_view message) {
  OnnxParts::Node out;
  for (const WireField& f : wire_fields(message)) {
    if (f.number == 1) out.inputs.push_back(f.bytes);
    if (f.number == 2) out.outputs.push_back(f.bytes);
    if (f.number == 4) out.op = f.bytes;
    if (f.number == 7) out.domain = f.bytes;
    if (f.number != 5) continue;
    std::string name;
    for (const WireField& a : wire_fields(f.bytes)) {
      if (a.number == 1) name = a.bytes;
      if (a.number == 3) out.integers[name] = static_cast<int64_t>(a.value);
    }
  }
  return out;
}

inline std::pair<std::string, OnnxParts::Initializer> onnx_initializer(std::string_view message,
                                                                       const std::string& data) {
  OnnxParts::Initializer out;
  std::string name;
  std::map<std::string, std::string> external;
  for (const WireField& f : wire_fields(message)) {
    if (f.number == 1) out.dims.push_back(static_cast<int64_t>(f.value));
    if (f.number == 2) out.type = static_cast<int64_t>(f.value);
    if (f.number == 8) name = f.bytes;
    if (f.number == 9) out.bytes = f.bytes;
    if (f.number != 13) continue;
    const std::vector<WireField> entry = wire_fields(f.bytes);
    external[entry.at(0).bytes] = entry.at(1).bytes;
  }
  if (external.empty()) return {name, out};
  out.offset = std::stoll(external.at("offset"));
  out.bytes = data.substr(static_cast<size_t>(out.offset), std::stoull(external.at("length")));
  return {name, out};
}

inline OnnxParts::Value onnx_value(std::string_view message) {
  OnnxParts::Value out;
  for (const WireField& f : wire_fields(message)) {
    if (f.number == 1) out.name = f.bytes;
    if (f.number != 2) continue;
    for (const WireField& t : wire_fields(wire_fields(f.bytes).at(0).bytes)) {
      if (t.number == 1) out.type = static_cast<int64_t>(t.value);
      if (t.number != 2) continue;
      for (const WireField& dim : wire_fields(t.bytes)) {
        const WireField extent = wire_fields(dim.bytes).at(0);
        out.shape += (out.shape.empty() ? "[" : ", ");
        out.shape += extent.number == 1 ? std::to_string(extent.value) : extent.bytes;
      }
      out.shape += "]";
    }
  }
  return out;
}

/// model.onnx of a folder, and what it has in the file beside it.
inline OnnxParts onnx_parts(const std::string& folder) {
  const std::string data = get_file(folder + "/model.onnx.data");
  OnnxParts out;
  for (const WireField& m : wire_fields(get_file(folder + "/model.onnx"))) {
    if (m.number == 2) out.producer = m.bytes;
    if (m.number == 8) {
      const std::vector<WireField> opset = wire_fields(m.bytes);
      out.opsets[opset.at(0).bytes] = static_cast<int64_t>(opset.at(1).value);
    }
    if (m.number != 7) continue;
    for (const WireField& g : wire_fields(m.bytes)) {
      if (g.number == 1) out.nodes.push_back(onnx_node(g.bytes));
      if (g.number == 5) out.initializers.insert(onnx_initializer(g.bytes, data));
      if (g.number == 11) out.inputs.push_back(onnx_value(g.bytes));
      if (g.number == 12) out.outputs.push_back(onnx_value(g.bytes));
    }
  }
  return out;
}

}  // namespace nibble::test
