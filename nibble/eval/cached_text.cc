#include "nibble/eval/cached_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "nibble/core/error.h"
#include "nibble/eval/token_choice.h"

namespace nibble {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

SteadyTime steady_now() { return std::chrono::steady_clock::now(); }

double seconds_between(SteadyTime begin, SteadyTime end) {
  return std::chrono::duration<double>(end - begin).count();
}

}  // namespace

CachedText::CachedText(const Decoder& decoder, DType kv)
    : session_(decoder), cache_(decoder.make_cache(decoder.config().context, kv)) {}

// How many tokens of the cache the prompt begins with. The last one is read in any case: what is
// behind it is asked for.
int64_t CachedText::kept(std::span<const int32_t> prompt) const {
  const auto differ = std::mismatch(prompt.begin(), prompt.end(), cached_.begin(), cached_.end());
  const int64_t same = std::min<int64_t>(differ.first - prompt.begin(), std::ssize(prompt) - 1);
  const bool has_state = cache_.shape().state_layers > 0;
  return has_state && same < cache_.length() ? 0 : same;
}

std::vector<float> CachedText::read_prompt(std::span<const int32_t> prompt,
                                           const GenerateOptions& options, const Exec& exec) {
  const int64_t context = session_.decoder().config().context;
  if (prompt.empty()) throw invalid_argument("a text needs at least one token to go on from");
  if (std::ssize(prompt) > context)
    throw invalid_argument(
        fmt::format("a dialogue of {} tokens does not fit the context of {}: begin a new one",
                    prompt.size(), context));
  const int64_t same = kept(prompt);
  cache_.truncate(same);
  cached_.resize(static_cast<size_t>(same));
  const auto fresh = prompt.subspan(static_cast<size_t>(same));
  std::vector<float> logits = prefill(session_, fresh, cache_, options.prefill_chunk, exec);
  cached_.assign(prompt.begin(), prompt.end());
  read_ = std::ssize(fresh);
  return logits;
}

std::vector<int32_t> CachedText::go_on(std::span<const int32_t> prompt,
                                       const GenerateOptions& options, PyRandom& random,
                                       const Exec& exec, const TokenHook& hook) {
  const SteadyTime start = steady_now();
  const std::vector<float> first = read_prompt(prompt, options, exec);
  std::span<const float> logits = first;
  const int64_t room = cache_.capacity() - std::ssize(prompt) + 1;
  const int64_t most = std::min(options.max_new_tokens, room);
  TokenChoice choice(prompt, options, random);
  SteadyTime chosen = start;
  while (choice.count() < most) {
    exec.check_stop();
    const bool first_one = choice.count() == 0;
    const std::optional<int32_t> token = choice.choose(logits);
    if (first_one) chosen = steady_now();
    if (!token || (hook && !hook(*token)) || choice.count() == most) break;
    logits = session_.run({&*token, 1}, cache_, Decoder::Logits::last, exec);
    cached_.push_back(*token);
  }
  random = choice.random();
  logprobs_ = choice.take_logprobs();
  prefill_seconds_ = seconds_between(start, chosen);
  decode_seconds_ = seconds_between(chosen, steady_now());
  return choice.take_ids();
}

}  // namespace nibble
