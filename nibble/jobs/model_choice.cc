#include "nibble/jobs/model_choice.h"

#include <fmt/format.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "nibble/core/error.h"
#include "nibble/model/adapted_model.h"
#include "nibble/model/hf_cache.h"
#include "nibble/model/with_activations.h"

namespace nibble {
namespace {

// While a model is quantized tensor by tensor, large blocks go back to the system as soon as they
// are free: else those that stay keep holes of the others' size between them.
class LargeBlocksGoBack {
 public:
#if defined(__GLIBC__)
  LargeBlocksGoBack() { mallopt(M_MMAP_THRESHOLD, 1 << 20); }
  // What glibc comes to by itself in a program that frees large blocks.
  ~LargeBlocksGoBack() {
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
  }
#else
  LargeBlocksGoBack() {}
  ~LargeBlocksGoBack() {}
#endif
  LargeBlocksGoBack(const LargeBlocksGoBack&) = delete;
  LargeBlocksGoBack& operator=(const LargeBlocksGoBack&) = delete;
};

}  // namespace

QuantizeOptions quantize_options(const Precision& precision) {
  QuantizeOptions out;
  out.scheme = parse_scheme(precision.scheme);
  for (const std::string& k : precision.keep) out.keep.push_back(parse_keep_rule(k));
  out.also = precision.also;
  return out;
}

Model open_choice(const ModelChoice& choice, const Exec& exec) {
  const auto adapters = parse_adapters(choice.adapters);
  Model model = open_model(resolve_model(choice.model));
  if (!choice.in.scheme.empty()) {
    const LargeBlocksGoBack while_loading;
    model = quantize_in_memory(model, quantize_options(choice.in), exec);
  }
  if (!choice.activations.empty())
    model = with_activations(model, parse_activations(choice.activations));
  return with_adapters(model, adapters);
}

std::vector<std::string> warnings_of(const Model& model) {
  std::vector<std::string> out;
  out.reserve(model.warnings.size());
  for (const std::string& w : model.warnings)
    out.push_back(fmt::format("{}: {}", printable(model.path), w));
  return out;
}

DType parse_kv(std::string_view name) {
  if (name == "int8") return DType::i8;
  const auto dtype = parse_dtype(name);
  if (dtype == DType::f32 || dtype == DType::f16) return *dtype;
  throw invalid_argument(fmt::format("`kv` {}: use one of f32, f16, int8", in_quotes(name)));
}

std::string_view kv_name(DType kv) { return kv == DType::i8 ? "int8" : to_string(kv); }

}  // namespace nibble
