#include "cli/load.h"

#include <fmt/format.h>

#include <map>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "cli/flags.h"
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
  const LargeBlocksGoBack while_loading;
  QuantizeOptions q;
  q.scheme = parse_scheme(o.scheme);
  for (const std::string& k : o.keep) q.keep.push_back(parse_keep_rule(k));
  q.also = o.also;
  return quantize_in_memory(model, q, exec);
}

namespace {

// A warning without its names and numbers.
std::string kind_of(std::string_view warning) {
  std::string out;
  bool inside = false;
  for (const char c : warning) {
    if (c == '"') inside = !inside;
    if (!inside && c != '"' && (c < '0' || c > '9')) out += c;
  }
  return out;
}

}  // namespace

void show_warnings(const Common& common, const std::vector<std::string>& warnings) {
  constexpr int64_t kShown = 3;
  std::map<std::string, int64_t> all, shown;
  for (const std::string& w : warnings) ++all[kind_of(w)];
  for (const std::string& w : warnings) {
    const std::string kind = kind_of(w);
    const int64_t n = ++shown[kind], more = all[kind] - kShown;
    if (n <= kShown) say(common, "nibble: warning: " + in_flags(w));
    if (n == kShown && more > 0)
      say(common, fmt::format("nibble: warning: and {} more like these", more));
  }
}

void warn(const Common& common, const ModelFolder& model) {
  std::vector<std::string> lines;
  for (const std::string& w : model.warnings)
    lines.push_back(fmt::format("{}: {}", printable(model.path), w));
  show_warnings(common, lines);
}

void add_kv(CLI::App& verb, std::string& kv) {
  verb.add_option("--kv", kv, "What keys and values are kept in: f32, f16 or int8")
      ->capture_default_str();
}

void add_runs(CLI::App& verb, int& runs) {
  verb.add_option("--runs", runs,
                  "Timed rounds; medians count, and ratios are told from 6 on (default: 9, and "
                  "more until half a second is spent)")
      ->check(CLI::Range(1, 1'000'000));
}

DType parse_kv(const std::string& kv) {
  if (kv == "int8") return DType::i8;
  const auto dtype = parse_dtype(kv);
  if (dtype == DType::f32 || dtype == DType::f16) return *dtype;
  throw invalid_argument(fmt::format("--kv {}: use one of f32, f16, int8", in_quotes(kv)));
}

}  // namespace nibble::cli
