#include "nibble/jobs/generation_setup.h"

#include <fmt/format.h>

#include <algorithm>

#include "nibble/core/error.h"
#include "nibble/jobs/prompt.h"
#include "nibble/jobs/token_options.h"
#include "nibble/nn/sampling_fields.h"

namespace nibble {
namespace {

constexpr int64_t kDefaultTokens = 256, kMostLogprobs = 1000;

// "`top_k` 40" of each that generation_config.json changed.
std::vector<std::string> taken_words(const GenerateResult& r) {
  const std::vector<std::string>& taken = r.from_generation_config;
  std::vector<std::string> out;
  for (const SamplingField& f : sampling_fields()) {
    if (std::find(taken.begin(), taken.end(), f.name) != taken.end())
      out.push_back(fmt::format("`{}` {}", f.name, f.value(r.sampling)));
  }
  return out;
}

// A warning for each option that was set on purpose and that the temperature leaves without effect.
std::vector<std::string> unread_sampling(const std::set<std::string>& given,
                                         const SamplingOptions& chosen) {
  std::vector<std::string> out;
  for (const SamplingField& f : sampling_fields()) {
    if (chosen.temperature > 0 || f.cold || !given.contains(std::string(f.name))) continue;
    out.push_back(fmt::format(
        "`{}`: without effect, since a temperature of 0 always takes the most likely token",
        f.name));
  }
  return out;
}

void choose_sampling(const GenerationSetup& g, const NoticeHook& tell, GenerateResult& out) {
  note_warnings(g.defaults.warnings, tell, out.warnings);
  out.sampling = g.job.sampling;
  out.from_generation_config = take_defaults(g.defaults, g.job.given, out.sampling);
  const std::vector<std::string> taken = taken_words(out);
  if (tell && !taken.empty()) tell({Notice::Kind::defaults, taken});
  note_warnings(unread_sampling(g.job.given, out.sampling), tell, out.warnings);
  const Tokenizer& tokenizer = g.folder.require_tokenizer();
  out.sampling.bias =
      read_biases(g.job.logit_bias, tokenizer, g.folder.decoder_config().vocab_size);
  if (out.sampling.dry.multiplier > 0)
    out.sampling.dry.breakers = breakers_of(g.job.dry_breakers, tokenizer);
}

void choose_ends(GenerationSetup& g) {
  g.options.stop = text_ends(g.folder, g.defaults);
  if (g.chat) {
    const auto ends = g.chat->ends(g.folder.require_tokenizer());
    g.options.stop.insert(g.options.stop.end(), ends.begin(), ends.end());
  }
  g.stop = g.job.stop;
  g.stop.insert(g.stop.end(), g.defaults.stop_strings.begin(), g.defaults.stop_strings.end());
}

void check_job(const GenerateJob& job) {
  validate(job.sampling);
  if (job.logprobs && (*job.logprobs < 0 || *job.logprobs > kMostLogprobs))
    throw invalid_argument(fmt::format("`logprobs` {}: expected 0 to {} tokens beside each one",
                                       *job.logprobs, kMostLogprobs));
}

}  // namespace

GenerationSetup begin_generation(const GenerateJob& job, Model folder, GenerateResult& out) {
  check_job(job);
  out.samples = job.samples;
  out.kv = job.kv;
  std::optional<Chat> chat = chat_of(job, folder);
  GenerationDefaults defaults = read_generation_defaults(folder);
  return {job, std::move(folder), std::move(chat), std::move(defaults)};
}

GenerationSetup open_generation(const GenerateJob& job, const Exec& exec, const NoticeHook& tell,
                                GenerateResult& out) {
  check_job(job);  // before the work of opening
  Model folder = open_choice(job.model, exec);
  note_warnings(warnings_of(folder), tell, out.warnings);
  return begin_generation(job, std::move(folder), out);
}

void choose_options(GenerationSetup& g, const NoticeHook& tell, GenerateResult& out) {
  choose_sampling(g, tell, out);
  choose_ends(g);
  g.options.sampling = out.sampling;
  g.options.prefill_chunk = g.job.prefill_chunk;
  g.options.kv = g.job.kv;
  g.options.shift = g.job.shift;
  g.options.logprobs = g.job.logprobs;
}

Decoder take_decoder(GenerationSetup& g, const Exec& exec) {
  Decoder out = load_decoder(g.folder, {.threads = exec.threads});
  g.folder.weights.reset();
  return out;
}

int64_t most_tokens(const GenerateJob& job, const Decoder& model, const Prompt& prompt) {
  if (job.max_new_tokens > 0) return job.max_new_tokens;
  if (job.shift) return kDefaultTokens;
  const int64_t room = model.config().context - static_cast<int64_t>(prompt.ids.size()) + 1;
  return std::clamp<int64_t>(room, 1, kDefaultTokens);
}

}  // namespace nibble
