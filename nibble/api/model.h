// A model that is open: what it is, its weights, its logits, the text it writes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/api/control.h"
#include "nibble/api/export.h"

namespace nibble::api {

/// The precision a model is made in while it is opened, by round to nearest; as it is stored where
/// `scheme` is empty.
struct OpenOptions {
  std::string scheme = {};                 ///< "int8:a8", "int4:g32", "bf16"
  std::vector<std::string> keep = {};      ///< PATTERN[=DTYPE]: tensors that stay plain
  std::vector<std::string> also = {};      ///< "lm_head", "embeddings": covered as well
  std::string activations = {};            ///< "a8": inputs of stored codes are rounded, too
  std::vector<std::string> adapters = {};  ///< PATH[=WEIGHT] of LoRA adapters
};

struct WeightInfo {
  std::string name;  ///< as stored
  std::vector<int64_t> shape;
  std::string stored_as;  ///< "int4:g32", "f16"
};

/// Row-major floats.
struct Floats {
  std::vector<int64_t> shape;
  std::vector<float> values;
};

struct GenerateOptions {
  std::vector<std::string> prompts = {""};
  bool chat = false;        ///< a prompt is a user's turn, which the model answers
  std::string system = {};  ///< of a chat, before the user's turn
  std::string chat_format = {};
  std::vector<std::string> template_arg = {};  ///< NAME=VALUE, variables of the template
  std::string template_date = {};              ///< "2026-01-15"; empty: today
  /// Where unset, generation_config.json decides; the command's defaults where that says nothing.
  std::optional<double> temperature = {}, top_p = {}, min_p = {}, repetition_penalty = {},
                        typical_p = {};
  std::optional<int64_t> top_k = {};
  /// The command's defaults where unset.
  std::optional<double> presence_penalty = {}, frequency_penalty = {}, top_n_sigma = {},
                        dry_multiplier = {}, dry_base = {};
  std::optional<int64_t> dry_allowed_length = {};
  std::optional<std::vector<std::string>> dry_breakers = {};
  std::vector<std::string> logit_bias = {};  ///< ID=VALUE, TEXT=VALUE
  std::optional<int64_t> logprobs = {};      ///< likeliest tokens with each one, in `json`
  std::vector<std::string> stop = {};        ///< strings that end a text
  int64_t max_new_tokens = 0;                ///< 0: what the context holds, at most 256
  int samples = 1;                           ///< texts of each prompt
  uint64_t seed = 42;                        ///< of a prompt's first text; the next ones count up
  int batch = 16;                            ///< texts that are generated together
  bool shift = false;                        ///< where the context is full, drop its older half
  int64_t prefill_chunk = 512;               ///< most tokens of a prompt that are read at once
  std::string kv = "f32";                    ///< what keys and values are kept in: f32, f16, int8
};

struct GeneratedText {
  std::string prompt;
  std::vector<int32_t> prompt_ids, ids;
  std::string text;  ///< the prompt (not of a chat) and what was written
};

struct Generated {
  std::vector<GeneratedText> texts;  ///< `samples` of the first prompt, then of the next
  std::vector<std::string> warnings;
  std::string json;  ///< the document of `nibble generate --json`
};

/// Called with what is to be shown of the texts, in order; as it comes where one text is written.
using ShowHook = std::function<void(std::string_view)>;

/// Every const member may be called by several threads at once.
class NIBBLE_API Model {
 public:
  /// A folder as Hugging Face lays it out, a .safetensors file in one, a .gguf, a llama2.c .bin, or
  /// a name in the Hugging Face cache. Throws Error.
  static Model open(const std::string& model, const OpenOptions& options = {},
                    const Control& control = {});
  Model(Model&&) noexcept;
  Model& operator=(Model&&) noexcept;
  ~Model();

  const std::string& path() const;
  std::string type() const;    ///< `model_type`: "llama"
  std::string scheme() const;  ///< of most weights: "int8", "f32", "mixed"
  int64_t vocabulary() const;
  int64_t context() const;  ///< the longest sequence, in tokens
  int64_t parameters() const;
  const std::vector<std::string>& warnings() const;  ///< of opening it

  /// `special`: with the tokens that the model expects around a text.
  std::vector<int32_t> encode(std::string_view text, bool special = true) const;
  /// Always valid UTF-8. `skip_special`: without tokens that are no text.
  std::string decode(std::span<const int32_t> ids, bool skip_special = false) const;

  /// [ids, vocabulary]: of what follows each id. Error{invalid_argument} for none of them, an id
  /// outside the vocabulary or more than the context holds.
  Floats logits(std::span<const int32_t> ids, const Control& control = {}) const;

  std::vector<WeightInfo> weights() const;
  /// What a weight stands for. Error{not_found} where there is none of the name.
  Floats weight(std::string_view name, const Control& control = {}) const;

  /// Byte by byte what `nibble generate` writes of the same options.
  Generated generate(const GenerateOptions& options = {}, const Control& control = {},
                     const ShowHook& show = {}) const;

 private:
  struct State;
  explicit Model(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace nibble::api
