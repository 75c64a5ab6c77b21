#include "nibble/compress/method_chain.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "nibble/core/error.h"
#include "nibble/quant/method.h"
#include "nibble/quant/rescale.h"

namespace nibble {
namespace {

struct Extra {
  std::string_view name, summary;
};
constexpr Extra kRotate = {"rotate", "Hadamard rotation of the residual stream, no outliers left"};
constexpr Extra kQat = {"qat", "behind another: each layer trained to give what the original has"};
constexpr Extra kLlmInt8 = {"llm_int8", "int8 with inputs beyond 6 kept in f32 at run time"};

// The weights that outliers meet stay in 16 bits in the paper. Here they are int8 like the others,
// and their rounding is what is left of the error (`nibble inspect --activations`): gptq makes up
// for it with the other columns.
constexpr std::string_view kSparingQuantizer = "gptq";

bool is_method(std::string_view name) {
  const auto all = methods();
  return std::any_of(all.begin(), all.end(), [&](const Method& m) { return m.name == name; });
}

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> out;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find('+', at), text.size());
    out.emplace_back(text.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

void spare(QuantScheme& scheme) {
  if (!scheme.is_integer())
    throw invalid_argument(
        fmt::format("`method` llm_int8 rounds to integers: {} cannot be used", to_string(scheme)));
  scheme.activations = ActivationType::a8_outlier;
}

}  // namespace

std::vector<std::pair<std::string_view, std::string_view>> chain_parts() {
  std::vector<std::pair<std::string_view, std::string_view>> out;
  for (const Method& m : methods()) out.emplace_back(m.name, m.summary);
  for (const Rescaler& r : rescalers()) out.emplace_back(r.name, r.summary);
  for (const Extra& e : {kRotate, kQat, kLlmInt8}) out.emplace_back(e.name, e.summary);
  return out;
}

MethodChain parse_method_chain(std::string_view text) {
  MethodChain out;
  for (const std::string& part : split(text)) {
    if (part == kQat.name && !out.spare_outliers && !out.trains) {
      out.trains = true;
      continue;
    }
    if (!out.quantizer.empty() || out.spare_outliers || out.trains) {
      const std::string_view last = out.spare_outliers ? kLlmInt8.name : out.quantizer;
      throw invalid_argument(fmt::format(
          "method {}: {} and must be the last; awq, smoothquant and rotate may stand before it{}",
          in_quotes(text),
          out.trains ? "qat trains what is quantized" : fmt::format("{} chooses the numbers", last),
          out.trains || out.spare_outliers ? "" : ", qat behind it"));
    }
    if (part == kLlmInt8.name) {
      out.spare_outliers = true;
    } else if (is_method(part)) {
      out.quantizer = part;
    } else if (part == kRotate.name || find_rescaler(part) != nullptr) {
      out.steps.push_back(part);
    } else {
      std::vector<std::string_view> names;
      for (const auto& [name, summary] : chain_parts()) names.push_back(name);
      throw invalid_argument(
          fmt::format("unknown method {}; use one of {}", in_quotes(part), fmt::join(names, ", ")));
    }
  }
  if (!out.quantizer.empty()) return out;
  const Rescaler* last = out.steps.empty() ? nullptr : find_rescaler(out.steps.back());
  if (out.spare_outliers)
    out.quantizer = kSparingQuantizer;
  else
    out.quantizer = last == nullptr ? "rtn" : std::string(last->quantizer);
  return out;
}

QuantizeOptions without_steps(const QuantizeOptions& options) {
  const MethodChain chain = parse_method_chain(options.method);
  QuantizeOptions out = options;
  out.method = chain.quantizer;
  out.trains_blocks = chain.trains;
  if (chain.trains && chain.quantizer == "rtn") out.tuning.clip = true;  // as training begins
  if (!chain.spare_outliers) return out;
  out.inputs = CalibrationInputs::quantized;  // 8 bits leave nothing to make up for
  spare(out.scheme);
  for (SetRule& r : out.set) {
    if (r.scheme.is_integer()) spare(r.scheme);
  }
  return out;
}

}  // namespace nibble
