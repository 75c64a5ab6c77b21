// nibble bench: prefill and decode speed of a model, or of a shape with random weights.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>

#include "cli/command.h"
#include "cli/load.h"
#include "nibble/compress/quantize.h"
#include "nibble/core/counted.h"
#include "nibble/core/cpu.h"
#include "nibble/core/error.h"
#include "nibble/core/json.h"
#include "nibble/eval/load_speed.h"
#include "nibble/eval/speed.h"
#include "nibble/model/hf_cache.h"
#include "nibble/model/shapes.h"

namespace nibble::cli {
namespace {

struct Options {
  LoadOptions load;
  std::string shape;
  SpeedOptions speed;
  int load_runs = 1;
  std::string kv = "f32";
};

// Only a model as it is stored: quantizing it would be what takes the time.
bool times_loading(const Options& o) { return !o.load.model.empty() && o.load.scheme.empty(); }

// Both sides of a comparison quantize the head: it is the table itself where they are tied.
QuantizeOptions quantize_options(const LoadOptions& load, const DecoderConfig& config) {
  QuantizeOptions q;
  q.scheme = parse_scheme(load.scheme);
  for (const std::string& k : load.keep) q.keep.push_back(parse_keep_rule(k));
  q.also = {"lm_head"};
  if (config.tied) q.also.push_back("embeddings");
  return q;
}

ModelFolder open(const Options& o, const Exec& exec) {
  if (o.shape.empty() == o.load.model.empty()) {
    throw invalid_argument("give a MODEL or --shape, one of them");
  }
  if (o.shape.empty()) return load_model(o.load, exec);
  ModelFolder model = random_model(o.shape, 42);
  if (o.load.scheme.empty()) return model;
  return quantize_in_memory(model, quantize_options(o.load, model.decoder_config()), exec);
}

std::string kernel_of(const Decoder& model, int64_t m) {
  std::string name;
  model.for_each_linear([&](const LinearGroup& g, size_t i) {
    if (name.empty()) name = g.kernel_name(i, m);
  });
  return name;
}

void show(const Common& common, const Options& o, const std::string& scheme, const Decoder& model,
          const LoadSpeed& load, const SpeedResult& r, int threads) {
  const auto weights = static_cast<int64_t>(model.weight_bytes());
  const double bandwidth = r.decode_tokens_per_second * static_cast<double>(weights);
  if (common.json) {
    JsonWriter out;
    out.begin_object()
        .field("schema_version", 1)
        .field("model", o.shape.empty() ? o.load.model : o.shape);
    out.field("scheme", scheme)
        .field("threads", threads)
        .field("isa", cpu().isa)
        .field("cpu", cpu().model);
    out.field("prefill", o.speed.prefill)
        .field("decode", o.speed.decode)
        .field("runs", o.speed.runs)
        .field("sequences", o.speed.sequences)
        .field("kv", o.kv);
    out.field("prefill_tokens_per_second", r.prefill_tokens_per_second);
    out.field("decode_tokens_per_second", r.decode_tokens_per_second);
    if (load.file_bytes > 0) {
      out.field("load_seconds", load.load_seconds)
          .field("read_seconds", load.read_seconds)
          .field("file_bytes", load.file_bytes);
    }
    out.field("weight_bytes", weights)
        .field("memory_bytes", static_cast<int64_t>(model.memory_bytes()));
    out.field("weight_bytes_per_second", bandwidth).field("peak_rss_bytes", peak_memory_bytes());
    out.field("kernel", kernel_of(model, 1))
        .field("prefill_kernel", kernel_of(model, o.speed.prefill))
        .end_object();
    return print_raw(out.finish());
  }
  print_out(fmt::format("{} in {}, {}, {} ({})\n", o.shape.empty() ? o.load.model : o.shape, scheme,
                        counted(threads, "thread"), cpu().isa, kernel_of(model, 1)));
  if (load.file_bytes > 0) {
    print_out(fmt::format("load of {:.1f} MB: {:.3f} s, {:.2f} times a plain read of them\n",
                          static_cast<double>(load.file_bytes) * 1e-6, load.load_seconds,
                          load.ratio()));
  }
  print_out(fmt::format("prefill of {:4}: {:10.1f} tokens/s\n", o.speed.prefill,
                        r.prefill_tokens_per_second));
  print_out(fmt::format("decode of {:5}: {:10.1f} tokens/s, {:.1f} GB/s of weights\n",
                        o.speed.decode, r.decode_tokens_per_second, bandwidth * 1e-9));
  print_out(fmt::format("weights {:.1f} MB a token, peak memory {:.1f} MB\n",
                        static_cast<double>(weights) * 1e-6,
                        static_cast<double>(peak_memory_bytes()) * 1e-6));
}

void run(const Common& common, const Options& o) {
  std::optional<Decoder> model;
  LoadSpeed load;
  SpeedResult result;
  std::string scheme;
  int threads = 1;
  {
    const Exec exec = make_exec(common);
    threads = exec.threads;
    if (times_loading(o)) load = measure_load(resolve_model(o.load.model), {threads, o.load_runs});
    {
      const ModelFolder folder = open(o, exec);
      warn(common, folder);
      scheme = scheme_summary(folder);
      model.emplace(load_decoder(folder, {.threads = threads}));
    }  // the weights as they were loaded are let go before the time is taken
    SpeedOptions speed = o.speed;
    speed.kv = parse_kv(o.kv);
    result = measure_speed(*model, speed, exec);
  }
  show(common, o, scheme, *model, load, result, threads);
}

}  // namespace

void add_bench(CLI::App& app, Common& common) {
  CLI::App* verb = app.add_subcommand("bench", "Prefill and decode speed of a model or of a shape");
  const auto o = std::make_shared<Options>();
  add_load(*verb, o->load);
  verb->get_option("model")->required(false);
  verb->add_option("--shape", o->shape,
                   fmt::format("Random weights of a shape: {}", fmt::join(shape_names(), ", ")));
  verb->add_option("--prefill", o->speed.prefill, "Tokens of the prompt")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 31));
  verb->add_option("--decode", o->speed.decode, "Tokens generated behind it")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 31));
  verb->add_option("--sequences", o->speed.sequences, "Sequences decoded together")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{1}, int64_t{4096}));
  add_kv(*verb, o->kv);
  verb->add_option("--load-runs", o->load_runs,
                   "Times a MODEL is loaded, and its files read, in turn; the medians count")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  verb->add_option("--runs", o->speed.runs, "Timed runs; the median counts")
      ->capture_default_str()
      ->check(CLI::Range(1, 100'000));
  add_common(*verb, common,
             "nibble bench --shape gpt2-124m --scheme int8:a8\n  nibble bench my-model --prefill "
             "128 --decode 32");
  verb->callback([&common, o] { run(common, *o); });
}

}  // namespace nibble::cli
