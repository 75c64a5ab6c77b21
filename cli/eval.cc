// nibble eval: loss and perplexity on a text, and the distance from another model.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/command.h"
#include "cli/data.h"
#include "cli/load.h"
#include "cli/mnist.h"
#include "nibble/core/counted.h"
#include "nibble/core/error.h"
#include "nibble/core/in_file.h"
#include "nibble/core/json.h"
#include "nibble/eval/perplexity.h"
#include "nibble/model/hf_cache.h"
#include "nibble/model/model_folder.h"
#include "nibble/text/line_data.h"

namespace nibble::cli {
namespace {

struct EvalFlags {
  ModelChoice load;
  std::string text, base, data, protocol = "windows", kv = "f32";
  bool heldout = false;
  int64_t window = 0;
  uint64_t data_seed = 42;
};

struct Sequences {
  std::string name;  // of the text
  std::vector<ScoredSequence> ids;
};

Sequences sequences_of(const EvalFlags& o, const ModelFolder& model) {
  if (o.text.empty() && !reads_lines(model.require_tokenizer())) {
    throw invalid_argument("--text FILE is needed: this model does not read names");
  }
  const Text text = load_text(o.text);
  return naming_file(text.name, [&] {
    Sequences out{text.name,
                  scored_text(text.text, model.require_tokenizer(), model.decoder_config().context,
                              {parse_protocol(o.protocol), o.window, o.heldout, o.data_seed})};
    require_predictions(out.ids);
    return out;
  });
}

void write_loss(const LossResult& r, JsonWriter& out) {
  out.field("perplexity", r.perplexity)
      .field("mean_nll", r.loss)
      .field("standard_error", r.standard_error);
  out.field("tokens", r.tokens).field("windows", static_cast<int64_t>(r.sequence_nll.size()));
}

void write_divergence(const ComparisonResult& c, JsonWriter& out) {
  const Divergence& d = c.divergence;
  out.field("kl_mean", d.kl_mean)
      .field("kl_standard_error", d.kl_standard_error)
      .field("kl_median", d.kl_median);
  out.field("kl_p90", d.kl_p90)
      .field("kl_p99", d.kl_p99)
      .field("kl_p999", d.kl_p999)
      .field("kl_max", d.kl_max);
  out.field("top1_agreement", d.top1_agreement).field("top1_standard_error", d.top1_standard_error);
  out.field("rms_delta_p", d.rms_delta_p)
      .field("rms_delta_p_standard_error", d.rms_delta_p_standard_error);
  out.field("base_mean_nll", c.base.loss).field("loss_difference", c.loss_difference);
  out.field("loss_difference_standard_error", c.loss_difference_standard_error);
}

std::string words(const LossResult& r) {
  return fmt::format("perplexity {:.4f}, loss {:.5f} +- {:.5f} nats a token over {} in {}\n",
                     r.perplexity, r.loss, r.standard_error, counted(r.tokens, "token"),
                     counted(std::ssize(r.sequence_nll), "sequence"));
}

std::string words(const ComparisonResult& c) {
  const Divergence& d = c.divergence;
  return fmt::format(
      "against the baseline: loss {:+.5f} +- {:.5f} nats a token\n"
      "KL {:.6f} +- {:.6f} nats (median {:.6f}, 90 % {:.6f}, 99 % {:.6f}, 99.9 % {:.6f}, largest "
      "{:.6f})\n"
      "same first choice {:.2f} +- {:.2f} %, probability of the right token changes by {:.2f} +- "
      "{:.2f} % (RMS)\n",
      c.loss_difference, c.loss_difference_standard_error, d.kl_mean, d.kl_standard_error,
      d.kl_median, d.kl_p90, d.kl_p99, d.kl_p999, d.kl_max, 100 * d.top1_agreement,
      100 * d.top1_standard_error, 100 * d.rms_delta_p, 100 * d.rms_delta_p_standard_error);
}

JsonWriter begin_json(const EvalFlags& o, const ModelFolder& model) {
  JsonWriter out;
  out.begin_object()
      .field("schema_version", 1)
      .field("model", o.load.model)
      .field("scheme", scheme_summary(model))
      .field("protocol", o.protocol);
  return out;
}

void eval_alone(const Common& common, const EvalFlags& o, const ModelFolder& model) {
  const Decoder decoder = load_decoder(model, {.threads = threads_of(common)});
  const auto data = sequences_of(o, model);
  LossResult r;
  {
    const Exec exec = make_exec(common);
    r = naming_file(model.path, [&] {
      return require_perplexity(
          measure_loss(logits_of(decoder, parse_kv(o.kv)), data.ids, exec, "eval"));
    });
  }
  if (!common.json) return print_out(words(r));
  JsonWriter out = begin_json(o, model);
  write_loss(r, out);
  print_raw(out.end_object().finish());
}

void eval_against(const Common& common, const EvalFlags& o, const ModelFolder& model) {
  const ModelFolder base_folder = open_model(resolve_model(o.base));
  show_warnings(common, warnings_of(base_folder));
  if (base_folder.decoder_config().vocab_size != model.decoder_config().vocab_size) {
    throw invalid_argument(fmt::format("--against {}: its vocabulary has {} tokens, the model's {}",
                                       in_quotes(o.base), base_folder.decoder_config().vocab_size,
                                       model.decoder_config().vocab_size));
  }
  const LinearOptions linear{.threads = threads_of(common)};
  const Decoder decoder = load_decoder(model, linear), base = load_decoder(base_folder, linear);
  const auto data = sequences_of(o, model);
  ComparisonResult c;
  {
    const Exec exec = make_exec(common);
    c = naming_file(model.path, [&] {
      ComparisonResult out = compare_models(logits_of(decoder, parse_kv(o.kv)), logits_of(base),
                                            data.ids, exec, "eval");
      require_perplexity(out.model);
      return out;
    });
  }
  if (!common.json) return print_out(words(c.model) + words(c));
  JsonWriter out = begin_json(o, model);
  out.field("against", o.base);
  write_loss(c.model, out);
  write_divergence(c, out);
  print_raw(out.end_object().finish());
}

void run_eval(const Common& common, const EvalFlags& o) {
  // What is refused for a word is refused before anything is read.
  parse_kv(o.kv);
  parse_protocol(o.protocol);
  const ModelFolder model = open_choice(o.load, make_exec(common));
  show_warnings(common, warnings_of(model));
  if (std::holds_alternative<MlpConfig>(model.config))
    return eval_mlp(common, model, o.base, o.data);
  if (o.base.empty()) return eval_alone(common, o, model);
  eval_against(common, o, model);
}

}  // namespace

void add_eval(CLI::App& app, Common& common) {
  CLI::App* verb =
      app.add_subcommand("eval", "Loss, perplexity, and the distance from another model");
  const auto o = std::make_shared<EvalFlags>();
  add_load(*verb, o->load);
  verb->add_option("--text", o->text,
                   "Text file to measure on (default: the names nibble brings along)");
  CLI::Option* heldout = verb->add_flag("--heldout", o->heldout,
                                        "Only the part that training held out (the last 10 %)");
  verb->add_option(
          "--protocol", o->protocol,
          fmt::format("How the text is cut and scored: {}", fmt::join(protocol_names(), ", ")))
      ->capture_default_str();
  verb->add_option("--window", o->window,
                   "Tokens a window (default: the protocol's, or the context)")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 31));
  verb->add_option("--data-seed", o->data_seed, "Of the split into training and held-out lines")
      ->capture_default_str()
      ->needs(heldout);
  verb->add_option("--against", o->base,
                   "Baseline model: KL divergence, agreement and paired loss difference");
  add_kv(*verb, o->kv);
  verb->add_option("--data", o->data, "For an mlp: folder with MNIST's IDX files");
  add_common(*verb, common,
             "nibble eval my-model-int4 --text names.txt --heldout --against my-model");
  verb->callback([&common, o] { run_eval(common, *o); });
}

}  // namespace nibble::cli
