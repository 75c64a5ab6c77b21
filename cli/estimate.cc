// nibble estimate: what fits into this machine's memory, and how fast it could be.
#include "nibble/eval/estimate.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "cli/command.h"
#include "cli/load.h"
#include "nibble/core/counted.h"
#include "nibble/core/error.h"
#include "nibble/core/json.h"
#include "nibble/eval/bandwidth.h"
#include "nibble/model/hf_cache.h"
#include "nibble/model/shapes.h"
#include "nibble/report/numbers.h"
#include "nibble/report/table.h"

namespace nibble::cli {
namespace {

struct EstimateFlags {
  std::string model, shape, params, kv = "f16";
  ShapeOptions sizes;
  int64_t context = 0;
  double bandwidth = 0;  // GB/s; 0: measured
  std::vector<std::string> also;
  std::vector<std::string> schemes = {"f32",       "bf16",          "int8",     "int6:g64",
                                      "int4:g128", "int4:g32:asym", "int3:g32", "int2:g32"};
};

struct Subject {
  std::string name;
  DecoderConfig config;
  DType plain = DType::bf16;
};

// What the tensors outside the blocks are stored in.
DType stored_dtype(const ModelFolder& model) {
  const std::string table = parameter_table(model.decoder_config()).front().name;
  for (const TensorInfo& t : model.tensors->list()) {
    if (t.name == table) return t.dtype;
  }
  return DType::bf16;
}

Subject subject_of(const EstimateFlags& o) {
  const bool sizes = !o.params.empty() || o.sizes.layers > 0 || o.sizes.width > 0;
  if ((o.model.empty() ? 0 : 1) + (o.shape.empty() ? 0 : 1) + (sizes ? 1 : 0) != 1)
    throw invalid_argument("give a MODEL, --shape or --params, one of them");
  if (!o.model.empty()) {
    const ModelFolder model = open_model(resolve_model(o.model));
    return {o.model, model.decoder_config(), stored_dtype(model)};
  }
  if (!o.shape.empty()) return {o.shape, random_model(o.shape, 42).decoder_config(), DType::bf16};
  ShapeOptions s = o.sizes;
  if (!o.params.empty()) s.parameters = parse_parameters(o.params);
  s.context = o.context;
  return {"a Llama-shaped model", llama_shape(s), DType::bf16};
}

EstimateOptions estimate_options(const EstimateFlags& o, const Subject& s, int threads) {
  EstimateOptions out;
  out.threads = threads;
  out.plain = s.plain;
  out.kv = parse_kv(o.kv);
  out.context = o.context > 0 ? o.context : s.config.context;
  for (const std::string& what : o.also) {
    if (what != "lm_head" && what != "embeddings")
      throw invalid_argument(
          fmt::format("--quantize {}: use lm_head or embeddings", in_quotes(what)));
    (what == "lm_head" ? out.head : out.embeddings) = true;
  }
  return out;
}

void show_estimate_json(const Subject& s, const EstimateOptions& eo,
                        const std::vector<Estimate>& all, double bandwidth, bool measured,
                        int64_t memory, int threads) {
  JsonWriter out;
  out.begin_object().field("schema_version", 1).field("model", s.name);
  out.field("parameters", parameter_count(s.config)).field("layers", s.config.layers);
  out.field("width", s.config.hidden_size).field("context", eo.context);
  out.field("memory_bytes_available", memory).field("threads", threads);
  out.field("bandwidth_bytes_per_second", bandwidth).field("bandwidth_measured", measured);
  out.field("kv_bytes_per_token", kv_bytes_per_token(s.config, eo.kv));
  out.key("schemes").begin_array();
  for (const Estimate& e : all) {
    out.begin_object().field("scheme", to_string(e.scheme)).field("memory_bytes", e.memory_bytes);
    out.field("weight_bytes", e.weight_bytes).field("kv_bytes", e.kv_bytes);
    out.field("scratch_bytes", e.scratch_bytes).field("total_bytes", e.total());
    out.field("fits", e.total() <= memory);
    out.field("decode_tokens_per_second", e.tokens_per_second(bandwidth));
    out.field("decode_tokens_per_second_full_context", e.tokens_per_second_full(bandwidth));
    out.end_object();
  }
  print_raw(out.end_array().end_object().finish());
}

void show_table(const Subject& s, const EstimateOptions& eo, const std::vector<Estimate>& all,
                double bandwidth, bool measured, int64_t memory, int threads) {
  const DecoderConfig& c = s.config;
  print_out(fmt::format("{}: {} parameters, {}, {} wide, context {}, KV cache in {}\n",
                        printable(s.name), format_count(parameter_count(c)),
                        counted(c.layers, "layer"), c.hidden_size, format_count(eo.context),
                        to_string(eo.kv)));
  print_out(fmt::format(
      "this machine: {} of memory, {:.1f} GB/s {}\n\n", format_bytes(memory), bandwidth * 1e-9,
      measured ? "read by " + counted(threads, "thread") : std::string("as given")));
  TerminalTable table({{"scheme"},
                       {"weights", 0},
                       {"KV cache", 1},
                       {"total", 0},
                       {"fits", 0},
                       {"tokens/s", 0},
                       {"at full context", 2}});
  for (const Estimate& e : all) {
    table.add({to_string(e.scheme), format_bytes(e.memory_bytes), format_bytes(e.kv_bytes),
               format_bytes(e.total()), e.total() <= memory ? "yes" : "no",
               format_rate(e.tokens_per_second(bandwidth)),
               format_rate(e.tokens_per_second_full(bandwidth))});
  }
  print_out(table.render(100));
  print_out(
      "\nTokens/s is what memory allows when decoding one text: an upper bound, as every weight is "
      "read for each token.\n");
}

void run_estimate(const Common& common, const EstimateFlags& o) {
  const Subject subject = subject_of(o);
  const EstimateOptions eo = estimate_options(o, subject, threads_of(common));
  std::vector<Estimate> all;
  for (const std::string& s : o.schemes)
    all.push_back(estimate(subject.config, parse_scheme(s), eo));
  const int threads = threads_of(common);
  const bool measured = o.bandwidth <= 0;
  BandwidthOptions b;
  b.threads = threads;
  b.bytes = std::clamp<int64_t>(usable_memory_bytes() / 8, 1 << 20, b.bytes);
  const double bandwidth = measured ? measure_read_bandwidth(b) : o.bandwidth * 1e9;
  if (measured && !(bandwidth > 0))
    throw out_of_memory(
        "too little memory is left to measure how fast it is read; give --bandwidth, in GB/s");
  const auto show = common.json ? show_estimate_json : show_table;
  show(subject, eo, all, bandwidth, measured, usable_memory_bytes(), threads);
}

}  // namespace

void add_estimate(CLI::App& app, Common& common) {
  CLI::App* verb =
      app.add_subcommand("estimate", "Memory and speed that a model would need in every scheme");
  const auto o = std::make_shared<EstimateFlags>();
  const auto size = CLI::Range(int64_t{1}, int64_t{1} << 31);
  verb->add_option("model", o->model, "Model folder, file, or a name in the Hugging Face cache");
  verb->add_option("--shape", o->shape,
                   fmt::format("A published shape: {}", fmt::join(shape_names(), ", ")));
  verb->add_option("--params", o->params, "A Llama-shaped model of about so many: 7B, 1.1B, 124M");
  verb->add_option("--layers", o->sizes.layers, "Its layers")->check(size);
  verb->add_option("--width", o->sizes.width, "Its hidden size")->check(size);
  verb->add_option("--heads", o->sizes.heads, "Its attention heads")->check(size);
  verb->add_option("--kv-heads", o->sizes.kv_heads, "Its heads of keys and values")->check(size);
  verb->add_option("--intermediate", o->sizes.intermediate, "Width of its MLP")->check(size);
  verb->add_option("--vocab", o->sizes.vocab, "Its vocabulary")->check(size);
  verb->add_option("--context", o->context, "Tokens in the KV cache (default: the model's context)")
      ->check(size);
  add_kv(*verb, o->kv);
  verb->add_option("--schemes", o->schemes, "Schemes to show")->delimiter(',');
  verb->add_option("--quantize", o->also, "lm_head, embeddings: the schemes cover these too")
      ->delimiter(',');
  verb->add_option("--bandwidth", o->bandwidth, "GB/s instead of measuring this machine's")
      ->check(number_between(0.001, 1e6));
  add_common(*verb, common,
             "nibble estimate --params 7B --context 4096\n  nibble estimate gpt2 --kv f32\n"
             "  nibble estimate --shape llama-1b --bandwidth 50");
  verb->callback([&common, o] { run_estimate(common, *o); });
}

}  // namespace nibble::cli
