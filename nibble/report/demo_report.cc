#include "nibble/report/demo_report.h"

#include <fmt/format.h>

#include "nibble/core/files.h"
#include "nibble/report/json_report.h"
#include "nibble/report/numbers.h"
#include "nibble/report/page.h"
#include "nibble/report/sections.h"
#include "nibble/report/speed_text.h"
#include "nibble/report/table.h"
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
      {"method", "How this was made", "how it was made", how_it_was_made(r)},
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

}  // namespace

std::string render_html(const DemoResult& r) {
  return render_page({"nibble demo: microGPT, quantized", r.model, r.run.date, r.run.version},
                     r.models, sections_of(r));
}

std::string render_table(const std::vector<Measurement>& models, int width) {
  TerminalTable table({{"model"},
                       {"bits/w", 1},
                       {"file", 0},
                       {"smaller", 2},
                       {"memory", 6},
                       {"loss", 1},
                       {"change", 0},
                       {"+-", 5},
                       {"ppl", 4},
                       {"top-1", 3},
                       {"KL", 2}});
  for (size_t i = 0; i < models.size(); ++i) {
    const Measurement& m = models[i];
    const Measurement& base = models.front();
    const bool measured = m.tokens > 0, compared = measured && i > 0;
    const double smaller =
        ratio(static_cast<double>(base.file_bytes), static_cast<double>(m.file_bytes));
    table.add({m.name, format_fixed(m.bits_per_weight, 2), format_bytes(m.file_bytes),
               format_fixed(smaller, 2) + "x", format_bytes(m.memory_bytes),
               measured ? format_fixed(m.loss, 4) : "-",
               compared ? format_signed(m.loss_difference, 4) : "-",
               compared ? format_fixed(m.loss_difference_standard_error, 4) : "-",
               measured ? format_fixed(m.perplexity, 3) : "-",
               compared ? format_percent(m.divergence.top1_agreement, 1) : "-",
               compared ? format_significant(m.divergence.kl_mean) : "-"});
  }
  const std::string speeds = render_speeds(models, width);
  return table.render(width) + (speeds.empty() ? "" : "\n" + speeds);
}

std::string render_terminal(const DemoResult& r, int width) {
  return render_table(r.models, width) + "\n" + best_line(r.models) + speed_line(r.models);
}

void write_demo_pages(const DemoResult& r, const std::string& folder) {
  write_page(folder + "/report.html", render_html(r));
  write_page(folder + "/report.json", models_json(r));
}

}  // namespace nibble
