// Text from a model: prompts, or turns of a chat, and what it writes behind them.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/core/exec.h"
#include "nibble/eval/generation.h"
#include "nibble/jobs/chat.h"
#include "nibble/jobs/model_choice.h"
#include "nibble/jobs/notice.h"

namespace nibble {

struct GenerateJob {
  ModelChoice model;
  std::vector<std::string> prompts = {""};
  bool chat = false;           ///< a prompt is a user's turn, which the model answers
  std::string system;          ///< of a chat, before the user's turn; empty: none
  ChatChoice template_choice;  ///< of a chat
  SamplingOptions sampling = {.temperature = 0.5};
  /// Of `sampling`, what was set on purpose ("top_p"): generation_config.json decides the rest.
  std::set<std::string> given;
  std::vector<std::string> stop;  ///< strings that end a text
  /// ID=VALUE or TEXT=VALUE, TEXT one token (in double quotes a JSON string): VALUE, a number or
  /// -inf, is added to its logit.
  std::vector<std::string> logit_bias;
  std::vector<std::string> dry_breakers = {"\n", ":", "\"",
                                           "*"};  ///< what DRY does not reach across
  std::optional<int64_t> logprobs;                ///< with each token as many of the likeliest ones
  int64_t max_new_tokens = 0;                     ///< 0: what the context holds, at most 256
  int samples = 1;                                ///< texts of each prompt
  uint64_t seed = 42;  ///< of a prompt's first text; the next ones count up from it
  int batch = 16;      ///< texts that are generated together
  bool shift = false;  ///< as GenerateOptions has it, and so the next two
  int64_t prefill_chunk = 512;
  DType kv = DType::f32;
};

struct TokenLogprob {
  int32_t id = 0;
  std::string token;  ///< its text
  double logprob = 0;
};

/// By the model alone, before everything that changes the choice.
struct TokenLogprobs {
  TokenLogprob chosen;
  std::vector<TokenLogprob> best;  ///< likeliest first
};

struct GeneratedText {
  std::string prompt;  ///< what the model read, special tokens as their text
  std::vector<int32_t> prompt_ids, ids;
  std::string text;  ///< prompt (of a chat none) and what was written, up to a stop string
  std::vector<TokenLogprobs> logprobs = {};  ///< of each of ids, where asked for
};

struct GenerateResult {
  std::vector<GeneratedText> texts;  ///< `samples` of the first prompt, then of the next
  int samples = 1;
  /// first_tokens: those of new_tokens that come with reading the prompts.
  int64_t prompt_tokens = 0, first_tokens = 0, new_tokens = 0;
  double prefill_seconds = 0, decode_seconds = 0;
  SamplingOptions sampling;  ///< as it was done
  std::vector<std::string> from_generation_config;
  DType kv = DType::f32;
  std::vector<std::string> warnings;
};

/// Called with what is to be shown of the texts, in order: a prompt, what is written behind it, a
/// line's end. As it comes where one text is written at a time, else text by text.
using ShowHook = std::function<void(std::string_view)>;

/// Error{invalid_argument} for options that contradict each other or the model, an empty prompt of
/// a model that knows no token to begin with among them.
GenerateResult generate(const GenerateJob& job, const Exec& exec, const NoticeHook& tell = {},
                        const ShowHook& show = {});

/// The same of a model that is open: of job.model nothing is read, and `decoder` is asked for the
/// folder's decoder once the options are known to be right.
GenerateResult generate(const GenerateJob& job, const Model& folder,
                        const std::function<const Decoder&()>& decoder, const Exec& exec,
                        const NoticeHook& tell = {}, const ShowHook& show = {});

}  // namespace nibble
