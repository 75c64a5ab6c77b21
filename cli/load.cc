#include "cli/load.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>

#include "cli/flags.h"
#include "nibble/core/error.h"

namespace nibble::cli {

void add_load(CLI::App& verb, ModelChoice& o) {
  verb.add_option(
          "model", o.model,
          "Model folder, .safetensors, .gguf or llama2.c .bin file, or a name in the Hugging Face "
          "cache")
      ->required();
  verb.add_option("--scheme,--dtype", o.in.scheme,
                  "Quantize or convert while loading: int8, int8:a8, int4:g32, bf16, ...");
  verb.add_option("--keep", o.in.keep,
                  "PATTERN[=f32|f16|bf16]: tensors --scheme leaves plain (repeatable)");
  verb.add_option("--quantize", o.in.also, "lm_head, embeddings: --scheme covers these too")
      ->delimiter(',');
  verb.add_option("--activations", o.activations,
                  "a8: round the inputs of stored codes to 8 bits as well, as llama.cpp does");
  add_adapters(verb, o.adapters);
}

void add_adapters(CLI::App& verb, std::vector<std::string>& adapters) {
  verb.add_option("--adapter", adapters,
                  "PATH[=WEIGHT]: a LoRA adapter as PEFT saves it, added to the model's weights "
                  "WEIGHT times (1 where not given; repeatable)");
}

void add_merged_adapters(CLI::App& verb, std::vector<std::string>& adapters) {
  verb.add_option("--adapter", adapters,
                  "PATH[=WEIGHT]: a LoRA adapter as PEFT saves it, merged into the model before it "
                  "is quantized (repeatable)");
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

NoticeHook tell(const Common& common, std::string own_text) {
  return [&common, own_text = std::move(own_text)](const Notice& n) {
    if (n.kind == Notice::Kind::warnings) return show_warnings(common, n.lines);
    if (n.kind == Notice::Kind::own_text)
      return say(common, "nibble: " + fmt::format(fmt::runtime(own_text), n.lines.front()));
    say(common, fmt::format("nibble: as generation_config.json says: {} (give a flag to change it)",
                            fmt::join(in_flags(n.lines), " ")));
  };
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

}  // namespace nibble::cli
