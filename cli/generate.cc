// nibble generate: text from a model.
#include <fmt/format.h>

#include <chrono>
#include <memory>

#include "cli/command.h"
#include "cli/data.h"
#include "cli/load.h"
#include "nibble/core/error.h"
#include "nibble/core/json.h"
#include "nibble/eval/generation.h"

namespace nibble::cli {
namespace {

struct Options {
  LoadOptions load;
  std::string prompt, prompt_file;
  std::vector<std::string> stop;
  int64_t max_new_tokens = 0;
  int samples = 1;
  SamplingOptions sampling{.temperature = 0.5};
  uint64_t seed = 42;
};

struct Sample {
  std::vector<int32_t> ids;
  std::string text;
};

struct Result {
  std::vector<int32_t> prompt_ids;
  std::vector<Sample> samples;
  double prefill_tokens_per_second = 0, decode_tokens_per_second = 0;
};

using Clock = std::chrono::steady_clock;

std::string prompt_text(const Options& o) {
  if (o.prompt_file.empty()) return o.prompt;
  if (!o.prompt.empty()) throw invalid_argument("give --prompt or --prompt-file, not both");
  return load_text(o.prompt_file).text;
}

std::vector<int32_t> encode_prompt(const std::string& text, const Tokenizer& tokenizer) {
  std::vector<int32_t> ids = tokenizer.encode(text, true);
  if (ids.empty()) {
    throw invalid_argument(
        "--prompt: this model has no beginning-of-text token, so it needs at least one character");
  }
  return ids;
}

// Where a stop string begins in `text`; npos where none does.
size_t find_stop(const std::string& text, const std::vector<std::string>& stop) {
  size_t first = std::string::npos;
  for (const std::string& s : stop) {
    if (!s.empty()) first = std::min(first, text.find(s));
  }
  return first;
}

// Times the prompt and the tokens behind it apart: the first token ends the prefill.
class Stopwatch {
 public:
  void token() {
    if (count_++ == 0) first_ = Clock::now();
    last_ = Clock::now();
  }
  void add_to(Result& r, size_t prompt) const {
    if (count_ == 0) return;
    const std::chrono::duration<double> prefill = first_ - start_, decode = last_ - first_;
    r.prefill_tokens_per_second = static_cast<double>(prompt) / prefill.count();
    if (count_ > 1) r.decode_tokens_per_second = static_cast<double>(count_ - 1) / decode.count();
  }

 private:
  Clock::time_point start_ = Clock::now(), first_ = start_, last_ = start_;
  int64_t count_ = 0;
};

Sample generate_one(const Options& o, const Decoder& model, const Tokenizer& tokenizer,
                    const std::string& prompt, int index, bool stream, const Exec& exec,
                    Result& r) {
  GenerateOptions g;
  const int64_t room = model.config().context - static_cast<int64_t>(r.prompt_ids.size()) + 1;
  g.max_new_tokens = o.max_new_tokens > 0 ? o.max_new_tokens : std::clamp<int64_t>(room, 1, 256);
  g.sampling = o.sampling;
  g.stop = tokenizer.eos();
  StreamDecoder decoder(tokenizer);
  for (const int32_t id : r.prompt_ids) decoder.push(id);
  PyRandom random(o.seed + static_cast<uint64_t>(index));
  Stopwatch watch;
  std::string text;
  bool begun =
      false;  // the prompt is shown once the first token is there, so that an error shows nothing
  const auto hook = [&](int32_t id) {
    if (stream && !begun) print_out(prompt);
    begun = true;
    watch.token();
    const std::string piece = decoder.push(id);
    text += piece;
    if (stream && o.stop.empty()) print_out(piece);
    return find_stop(text, o.stop) == std::string::npos;
  };
  Sample s{generate(model, r.prompt_ids, g, random, exec, hook), {}};
  const std::string rest = decoder.finish();
  text += rest;
  text.resize(std::min(text.size(), find_stop(text, o.stop)));
  if (stream && !begun) print_out(prompt);
  if (stream) print_out((o.stop.empty() ? rest : text) + "\n");
  s.text = prompt + text;
  watch.add_to(r, r.prompt_ids.size());
  return s;
}

void show_json(const Result& r) {
  const Sample& first = r.samples.front();
  JsonWriter out;
  out.begin_object().field("schema_version", 1);
  out.array("prompt_ids", std::vector<int64_t>(r.prompt_ids.begin(), r.prompt_ids.end()));
  out.array("ids", std::vector<int64_t>(first.ids.begin(), first.ids.end()));
  out.field("text", first.text);
  std::vector<std::string> texts;
  for (const Sample& s : r.samples) texts.push_back(s.text);
  out.array("samples", texts);
  out.field("prefill_tokens_per_second", r.prefill_tokens_per_second);
  out.field("decode_tokens_per_second", r.decode_tokens_per_second).end_object();
  print_out(out.finish());
}

void run(const Common& common, const Options& o) {
  validate(o.sampling);
  const std::string prompt = prompt_text(o);
  const Exec exec = make_exec(common);
  const ModelFolder folder = load_model(o.load, exec);
  const Tokenizer& tokenizer = folder.require_tokenizer();
  Result r;
  r.prompt_ids = encode_prompt(prompt, tokenizer);
  const Decoder model = load_decoder(folder);
  for (int i = 0; i < o.samples; ++i) {
    r.samples.push_back(generate_one(o, model, tokenizer, prompt, i, !common.json, exec, r));
  }
  if (common.json) show_json(r);
}

void add_sampling(CLI::App& verb, Options& o) {
  verb.add_option("--temperature", o.sampling.temperature, "0 always takes the most likely token")
      ->capture_default_str();
  verb.add_option("--top-k", o.sampling.top_k, "Choose among the k most likely tokens (0: all)")
      ->capture_default_str();
  verb.add_option("--top-p", o.sampling.top_p, "Choose among the most likely tokens that share p")
      ->capture_default_str();
  verb.add_option("--min-p", o.sampling.min_p,
                  "Choose among tokens at least this share as likely as the likeliest")
      ->capture_default_str();
  verb.add_option("--repetition-penalty", o.sampling.repetition_penalty,
                  "Above 1 makes tokens that occurred less likely")
      ->capture_default_str();
}

}  // namespace

void add_generate(CLI::App& app, Common& common) {
  CLI::App* verb = app.add_subcommand("generate", "Generate text");
  const auto o = std::make_shared<Options>();
  add_load(*verb, o->load);
  verb->add_option("--prompt", o->prompt, "What the text begins with");
  verb->add_option("--prompt-file", o->prompt_file, "The same from a file; - is standard input");
  verb->add_option("--max-new-tokens", o->max_new_tokens,
                   "Most tokens to generate (default: what the context holds, at most 256)")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 31));
  verb->add_option("--samples", o->samples, "Texts to generate, each with its own seed")
      ->capture_default_str()
      ->check(CLI::Range(1, 100'000));
  add_sampling(*verb, *o);
  verb->add_option("--stop", o->stop, "End the text before this string (repeatable)");
  verb->add_option("--seed", o->seed, "Of the first text; the next ones count up from it")
      ->capture_default_str();
  add_common(*verb, common,
             "nibble generate my-model --prompt ka --samples 5 --temperature 0.7\n"
             "  nibble generate gpt2 --scheme int8 --prompt 'Once upon a time' --temperature 0");
  verb->callback([&common, o] { run(common, *o); });
}

}  // namespace nibble::cli
