#include "nibble/report/demo_report.h"

#include "nibble/report/numbers.h"
#include "nibble/report/page.h"
#include "nibble/report/sections.h"
#include "nibble/report/speed_text.h"
#include "nibble/report/table.h"

namespace nibble {
namespace {

std::vector<PageSection> sections_of(const DemoReport& r) {
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

}  // namespace

std::string render_html(const DemoReport& r) {
  return render_page({r.title, r.model, r.run.date, r.run.version}, r.models, sections_of(r));
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

}  // namespace nibble
