#include "nibble/eval/measure.h"

#include <algorithm>
#include <functional>
#include <optional>

#include "nibble/core/error.h"
#include "nibble/core/in_file.h"
#include "nibble/eval/free_running.h"
#include "nibble/eval/generation.h"
#include "nibble/eval/generation_config.h"
#include "nibble/eval/perplexity.h"
#include "nibble/eval/speed.h"
#include "nibble/quant/bits.h"

namespace nibble {
namespace {

constexpr int64_t kNewTokens = 64;

std::vector<int32_t> prompt_for(const Tokenizer& tokenizer,
                                const std::vector<ScoredSequence>& sequences,
                                const MeasureOptions& options) {
  if (!options.prompt.empty()) return options.prompt;
  if (tokenizer.bos()) return {*tokenizer.bos()};
  for (const auto& s : sequences) {
    if (!s.ids.empty()) return {s.ids.front()};
  }
  return {0};
}

// As many as asked for; by default what the context holds, but no more than 64.
int64_t new_tokens(const Decoder& model, std::span<const int32_t> prompt,
                   const MeasureOptions& options) {
  const int64_t room = model.config().context - static_cast<int64_t>(prompt.size()) + 1;
  return std::min(options.max_new_tokens > 0 ? options.max_new_tokens : kNewTokens, room);
}

// The text of `ids` as it stands behind the prompt.
std::string text_behind(const Tokenizer& tokenizer, std::span<const int32_t> prompt,
                        std::span<const int32_t> ids) {
  StreamDecoder decoder(tokenizer, false);
  for (const int32_t id : prompt) decoder.push(id);
  std::string out;
  for (const int32_t id : ids) out += decoder.push(id);
  return out + decoder.finish();
}

// What ends a text: for the tokenizer's files, and for the model's.
std::vector<int32_t> ends_of(const Tokenizer& tokenizer, const MeasureOptions& options) {
  std::vector<int32_t> out = tokenizer.ends();
  out.insert(out.end(), options.stop.begin(), options.stop.end());
  return out;
}

// The ids up to the first of `ends`.
std::vector<int32_t> up_to_an_end(std::vector<int32_t> ids, const std::vector<int32_t>& ends) {
  ids.erase(std::find_first_of(ids.begin(), ids.end(), ends.begin(), ends.end()), ids.end());
  return ids;
}

void fill_sizes(const Model& folder, const Decoder& model, Measurement& m) {
  m.scheme = scheme_summary(folder);
  m.parameters = parameter_count(model.config());
  m.file_bytes = folder.weights->file_bytes();
  m.memory_bytes = static_cast<int64_t>(model.memory_bytes());
  m.weight_bytes = static_cast<int64_t>(model.weight_bytes());
  m.bits_per_weight = stored_bits_per_weight(folder);
  model.for_each_linear([&](const LinearGroup& g, size_t i) {
    if (m.kernel.empty()) m.kernel = g.kernel_name(i);
  });
}

void fill_quality(const ComparisonResult& c, Measurement& m) {
  require_perplexity(c.model);
  m.loss = c.model.loss;
  m.standard_error = c.model.standard_error;
  m.perplexity = c.model.perplexity;
  m.tokens = c.model.tokens;
  m.divergence = c.divergence;
  m.loss_difference = c.loss_difference;
  m.loss_difference_standard_error = c.loss_difference_standard_error;
}

// Writes the same tokens greedily each time it is called.
std::function<void()> generation(const Decoder& model, std::span<const int32_t> prompt,
                                 int64_t tokens, const Exec& exec) {
  GenerateOptions options;
  options.max_new_tokens = tokens;
  options.sampling.temperature = 0;
  return [&model, prompt, options, &exec] {
    PyRandom random(0);
    generate(model, prompt, options, random, exec);
  };
}

// A decoder to time, and where its times go.
struct Timed {
  const Decoder* model;
  Latency* to;
};

double time_generations(const std::vector<Timed>& all, std::span<const int32_t> prompt,
                        int64_t tokens, const RoundOptions& options, const Exec& exec) {
  std::vector<std::function<void()>> works;
  works.reserve(all.size());
  for (const Timed& t : all) works.push_back(generation(*t.model, prompt, tokens, exec));
  TimedRounds rounds = time_rounds(works, options, exec);
  for (size_t i = 0; i < all.size(); ++i) *all[i].to = std::move(rounds.latencies[i]);
  return rounds.waited_share;
}

void fill_speed(const Model& folder, const Decoder& model, const Decoder* base,
                std::span<const int32_t> prompt, const MeasureOptions& options, const Exec& exec,
                Measurement& m) {
  const int64_t tokens = new_tokens(model, prompt, options);
  std::vector<Timed> all = {{&model, &m.latency}};
  if (base != nullptr) all.push_back({base, &m.base_latency});
  std::optional<Decoder> slow;
  if (options.time_dequantized && is_quantized(folder)) {
    slow.emplace(load_decoder(folder, {.dequantize_on_the_fly = true, .threads = exec.threads}));
    all.push_back({&*slow, &m.dequantized_latency});
  }
  m.waited_share =
      time_generations(all, prompt, tokens, {options.runs, options.warmup, "time " + m.name}, exec);
  m.tokens_per_second = rate(static_cast<double>(tokens), m.latency);
  m.dequantized_tokens_per_second = rate(static_cast<double>(tokens), m.dequantized_latency);
}

// What fits: a prompt of 256 tokens and 32 behind it, or half and half of a short context.
SpeedOptions speed_options(const Decoder& model, const MeasureOptions& options) {
  SpeedOptions o;
  o.kv = options.kv;
  o.decode = std::min<int64_t>(32, model.config().context / 2);
  o.prefill = std::min<int64_t>(256, model.config().context - o.decode);
  o.runs = options.runs;
  return o;
}

void count_multiplications(const Decoder& model, Throughput& t) {
  int64_t head = 0;
  model.for_each_linear([&](const LinearGroup& g, size_t member) {
    if (member == 0) t.decode_multiplications += g.multiplications();
    head = g.multiplications();  // it is the last
  });
  t.prefill_multiplications = (t.decode_multiplications - head) * t.prefill_tokens + head;
}

void fill_throughput(const Decoder& model, const Decoder* base, const MeasureOptions& options,
                     const Exec& exec, Measurement& m) {
  const SpeedOptions o = speed_options(model, options);
  if (o.decode < 1 || o.prefill < 1) return;
  std::vector<const Decoder*> models = {&model};
  if (base != nullptr) models.push_back(base);
  std::vector<SpeedResult> r = measure_speed(models, o, exec);
  Throughput& t = m.throughput;
  t.prefill_tokens = o.prefill;
  t.decode_tokens = o.decode;
  t.prefill_tokens_per_second = r[0].prefill_tokens_per_second;
  t.decode_tokens_per_second = r[0].decode_tokens_per_second;
  t.prefill = std::move(r[0].prefill);
  t.decode = std::move(r[0].decode);
  if (base != nullptr) t.base_prefill = std::move(r[1].prefill);
  if (base != nullptr) t.base_decode = std::move(r[1].decode);
  m.waited_share = std::max(m.waited_share, r[0].waited_share);
  count_multiplications(model, t);
}

void fill_texts(const Decoder& model, const Decoder& base, const Tokenizer& tokenizer,
                std::span<const int32_t> prompt, const std::vector<ScoredSequence>& sequences,
                const MeasureOptions& options, const Exec& exec, TextComparison& t) {
  constexpr int64_t kBeginning = 16, kLength = 48;
  const int64_t tokens = new_tokens(model, prompt, options);
  const std::vector<std::vector<int32_t>> one = {{prompt.begin(), prompt.end()}};
  const std::vector<int32_t> ends = ends_of(tokenizer, options);
  const auto written = [&](const Decoder& by) {
    return up_to_an_end(continuations(by, one, tokens, options.kv, exec).front(), ends);
  };
  const std::vector<int32_t> mine = written(model), theirs = written(base);
  t.tokens = static_cast<int64_t>(mine.size());
  t.first_difference = first_difference(mine, theirs);
  t.text = text_behind(tokenizer, prompt, mine);
  const auto prompts = prompts_from(sequences, options.continuations, kBeginning);
  t.continuations = static_cast<int64_t>(prompts.size());
  t.prefix_agreement = prefix_agreement(continuations(base, prompts, kLength, options.kv, exec),
                                        continuations(model, prompts, kLength, options.kv, exec));
}

}  // namespace

double stored_bits_per_weight(const Model& model) {
  BitCount count;
  for (const ParamSpec& p : parameter_table(model.config)) {
    const bool quantized = model.weights->stored_as(p.name).scheme.has_value();
    const bool candidate = p.layer >= 0 || quantized || covers_every_matrix(model.config);
    if (!p.is_matrix() || !candidate) continue;
    count.add(load_weight(model, p));
    model.weights->release(p.name);
  }
  return count.bits_per_weight();
}

std::vector<std::string> draw_samples(const Decoder& model, const Tokenizer& tokenizer,
                                      std::span<const int32_t> prompt,
                                      const MeasureOptions& options, const Exec& exec) {
  GenerateOptions g;
  g.max_new_tokens = new_tokens(model, prompt, options);
  g.kv = options.kv;
  g.sampling.temperature = options.temperature;
  g.stop = ends_of(tokenizer, options);
  std::vector<std::string> out;
  for (int i = 0; i < options.samples; ++i) {
    // A seed a sample: one model's longer name does not shift the numbers of the next.
    PyRandom random(options.seed + static_cast<uint64_t>(i));
    out.push_back(tokenizer.decode(generate(model, prompt, g, random, exec), true));
  }
  return out;
}

Measurement measure_model(const std::string& name, const Model& folder, const Model& base,
                          const std::vector<ScoredSequence>& sequences, const MeasureOptions& given,
                          const Exec& exec) {
  MeasureOptions options = given;
  options.stop = read_generation_defaults(base).ends;
  Measurement m;
  m.name = name;
  m.folder = folder.path;
  const LinearOptions linear{.threads = exec.threads};
  const Decoder model = load_decoder(folder, linear), baseline = load_decoder(base, linear);
  const Tokenizer& tokenizer = folder.require_tokenizer();
  fill_sizes(folder, model, m);
  const std::string task = "measure " + name;
  naming_file(folder.path, [&] {
    fill_quality(compare_models(logits_of(model, options.kv), logits_of(baseline, options.kv),
                                sequences, exec, task),
                 m);
  });
  const auto prompt = prompt_for(tokenizer, sequences, options);
  m.samples = draw_samples(model, tokenizer, prompt, options, exec);
  if (options.continuations > 0)
    fill_texts(model, baseline, tokenizer, prompt, sequences, options, exec, m.text);
  if (options.runs == 0) return m;
  const Decoder* beside = &folder == &base ? nullptr : &baseline;
  fill_speed(folder, model, beside, prompt, options, exec, m);
  if (options.throughput) fill_throughput(model, beside, options, exec, m);
  return m;
}

}  // namespace nibble
