#include "nibble/eval/cached_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "nibble/core/error.h"

namespace nibble {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

SteadyTime steady_now() { return std::chrono::steady_clock::now(); }

double seconds_between(SteadyTime begin, SteadyTime end) {
  return std::chrono::duration<double>(end - begin).count();
}

bool is_end(int32_t token, const GenerateOptions& options) {
  return std::find(options.stop.begin(), options.stop.end(), token) != options.stop.end();
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
  std::vector<int32_t> history(prompt.begin(), prompt.end()), out;
  SteadyTime chosen = start;
  while (std::ssize(out) < most) {
    exec.check_stop();
    const int32_t token = sample(logits, history, options.sampling, random);
    if (out.empty()) chosen = steady_now();
    if (is_end(token, options)) break;
    out.push_back(token);
    history.push_back(token);
    if ((hook && !hook(token)) || std::ssize(out) == most) break;
    logits = session_.run({&history.back(), 1}, cache_, Decoder::Logits::last, exec);
    cached_.push_back(token);
  }
  prefill_seconds_ = seconds_between(start, chosen);
  decode_seconds_ = seconds_between(chosen, steady_now());
  return out;
}

}  // namespace nibble
