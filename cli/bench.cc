// nibble bench: prefill and decode speed of a model, or of a shape with random weights.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "cli/command.h"
#include "cli/load.h"
#include "nibble/compress/quantize.h"
#include "nibble/core/counted.h"
#include "nibble/core/cpu.h"
#include "nibble/core/error.h"
#include "nibble/core/json.h"
#include "nibble/eval/load_speed.h"
#include "nibble/eval/speed.h"
#include "nibble/eval/speedup.h"
#include "nibble/model/hf_cache.h"
#include "nibble/model/shapes.h"
#include "nibble/report/json_report.h"
#include "nibble/report/speed_text.h"

namespace nibble::cli {
namespace {

struct BenchFlags {
  ModelChoice load;
  std::string shape, against;
  SpeedOptions speed;
  int load_runs = 1;
  std::string kv = "f32";
};

// Only a model as it is stored: quantizing it would be what takes the time.
bool times_loading(const BenchFlags& o) {
  return !o.load.model.empty() && o.load.in.scheme.empty();
}

// Both sides of a comparison quantize the head: it is the table itself where they are tied.
QuantizeOptions with_head(const Precision& in, const DecoderConfig& config) {
  QuantizeOptions q = quantize_options(in);
  q.also = {"lm_head"};
  if (config.tied) q.also.push_back("embeddings");
  return q;
}

ModelFolder open_plain(const BenchFlags& o, const Exec& exec) {
  if (o.shape.empty() == o.load.model.empty()) {
    throw invalid_argument("give a MODEL or --shape, one of them");
  }
  if (o.shape.empty()) return open_choice(o.load, exec);
  ModelFolder model = random_model(o.shape, 42);
  if (o.load.in.scheme.empty()) return model;
  return quantize_in_memory(model, with_head(o.load.in, model.decoder_config()), exec);
}

// The baseline, as it is stored: what the first is, a model or the name of a shape.
ModelFolder open_bench_base(const BenchFlags& o) {
  return o.shape.empty() ? open_model(resolve_model(o.against)) : random_model(o.against, 42);
}

std::string kernel_of(const Decoder& model, int64_t m) {
  std::string name;
  model.for_each_linear([&](const LinearGroup& g, size_t i) {
    if (name.empty()) name = g.kernel_name(i, m);
  });
  return name;
}

// What was found, and of which model.
struct Found {
  std::string scheme, base_scheme;
  int threads = 1;
  LoadSpeed load;
  SpeedResult model, base;  // the latter where it was asked for

  bool compared() const { return base.decode.runs() > 0; }
  Speedup prefill() const { return speedup(model.prefill, base.prefill); }
  Speedup decode() const { return speedup(model.decode, base.decode); }
  std::string busy() const {
    return busy_words(model.waited_share, std::max(model.prefill.spread(), model.decode.spread()));
  }
};

std::string name_of_model(const BenchFlags& o) { return o.shape.empty() ? o.load.model : o.shape; }

double bandwidth(const Decoder& model, const SpeedResult& r) {
  return r.decode_tokens_per_second * static_cast<double>(model.weight_bytes());
}

void write_speeds(JsonWriter& out, const BenchFlags& o, const Found& f) {
  out.field("prefill_tokens_per_second", f.model.prefill_tokens_per_second);
  out.field("decode_tokens_per_second", f.model.decode_tokens_per_second);
  write_latency(out, "prefill_latency", f.model.prefill);
  write_latency(out, "decode_latency", f.model.decode);
  out.field("waited_share", f.model.waited_share).field("busy", !f.busy().empty());
  if (!f.compared()) return;
  out.field("against", o.against).field("against_scheme", f.base_scheme);
  out.field("against_prefill_tokens_per_second", f.base.prefill_tokens_per_second);
  out.field("against_decode_tokens_per_second", f.base.decode_tokens_per_second);
  write_speedup(out, "prefill_speedup", f.prefill());
  write_speedup(out, "decode_speedup", f.decode());
}

void show_bench_json(const BenchFlags& o, const Decoder& model, const Found& f) {
  JsonWriter out;
  out.begin_object().field("schema_version", 1).field("model", name_of_model(o));
  out.field("scheme", f.scheme)
      .field("threads", f.threads)
      .field("isa", cpu().isa)
      .field("cpu", cpu().model);
  out.field("prefill", o.speed.prefill)
      .field("decode", o.speed.decode)
      .field("runs", f.model.decode.runs())
      .field("sequences", o.speed.sequences)
      .field("kv", o.kv);
  write_speeds(out, o, f);
  if (f.load.file_bytes > 0) {
    out.field("load_seconds", f.load.load_seconds)
        .field("read_seconds", f.load.read_seconds)
        .field("file_bytes", f.load.file_bytes);
  }
  out.field("weight_bytes", static_cast<int64_t>(model.weight_bytes()))
      .field("memory_bytes", static_cast<int64_t>(model.memory_bytes()));
  out.field("weight_bytes_per_second", bandwidth(model, f.model))
      .field("peak_rss_bytes", peak_memory_bytes());
  out.field("kernel", kernel_of(model, 1))
      .field("prefill_kernel", kernel_of(model, o.speed.prefill))
      .end_object();
  print_raw(out.finish());
}

// "prefill of  256:    1834.2 (1790.0-1850.3) tokens/s".
std::string bench_line(std::string_view name, int64_t tokens, double per_second, const Latency& l) {
  const double amount = per_second * l.median();
  return fmt::format("{:15} {:10.1f} ({:.1f}-{:.1f}) tokens/s",
                     fmt::format("{} of {}:", name, tokens), per_second,
                     amount / l.upper_quartile(), amount / l.lower_quartile());
}

void show_against(const BenchFlags& o, const Found& f) {
  if (!f.compared()) return;
  print_out(
      fmt::format("against {} in {}, in the same rounds:\n", printable(o.against), f.base_scheme));
  print_out(fmt::format("  prefill: {}\n  decode: {}\n", describe_speed(f.prefill(), "x"),
                        describe_speed(f.decode(), "x")));
}

void show_text(const BenchFlags& o, const Decoder& model, const Found& f) {
  const SpeedOptions& s = o.speed;
  const SpeedResult& r = f.model;
  print_out(fmt::format("{} in {}, {}, {} ({})\n", name_of_model(o), f.scheme,
                        counted(f.threads, "thread"), cpu().isa, kernel_of(model, 1)));
  if (f.load.file_bytes > 0) {
    print_out(fmt::format("load of {:.1f} MB: {:.3f} s, {:.2f} times a plain read of them\n",
                          static_cast<double>(f.load.file_bytes) * 1e-6, f.load.load_seconds,
                          f.load.ratio()));
  }
  print_out(bench_line("prefill", s.prefill, r.prefill_tokens_per_second, r.prefill) + "\n");
  print_out(bench_line("decode", s.decode, r.decode_tokens_per_second, r.decode) +
            fmt::format(", {:.1f} GB/s of weights\n", bandwidth(model, r) * 1e-9));
  print_out(fmt::format("medians of {} and their quartiles\n", counted(r.decode.runs(), "round")));
  show_against(o, f);
  print_out(fmt::format("weights {:.1f} MB a token, peak memory {:.1f} MB\n",
                        static_cast<double>(model.weight_bytes()) * 1e-6,
                        static_cast<double>(peak_memory_bytes()) * 1e-6));
  if (const std::string busy = f.busy(); !busy.empty()) print_out(busy + "\n");
}

// The weights as they were loaded are let go on return, before the time is taken.
Decoder decoder_of(const Common& common, const ModelFolder& folder, int threads,
                   std::string& scheme) {
  show_warnings(common, warnings_of(folder));
  scheme = scheme_summary(folder);
  return load_decoder(folder, {.threads = threads});
}

void run_bench(const Common& common, const BenchFlags& o) {
  std::optional<Decoder> model, base;
  Found found;
  {
    const Exec exec = make_exec(common);
    const int threads = found.threads = exec.threads;
    if (times_loading(o))
      found.load = measure_load(resolve_model(o.load.model), {threads, o.load_runs});
    model.emplace(decoder_of(common, open_plain(o, exec), threads, found.scheme));
    std::vector<const Decoder*> models = {&*model};
    if (!o.against.empty()) {
      base.emplace(decoder_of(common, open_bench_base(o), threads, found.base_scheme));
      models.push_back(&*base);
    }
    SpeedOptions speed = o.speed;
    speed.kv = parse_kv(o.kv);
    auto results = measure_speed(models, speed, exec);
    found.model = std::move(results.front());
    if (base) found.base = std::move(results.back());
  }
  common.json ? show_bench_json(o, *model, found) : show_text(o, *model, found);
}

}  // namespace

void add_bench(CLI::App& app, Common& common) {
  CLI::App* verb = app.add_subcommand("bench", "Prefill and decode speed of a model or of a shape");
  const auto o = std::make_shared<BenchFlags>();
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
  verb->add_option(
      "--against", o->against,
      "Baseline as it is stored (with --shape: a shape in f32), timed in turn with it");
  add_runs(*verb, o->speed.runs);
  add_common(*verb, common,
             "nibble bench --shape gpt2-124m --scheme int8:a8\n  nibble bench my-model --prefill "
             "128 --decode 32\n  nibble bench my-model-int4 --against my-model");
  verb->callback([&common, o] { run_bench(common, *o); });
}

}  // namespace nibble::cli
