#include "nibble/report/demo_report.h"

#include <fmt/format.h>

#include "nibble/core/files.h"
#include "nibble/report/json_report.h"
#include "nibble/report/model_fields.h"
#include "nibble/report/page.h"
#include "nibble/report/sections.h"
#include "nibble/report/speed_text.h"
#include "nibble/report/verdict.h"

namespace nibble {
namespace {

std::vector<PageSection> sections_of(const DemoResult& r) {
  return {
      {"models", "Size, quality, speed", "all numbers", model_table(r.models)},
      {"size-quality", "What each bit buys", "size against quality", size_and_quality(r.models)},
      {"training", "How it learned", "training", training(r)},
      {"speed", "Is it faster?", "speed", speed_section(r.models)},
      {"weights", "The weights, before and after", "weights", weight_histograms(r.histograms)},
      {"outliers", "Outliers", "outliers", outliers(r)},
      {"sensitivity", "Which tensor needs its bits", "sensitivity", sensitivity(r.sensitivity)},
      {"samples", "Samples side by side", "samples", samples_table(r.models)},
      {"method", "How this was made", "how it was made",
       how_it_was_made(r.run, r.data, r.models, &r)},
      {"words", "Words used here", "words", glossary()}};
}

std::string best_line(const Models& models) {
  const Measurement* best = headliner(models);
  if (best == nullptr) return {};
  const double smaller =
      static_cast<double>(models.front().file_bytes) / static_cast<double>(best->file_bytes);
  return fmt::format("{}: {:.2f}x smaller than f32, {}.\n", best->name, smaller,
                     describe_cost(*best));
}

std::string speed_line(const Models& models) {
  const Measurement* fast = fastest_quantized(models);
  if (fast == nullptr) return {};
  return fmt::format("{} against {}: {}.\n", fast->name, models.front().name,
                     describe_speed(speedup_of(*fast), "x"));
}

void write_page(const std::string& path, const std::string& text) {
  AtomicFile file(path, static_cast<int64_t>(text.size()));
  file.write(text);
  file.commit();
}

void write_training(JsonWriter& json, const DemoResult& r) {
  json.key("training").begin_object();
  json.field("model", r.model)
      .field("data", r.data)
      .field("steps", r.steps)
      .field("batch", r.batch)
      .field("seed", r.seed)
      .field("data_seed", r.data_seed)
      .field("seconds", r.train_seconds)
      .field("tokens_per_second", r.train_tokens_per_second)
      .field("heldout_loss", r.heldout_loss)
      .end_object();
}

}  // namespace

std::string render_html(const DemoResult& r) {
  return render_page({"nibble demo: microGPT, quantized", r.model, r.run.date, r.run.version},
                     r.models, sections_of(r));
}

std::string render_table(const std::vector<Measurement>& models, int width) {
  const std::string speeds = render_speeds(models, width);
  return model_columns(models,
                       {{"name"},
                        {"bits_per_weight", 1},
                        {"file_bytes", 0},
                        {"times_smaller", 2},
                        {"memory_bytes", 6},
                        {"loss", 1},
                        {"loss_difference", 0},
                        {"loss_difference_standard_error", 5},
                        {"perplexity", 4},
                        {"top1_agreement", 3},
                        {"kl_mean", 2}},
                       width) +
         (speeds.empty() ? "" : "\n" + speeds);
}

std::string render_terminal(const DemoResult& r, int width) {
  return render_table(r.models, width) + "\n" + best_line(r.models) + speed_line(r.models);
}

std::string demo_json(const DemoResult& r) {
  JsonWriter json;
  json.begin_object().field("schema_version", kReportSchemaVersion);
  json.field("nibble_version", r.run.version).field("date", r.run.date);
  json.field("machine", r.run.machine);
  write_training(json, r);
  json.field("busy", busy(r.models)).key("models").begin_array();
  for (const Measurement& m : r.models) {
    json.begin_object();
    write_measurement_fields(json, m);
    json.end_object();
  }
  return json.end_array().end_object().finish();
}

void write_demo_pages(const DemoResult& r, const std::string& folder) {
  write_page(folder + "/report.html", render_html(r));
  write_page(folder + "/report.json", demo_json(r));
}

}  // namespace nibble
