// tests/golden/format/*.json: weights in the layouts of other tools, and the numbers that these or
// their formulas make of them (tests/golden/layout_cases.py).
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "nibble/format/quantized_layout.h"
#include "tests/quant/float_goldens.h"

namespace nibble::test {

inline nlohmann::json layout_goldens(const std::string& name) {
  std::ifstream in("tests/golden/format/" + name);
  if (!in) throw std::runtime_error("run the tests from the repository root");
  return nlohmann::json::parse(in);
}

inline TensorMap tensors_in(const nlohmann::json& golden) {
  TensorMap out;
  for (const auto& [name, t] : golden.at("tensors").items()) {
    const auto bytes = bytes_of(t.at("bytes"));
    Tensor tensor(*parse_safetensors_dtype(t.at("dtype").get<std::string>()),
                  Shape(t.at("shape").get<std::vector<int64_t>>()));
    if (tensor.bytes() != bytes.size()) throw std::runtime_error(name + " has another size");
    std::memcpy(tensor.mutable_raw(), bytes.data(), bytes.size());
    out.emplace(name, tensor);
  }
  return out;
}

/// Config.json with `config` under `key`.
inline JsonFields fields_of(const nlohmann::json& config,
                            const std::string& key = "quantization_config") {
  return JsonFields::parse(nlohmann::json({{key, config}}).dump());
}

/// The weight "x" of a model whose only matrix it is.
inline QuantizedTensor read_layout(const JsonFields& config, const TensorMap& tensors,
                                   std::vector<std::string>* warnings = nullptr) {
  const MatrixModule module{"x", "Linear"};
  const MemorySource source(tensors);
  const StoredModules modules = read_quantization_config(config, {&module, 1}, source);
  if (warnings != nullptr) *warnings = modules.warnings;
  require_stored(source, "x.weight", modules.schemes.at("x"), modules.layout);
  return from_tensors(source, "x.weight", modules.schemes.at("x"), modules.layout);
}

/// Within `slack` of each value's own size.
inline void expect_golden_values(const QuantizedTensor& q, const nlohmann::json& golden,
                                 float slack = 0) {
  ASSERT_EQ(q.shape, Shape(golden.at("shape").get<std::vector<int64_t>>()));
  const std::vector<float> wanted = floats_of(golden.at("values"));
  const Tensor found = dequantize(q);
  for (size_t i = 0; i < wanted.size(); ++i)
    ASSERT_LE(std::fabs(found.data<float>()[i] - wanted[i]), slack * std::fabs(wanted[i]))
        << "element " << i << ": " << found.data<float>()[i] << " and " << wanted[i];
}

}  // namespace nibble::test
