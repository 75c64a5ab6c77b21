// nibble generate: text from a model.
#include <fmt/format.h>

#include <chrono>

#include "cli/command.h"
#include "nibble/core/error.h"
#include "nibble/core/json.h"
#include "nibble/eval/generation.h"
#include "nibble/model/model_folder.h"

namespace nibble::cli {
namespace {

struct Options {
  std::string model, prompt;
  int64_t max_new_tokens = 0;
  int samples = 1;
  double temperature = 0.5;
  uint64_t seed = 42;
};

struct Sample {
  std::vector<int32_t> ids;
  std::string text;
};

struct Result {
  std::vector<int32_t> prompt_ids;
  std::vector<Sample> samples;
  double tokens_per_second = 0;
};

std::vector<int32_t> prompt_ids(const Options& o, const Tokenizer& tokenizer) {
  std::vector<int32_t> ids = tokenizer.encode(o.prompt, true);
  if (ids.empty())
    throw invalid_argument(
        "--prompt: this model has no beginning-of-text token, so it needs at least one character");
  return ids;
}

Result generate_all(const Options& o, const ModelFolder& folder, const Exec& exec) {
  const Tokenizer& tokenizer = folder.require_tokenizer();
  Result r;
  r.prompt_ids = prompt_ids(o, tokenizer);
  const Decoder model = load_decoder(folder);
  GenerateOptions g;
  g.max_new_tokens = o.max_new_tokens > 0 ? o.max_new_tokens : model.config().context;
  g.sampling.temperature = o.temperature;
  g.stop = tokenizer.bos();
  size_t tokens = 0;
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < o.samples; ++i) {
    PyRandom random(o.seed + static_cast<uint64_t>(i));
    Sample s{generate(model, r.prompt_ids, g, random, exec), {}};
    s.text = o.prompt + tokenizer.decode(s.ids);
    tokens += s.ids.size();
    r.samples.push_back(std::move(s));
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  r.tokens_per_second = took.count() > 0 ? static_cast<double>(tokens) / took.count() : 0;
  return r;
}

void show(const Common& common, const Result& r) {
  if (!common.json) {
    for (const Sample& s : r.samples) print_out(s.text + "\n");
    return;
  }
  JsonWriter out;
  out.begin_object()
      .field("schema_version", 1)
      .array("prompt_ids", std::vector<int64_t>(r.prompt_ids.begin(), r.prompt_ids.end()));
  out.field("text", r.samples.front().text)
      .array("ids",
             std::vector<int64_t>(r.samples.front().ids.begin(), r.samples.front().ids.end()));
  std::vector<std::string> texts;
  for (const Sample& s : r.samples) texts.push_back(s.text);
  out.array("samples", texts).field("tokens_per_second", r.tokens_per_second).end_object();
  print_out(out.finish());
}

}  // namespace

void add_generate(CLI::App& app, Common& common) {
  CLI::App* verb = app.add_subcommand("generate", "Generate text");
  const auto o = std::make_shared<Options>();
  verb->add_option("model", o->model, "Model folder")->required();
  verb->add_option("--prompt", o->prompt, "What the text begins with");
  verb->add_option("--max-new-tokens", o->max_new_tokens,
                   "Most tokens to generate (default: what the context holds)")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 31));
  verb->add_option("--samples", o->samples, "Texts to generate, each with its own seed")
      ->capture_default_str()
      ->check(CLI::Range(1, 100'000));
  verb->add_option("--temperature", o->temperature, "0 always takes the most likely token")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 100.0));
  verb->add_option("--seed", o->seed, "Of the first text; the next ones count up from it")
      ->capture_default_str();
  add_common(*verb, common, "nibble generate my-model --prompt ka --samples 5 --temperature 0.7");
  verb->callback([&common, o] {
    const ModelFolder folder = open_model(o->model);
    const Exec exec = make_exec(common);
    show(common, generate_all(*o, folder, exec));
  });
}

}  // namespace nibble::cli
