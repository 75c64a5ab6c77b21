// nibble generate: text from a model.
#include <fmt/format.h>

#include <memory>

#include "cli/command.h"
#include "cli/load.h"
#include "cli/prompts.h"
#include "cli/sampling.h"
#include "nibble/core/error.h"
#include "nibble/core/json.h"
#include "nibble/eval/generation.h"

namespace nibble::cli {
namespace {

struct GenerateFlags {
  ModelChoice load;
  PromptOptions prompts;
  std::vector<std::string> stop;
  int64_t max_new_tokens = 0;
  int samples = 1, batch = 16;
  uint64_t seed = 42;
  std::string kv = "f32";
  SamplingFlags flags;
  Sampling sampling;
  GenerateOptions generate;
};

// Where a stop string begins in `text`; npos where none does.
size_t find_stop(const std::string& text, const std::vector<std::string>& stop) {
  size_t first = std::string::npos;
  for (const std::string& s : stop) {
    if (!s.empty()) first = std::min(first, text.find(s));
  }
  return first;
}

// One text as it grows.
class Output {
 public:
  Output(const Prompt& prompt, const Tokenizer& tokenizer, const std::vector<std::string>& stop,
         bool stream)
      : prompt_(prompt), stop_(stop), decoder_(tokenizer), stream_(stream) {
    for (const int32_t id : prompt.ids) decoder_.push(id);
  }

  // False where a stop string is there. The prompt is shown once the first token is, so that an
  // error shows nothing.
  bool take(int32_t id) {
    if (stream_ && !begun_) print_raw(prompt_.shown);
    begun_ = true;
    const std::string piece = decoder_.push(id);
    text_ += piece;
    if (stream_ && stop_.empty()) print_raw(piece);
    return find_stop(text_, stop_) == std::string::npos;
  }

  // Prints what has not been printed; the whole text.
  std::string finish(bool print) {
    const std::string rest = decoder_.finish();
    text_ += rest;
    text_.resize(std::min(text_.size(), find_stop(text_, stop_)));
    if (print && !(stream_ && begun_)) print_raw(prompt_.shown);
    if (print) print_raw((stream_ && stop_.empty() ? rest : text_) + "\n");
    return prompt_.shown + text_;
  }

 private:
  const Prompt& prompt_;
  const std::vector<std::string>& stop_;
  StreamDecoder decoder_;
  bool stream_, begun_ = false;
  std::string text_;
};

struct Sample {
  const Prompt* prompt;
  std::vector<int32_t> ids;
  std::string text;
};

struct Result {
  std::vector<Sample> samples;  // of the first prompt, then of the next
  int64_t prompt_tokens = 0, first_tokens = 0, new_tokens = 0;
  double prefill_seconds = 0, decode_seconds = 0;
};

double rate(int64_t tokens, double seconds) {
  return tokens > 0 && seconds > 0 ? static_cast<double>(tokens) / seconds : 0;
}

int64_t new_tokens(const GenerateFlags& o, const Decoder& model, const Prompt& prompt) {
  constexpr int64_t kDefault = 256;
  if (o.max_new_tokens > 0) return o.max_new_tokens;
  if (o.generate.shift) return kDefault;
  const int64_t room = model.config().context - static_cast<int64_t>(prompt.ids.size()) + 1;
  return std::clamp<int64_t>(room, 1, kDefault);
}

// Samples begin to end of all texts, prompt by prompt, run together.
void run_batch(const GenerateFlags& o, const Decoder& model, const Tokenizer& tokenizer,
               const std::vector<Prompt>& prompts, size_t begin, size_t end, bool print,
               const Exec& exec, Result& r) {
  const auto samples = static_cast<size_t>(o.samples);
  const bool stream = print && end - begin == 1;
  std::vector<Output> outputs;
  outputs.reserve(end - begin);
  std::vector<GenerateRequest> requests;
  for (size_t i = begin; i < end; ++i) {
    const Prompt& prompt = prompts[i / samples];
    outputs.emplace_back(prompt, tokenizer, o.stop, stream);
    requests.push_back({prompt.ids, o.seed + i % samples,
                        [out = &outputs.back()](int32_t id) { return out->take(id); },
                        new_tokens(o, model, prompt)});
  }
  BatchResult batch = generate_batch(model, requests, o.generate, exec);
  for (size_t i = begin; i < end; ++i) {
    std::vector<int32_t>& ids = batch.ids[i - begin];
    r.first_tokens += ids.empty() ? 0 : 1;
    r.samples.push_back({&prompts[i / samples], std::move(ids), outputs[i - begin].finish(print)});
  }
  r.prompt_tokens += batch.prompt_tokens;
  r.new_tokens += batch.new_tokens;
  r.prefill_seconds += batch.prefill_seconds;
  r.decode_seconds += batch.decode_seconds;
}

std::vector<int64_t> wide(const std::vector<int32_t>& ids) { return {ids.begin(), ids.end()}; }

void show_json(const GenerateFlags& o, const Result& r) {
  const Sample& first = r.samples.front();
  JsonWriter out;
  out.begin_object().field("schema_version", 1);
  out.field("prompt", first.prompt->text);
  out.array("prompt_ids", wide(first.prompt->ids)).array("ids", wide(first.ids));
  out.field("text", first.text);
  std::vector<std::string> texts;
  for (const Sample& s : r.samples) {
    if (s.prompt == first.prompt) texts.push_back(s.text);
  }
  out.array("samples", texts);
  out.field("prefill_tokens_per_second", rate(r.prompt_tokens, r.prefill_seconds));
  out.field("decode_tokens_per_second", rate(r.new_tokens - r.first_tokens, r.decode_seconds));
  write_sampling(o.sampling, out);
  out.field("kv", o.kv).key("results").begin_array();
  for (const Sample& s : r.samples) {
    out.begin_object().field("prompt", s.prompt->text);
    out.array("prompt_ids", wide(s.prompt->ids)).array("ids", wide(s.ids));
    out.field("text", s.text).end_object();
  }
  print_raw(out.end_array().end_object().finish());
}

// What the model's folder says of generating, where no flag says otherwise.
void take_defaults_of(const ModelFolder& folder, const Common& common, const ChatFormat* format,
                      const GenerationDefaults& defaults, GenerateFlags& o) {
  show_warnings(common, defaults.warnings);
  o.sampling = sampling_of(o.flags, defaults);
  say_taken(common, o.sampling);
  show_warnings(common, unread_flags(o.flags, o.sampling.options));
  o.generate.sampling = o.sampling.options;
  o.generate.stop = text_ends(folder, defaults);
  if (format != nullptr) {
    const auto ends = answer_ends(*format, folder.require_tokenizer());
    o.generate.stop.insert(o.generate.stop.end(), ends.begin(), ends.end());
  }
  o.stop.insert(o.stop.end(), defaults.stop_strings.begin(), defaults.stop_strings.end());
}

void run_generate(const Common& common, const GenerateFlags& given) {
  GenerateFlags o = given;
  validate(o.flags.sampling);
  o.generate.kv = parse_kv(o.kv);
  const std::vector<std::string> texts = prompt_texts(o.prompts);
  const Exec exec = make_exec(common);
  ModelFolder folder = open_choice(o.load, exec);
  show_warnings(common, warnings_of(folder));
  const ChatFormat* format = chat_format_of(o.prompts, folder);
  const Tokenizer& tokenizer = folder.require_tokenizer();
  const GenerationDefaults defaults = read_generation_defaults(folder);
  const auto bos = defaults.bos ? defaults.bos : tokenizer.bos();
  std::vector<Prompt> prompts;
  prompts.reserve(texts.size());
  for (const std::string& text : texts)
    prompts.push_back(encode_prompt(text, o.prompts, format, tokenizer, bos));
  take_defaults_of(folder, common, format, defaults, o);
  const Decoder model = load_decoder(folder, {.threads = exec.threads});
  folder.tensors.reset();  // the decoder has packed what it needs of them
  Result r;
  const size_t all = prompts.size() * static_cast<size_t>(o.samples);
  const auto batch = static_cast<size_t>(o.batch);
  for (size_t begin = 0; begin < all; begin += batch) {
    run_batch(o, model, tokenizer, prompts, begin, std::min(begin + batch, all), !common.json, exec,
              r);
  }
  if (common.json) show_json(o, r);
}

void add_length(CLI::App& verb, GenerateFlags& o) {
  verb.add_option("--max-new-tokens", o.max_new_tokens,
                  "Most tokens to generate (default: what the context holds, at most 256)")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 31));
  verb.add_flag("--shift", o.generate.shift,
                "Where the context is full, drop its older half and go on");
  verb.add_option("--stop", o.stop, "End the text before this string (repeatable)");
  verb.add_option("--samples", o.samples, "Texts for each prompt, each with its own seed")
      ->capture_default_str()
      ->check(CLI::Range(1, 100'000));
  verb.add_option("--seed", o.seed, "Of a prompt's first text; the next ones count up from it")
      ->capture_default_str();
  verb.add_option("--batch", o.batch, "Texts that are generated together")
      ->capture_default_str()
      ->check(CLI::Range(1, 4096));
  verb.add_option("--prefill-chunk", o.generate.prefill_chunk,
                  "Most tokens of a prompt that are read at once")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 31));
}

}  // namespace

void add_generate(CLI::App& app, Common& common) {
  CLI::App* verb = app.add_subcommand("generate", "Generate text");
  const auto o = std::make_shared<GenerateFlags>();
  add_load(*verb, o->load);
  add_prompts(*verb, o->prompts);
  add_length(*verb, *o);
  add_sampling(*verb, o->flags);
  add_kv(*verb, o->kv);
  add_common(*verb, common,
             "nibble generate my-model --prompt ka --samples 5 --temperature 0.7\n"
             "  nibble generate gpt2 --scheme int8 --prompt 'Once upon a time' --temperature 0\n"
             "  nibble generate Qwen/Qwen2.5-0.5B-Instruct --chat --prompt 'Why is the sky blue?'\n"
             "  nibble generate my-model --prompts-file prompts.txt --shift --max-new-tokens 4000");
  verb->callback([&common, o] { run_generate(common, *o); });
}

}  // namespace nibble::cli
