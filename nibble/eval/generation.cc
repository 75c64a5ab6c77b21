#include "nibble/eval/generation.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "nibble/core/error.h"
#include "nibble/eval/token_choice.h"

namespace nibble {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_from(Clock::time_point t) {
  return std::chrono::duration<double>(Clock::now() - t).count();
}

// The places that a prompt and `wanted` new tokens take: the last token chosen needs none, as
// nothing is predicted behind it.
int64_t places_for(int64_t prompt, int64_t wanted) {
  return prompt + std::max<int64_t>(wanted, 1) - 1;
}

int64_t capacity_for(const Decoder& model, int64_t prompt, int64_t wanted, bool shift) {
  const int64_t context = model.config().context;
  if (prompt == 0) throw invalid_argument("generating needs a prompt of at least one token");
  if (places_for(prompt, wanted) <= context) return places_for(prompt, wanted);
  if (shift && context >= 2) return context;
  if (prompt > context)
    throw invalid_argument(
        fmt::format("a prompt of {} tokens does not fit the context of {}: "
                    "shorten it, or let `shift` drop what is oldest",
                    prompt, context));
  throw invalid_argument(fmt::format(
      "a prompt of {} tokens and {} new ones do not fit the context of {}: shorten the prompt, ask "
      "for at most {}, or let `shift` drop what is oldest",
      prompt, wanted, context, std::max<int64_t>(context - prompt + 1, 0)));
}

// One text on its way: what is in its cache, what goes in next, what came out.
class Sequence {
 public:
  Sequence(Session& session, std::span<const int32_t> prompt, const PyRandom& random,
           const TokenHook& hook, int64_t wanted, const GenerateOptions& o)
      : session_(session),
        options_(o),
        hook_(hook),
        wanted_(wanted),
        cache_(session.decoder().make_cache(
            capacity_for(session.decoder(), std::ssize(prompt), wanted, o.shift), o.kv)),
        choice_(prompt, o, random),
        window_(prompt.begin(), prompt.end()),
        done_(wanted <= 0) {}

  bool done() const { return done_; }
  // Nothing of the window is in the cache: read() comes next.
  bool unread() const { return cache_.length() == 0; }
  std::span<const int32_t> last() const { return std::span(window_).last(1); }
  KvCache& cache() { return cache_; }
  TokenChoice& choice() { return choice_; }

  // Reads the whole window, cut to what the cache holds, and chooses the token behind it.
  void read(const Exec& exec) {
    shift();
    accept(prefill(session_, window_, cache_, options_.prefill_chunk, exec));
  }

  // The logits behind the last token: chooses the next.
  void accept(std::span<const float> logits) {
    const std::optional<int32_t> token = choice_.choose(logits);
    if (!token) {
      done_ = true;
      return;
    }
    window_.push_back(*token);
    done_ = (hook_ && !hook_(*token)) || choice_.count() >= wanted_;
    if (!done_ && cache_.length() == cache_.capacity()) cache_.clear();
  }

 private:
  // The first token stays: models lean on it (Xiao et al. 2023, "attention sinks").
  void shift() {
    while (static_cast<int64_t>(window_.size()) > cache_.capacity()) {
      const int64_t dropped = std::max<int64_t>((cache_.capacity() - 1) / 2, 1);
      window_.erase(window_.begin() + 1, window_.begin() + 1 + dropped);
    }
  }

  Session& session_;
  const GenerateOptions& options_;
  const TokenHook& hook_;
  int64_t wanted_;
  KvCache cache_;
  TokenChoice choice_;
  std::vector<int32_t> window_;
  bool done_;
};

// One token of each of `active` through the decoder, together: the weights are read once for all.
void step(Session& session, const std::vector<Sequence*>& active, const Exec& exec) {
  if (active.empty()) return;
  std::vector<Decoder::Item> batch;
  batch.reserve(active.size());
  for (Sequence* s : active) batch.push_back({s->last(), &s->cache()});
  const auto logits = session.run(batch, exec);
  const auto width = static_cast<size_t>(session.decoder().config().vocab_size);
  for (size_t i = 0; i < active.size(); ++i) active[i]->accept(logits.subspan(i * width, width));
}

void read_unread(std::vector<Sequence>& all, const Exec& exec) {
  for (Sequence& s : all) {
    if (s.done() || !s.unread()) continue;
    exec.check_stop();
    s.read(exec);
  }
}

}  // namespace

std::vector<float> prefill(Session& session, std::span<const int32_t> ids, KvCache& cache,
                           int64_t chunk, const Exec& exec) {
  if (chunk < 1)
    throw invalid_argument(fmt::format("`prefill_chunk` {}: must be 1 or more", chunk));
  std::span<const float> logits;
  while (!ids.empty()) {
    exec.check_stop();
    const size_t n = std::min(ids.size(), static_cast<size_t>(chunk));
    const bool last = n == ids.size();
    logits = session.run(ids.first(n), cache, last ? Decoder::Logits::last : Decoder::Logits::none,
                         exec);
    ids = ids.subspan(n);
  }
  return {logits.begin(), logits.end()};
}

std::vector<int32_t> generate(const Decoder& model, std::span<const int32_t> prompt,
                              const GenerateOptions& options, PyRandom& random, const Exec& exec,
                              const TokenHook& hook) {
  Session session(model);
  Sequence s(session, prompt, random, hook, options.max_new_tokens, options);
  while (!s.done()) {
    exec.check_stop();
    if (s.unread())
      s.read(exec);
    else
      step(session, {&s}, exec);
  }
  random = s.choice().random();
  return s.choice().take_ids();
}

BatchResult generate_batch(const Decoder& model, const std::vector<GenerateRequest>& requests,
                           const GenerateOptions& options, const Exec& exec) {
  BatchResult out;
  Session session(model);
  std::vector<Sequence> all;
  all.reserve(requests.size());
  for (const GenerateRequest& r : requests) {
    const int64_t wanted = r.max_new_tokens > 0 ? r.max_new_tokens : options.max_new_tokens;
    all.emplace_back(session, r.prompt, PyRandom(r.seed), r.hook, wanted, options);
    out.prompt_tokens += static_cast<int64_t>(r.prompt.size());
  }
  auto start = Clock::now();
  read_unread(all, exec);
  out.prefill_seconds = seconds_from(start);
  start = Clock::now();
  for (;;) {
    exec.check_stop();
    std::vector<Sequence*> active;
    for (Sequence& s : all) {
      if (!s.done() && !s.unread()) active.push_back(&s);
    }
    step(session, active, exec);
    read_unread(all, exec);
    if (std::all_of(all.begin(), all.end(), [](const Sequence& s) { return s.done(); })) break;
  }
  out.decode_seconds = seconds_from(start);
  for (Sequence& s : all) {
    out.ids.push_back(s.choice().take_ids());
    out.logprobs.push_back(s.choice().take_logprobs());
    out.new_tokens += static_cast<int64_t>(out.ids.back().size());
  }
  return out;
}

std::vector<ScoredSequence> generated_sequences(const Decoder& model, const Tokenizer& tokenizer,
                                                int64_t count, int64_t length, uint64_t seed,
                                                const Exec& exec) {
  const int32_t first = tokenizer.bos().value_or(0);
  GenerateOptions options;
  options.max_new_tokens = std::min(length, model.config().context) - 1;
  std::vector<ScoredSequence> out;
  for (int64_t i = 0; i < count; ++i) {
    PyRandom random(seed + static_cast<uint64_t>(i));
    ScoredSequence s{{first}, 1};
    const auto ids = generate(model, std::span(&first, 1), options, random, exec);
    s.ids.insert(s.ids.end(), ids.begin(), ids.end());
    out.push_back(std::move(s));
    exec.report({"write text", i + 1, count, {}});
  }
  return out;
}

}  // namespace nibble
