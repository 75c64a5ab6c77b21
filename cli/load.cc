#include "cli/load.h"

#include <fmt/format.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "nibble/compress/quantize.h"
#include "nibble/core/error.h"
#include "nibble/model/hf_cache.h"

namespace nibble::cli {
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

void add_load(CLI::App& verb, LoadOptions& o) {
  verb.add_option(
          "model", o.model,
          "Model folder, .safetensors or llama2.c .bin file, or a name in the Hugging Face cache")
      ->required();
  verb.add_option("--scheme,--dtype", o.scheme,
                  "Quantize or convert while loading: int8, int8:a8, int4:g32, bf16, ...");
  verb.add_option("--keep", o.keep,
                  "PATTERN[=f32|f16|bf16]: tensors --scheme leaves plain (repeatable)");
  verb.add_option("--quantize", o.also, "lm_head, embeddings: --scheme covers these too")
      ->delimiter(',');
}

ModelFolder load_model(const LoadOptions& o, const Exec& exec) {
  ModelFolder model = open_model(resolve_model(o.model));
  if (o.scheme.empty()) return model;
  std::vector<std::string> warnings = model.warnings;
  const LargeBlocksGoBack while_loading;
  QuantizeOptions q;
  q.scheme = parse_scheme(o.scheme);
  for (const std::string& k : o.keep) q.keep.push_back(parse_keep_rule(k));
  q.also = o.also;
  ModelFolder made = quantize_in_memory(model, q, exec);
  made.warnings = std::move(warnings);
  // The pages of what was quantized are not needed again.
  for (const ParamSpec& p : parameter_table(model.config)) release_weight(model, p);
  return made;
}

void warn(const Common& common, const ModelFolder& model) {
  for (const std::string& w : model.warnings)
    say(common, fmt::format("nibble: warning: {}: {}", printable(model.path), w));
}

void add_kv(CLI::App& verb, std::string& kv) {
  verb.add_option("--kv", kv, "What keys and values are kept in: f32, f16 or int8")
      ->capture_default_str();
}

DType parse_kv(const std::string& kv) {
  if (kv == "int8") return DType::i8;
  const auto dtype = parse_dtype(kv);
  if (dtype == DType::f32 || dtype == DType::f16) return *dtype;
  throw invalid_argument(fmt::format("--kv {}: use one of f32, f16, int8", in_quotes(kv)));
}

}  // namespace nibble::cli
