#include "nibble/jobs/generate.h"

#include <fmt/format.h>

#include <algorithm>

#include "nibble/core/error.h"
#include "nibble/eval/generation_config.h"
#include "nibble/jobs/prompt.h"

namespace nibble {
namespace {

constexpr int64_t kDefaultTokens = 256;

// How the next token is chosen: an option as generation_config.json spells it.
struct SamplingField {
  std::string_view name;
  double (*value)(const SamplingOptions&);
  bool cold;  // read at a temperature of 0, too
};
constexpr SamplingField kSamplingFields[] = {
    {"temperature", [](const SamplingOptions& o) { return o.temperature; }, true},
    {"top_k", [](const SamplingOptions& o) { return static_cast<double>(o.top_k); }, false},
    {"top_p", [](const SamplingOptions& o) { return o.top_p; }, false},
    {"min_p", [](const SamplingOptions& o) { return o.min_p; }, false},
    {"repetition_penalty", [](const SamplingOptions& o) { return o.repetition_penalty; }, true}};

// A generation under way: the options as model and job together say them.
struct Generation {
  const GenerateJob& job;
  const Model& folder;
  std::optional<Chat> chat;
  GenerationDefaults defaults;
  std::vector<Prompt> prompts;
  std::vector<std::string> stop;
  GenerateOptions options;
};

std::vector<Prompt> encode_prompts(const GenerateJob& job, const Model& folder,
                                   const std::optional<Chat>& chat,
                                   const GenerationDefaults& defaults) {
  const Tokenizer& tokenizer = folder.require_tokenizer();
  const auto bos = defaults.bos ? defaults.bos : tokenizer.bos();
  std::vector<Prompt> out;
  for (const std::string& text : job.prompts)
    out.push_back(encode_prompt(text, job, chat ? &*chat : nullptr, tokenizer, bos));
  return out;
}

// "`top_k` 40" of each that generation_config.json changed.
std::vector<std::string> taken_words(const GenerateResult& r) {
  const std::vector<std::string>& taken = r.from_generation_config;
  std::vector<std::string> out;
  for (const SamplingField& f : kSamplingFields) {
    if (std::find(taken.begin(), taken.end(), f.name) != taken.end())
      out.push_back(fmt::format("`{}` {}", f.name, f.value(r.sampling)));
  }
  return out;
}

// A warning for each option that was set on purpose and that the temperature leaves without effect.
std::vector<std::string> unread_sampling(const std::set<std::string>& given,
                                         const SamplingOptions& chosen) {
  std::vector<std::string> out;
  for (const SamplingField& f : kSamplingFields) {
    if (chosen.temperature > 0 || f.cold || !given.contains(std::string(f.name))) continue;
    out.push_back(fmt::format(
        "`{}`: without effect, since a temperature of 0 always takes the most likely token",
        f.name));
  }
  return out;
}

void choose_sampling(const Generation& g, const NoticeHook& tell, GenerateResult& out) {
  note_warnings(g.defaults.warnings, tell, out.warnings);
  out.sampling = g.job.sampling;
  out.from_generation_config = take_defaults(g.defaults, g.job.given, out.sampling);
  const std::vector<std::string> taken = taken_words(out);
  if (tell && !taken.empty()) tell({Notice::Kind::defaults, taken});
  note_warnings(unread_sampling(g.job.given, out.sampling), tell, out.warnings);
}

void choose_ends(Generation& g) {
  g.options.stop = text_ends(g.folder, g.defaults);
  if (g.chat) {
    const auto ends = g.chat->ends(g.folder.require_tokenizer());
    g.options.stop.insert(g.options.stop.end(), ends.begin(), ends.end());
  }
  g.stop = g.job.stop;
  g.stop.insert(g.stop.end(), g.defaults.stop_strings.begin(), g.defaults.stop_strings.end());
}

// Where a stop string begins in `text`; npos where none does.
size_t find_stop(const std::string& text, const std::vector<std::string>& stop) {
  size_t first = std::string::npos;
  for (const std::string& s : stop) {
    if (!s.empty()) first = std::min(first, text.find(s));
  }
  return first;
}

// One text as it grows.
class GrowingText {
 public:
  // `show` may be empty; with `stream` it is called for every token.
  GrowingText(const Prompt& prompt, const Tokenizer& tokenizer,
              const std::vector<std::string>& stop, const ShowHook& show, bool stream)
      : prompt_(prompt), stop_(stop), show_(show), decoder_(tokenizer), stream_(show && stream) {
    for (const int32_t id : prompt.ids) decoder_.push(id);
  }

  // False where a stop string is there. The prompt is shown once the first token is, so that an
  // error shows nothing.
  bool take(int32_t id) {
    if (stream_ && !begun_) show_(prompt_.shown);
    begun_ = true;
    const std::string piece = decoder_.push(id);
    text_ += piece;
    if (stream_ && stop_.empty()) show_(piece);
    return find_stop(text_, stop_) == std::string::npos;
  }

  // Shows what has not been shown; the whole text.
  std::string finish() {
    const std::string rest = decoder_.finish();
    text_ += rest;
    text_.resize(std::min(text_.size(), find_stop(text_, stop_)));
    if (show_ && !(stream_ && begun_)) show_(prompt_.shown);
    if (show_) show_((stream_ && stop_.empty() ? rest : text_) + "\n");
    return prompt_.shown + text_;
  }

 private:
  const Prompt& prompt_;
  const std::vector<std::string>& stop_;
  const ShowHook& show_;
  StreamDecoder decoder_;
  bool stream_, begun_ = false;
  std::string text_;
};

int64_t most_tokens(const GenerateJob& job, const Decoder& model, const Prompt& prompt) {
  if (job.max_new_tokens > 0) return job.max_new_tokens;
  if (job.shift) return kDefaultTokens;
  const int64_t room = model.config().context - static_cast<int64_t>(prompt.ids.size()) + 1;
  return std::clamp<int64_t>(room, 1, kDefaultTokens);
}

// Texts begin to end of all, prompt by prompt, run together.
void run_batch(const Generation& g, const Decoder& model, size_t begin, size_t end,
               const Exec& exec, const ShowHook& show, GenerateResult& r) {
  const auto samples = static_cast<size_t>(g.job.samples);
  const Tokenizer& tokenizer = g.folder.require_tokenizer();
  std::vector<GrowingText> texts;
  texts.reserve(end - begin);
  std::vector<GenerateRequest> requests;
  for (size_t i = begin; i < end; ++i) {
    const Prompt& prompt = g.prompts[i / samples];
    texts.emplace_back(prompt, tokenizer, g.stop, show, end - begin == 1);
    requests.push_back({prompt.ids, g.job.seed + i % samples,
                        [text = &texts.back()](int32_t id) { return text->take(id); },
                        most_tokens(g.job, model, prompt)});
  }
  BatchResult batch = generate_batch(model, requests, g.options, exec);
  for (size_t i = begin; i < end; ++i) {
    const Prompt& prompt = g.prompts[i / samples];
    std::vector<int32_t>& ids = batch.ids[i - begin];
    r.first_tokens += ids.empty() ? 0 : 1;
    r.texts.push_back({prompt.text, prompt.ids, std::move(ids), texts[i - begin].finish()});
  }
  r.prompt_tokens += batch.prompt_tokens;
  r.new_tokens += batch.new_tokens;
  r.prefill_seconds += batch.prefill_seconds;
  r.decode_seconds += batch.decode_seconds;
}

}  // namespace

GenerateResult generate(const GenerateJob& job, const Exec& exec, const NoticeHook& tell,
                        const ShowHook& show) {
  validate(job.sampling);
  GenerateResult out;
  out.samples = job.samples;
  out.kv = job.kv;
  Model folder = open_choice(job.model, exec);
  note_warnings(warnings_of(folder), tell, out.warnings);
  Generation g{job, folder, chat_of(job, folder), {}, {}, {}, {}};
  g.defaults = read_generation_defaults(folder);
  g.prompts = encode_prompts(job, folder, g.chat, g.defaults);
  choose_sampling(g, tell, out);
  choose_ends(g);
  g.options.sampling = out.sampling;
  g.options.prefill_chunk = job.prefill_chunk;
  g.options.kv = job.kv;
  g.options.shift = job.shift;
  const Decoder model = load_decoder(folder, {.threads = exec.threads});
  folder.weights.reset();  // the decoder has packed what it needs of them
  const size_t all = g.prompts.size() * static_cast<size_t>(job.samples);
  const auto batch = static_cast<size_t>(job.batch);
  for (size_t begin = 0; begin < all; begin += batch)
    run_batch(g, model, begin, std::min(begin + batch, all), exec, show, out);
  return out;
}

}  // namespace nibble
