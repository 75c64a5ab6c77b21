#include "nibble/report/demo_report.h"

#include <fmt/format.h>

#include "nibble/report/html.h"
#include "nibble/report/numbers.h"
#include "nibble/report/sections.h"
#include "nibble/report/table.h"

namespace nibble {
namespace {

struct Section {
  std::string_view id, heading, link;
  std::string body;
};

std::string speed(const Models& models) {
  const std::string bars = speed_bars(models);
  if (bars.empty()) return "";
  return fmt::format(
      "<div class=\"grid\"><figure><h3>Tokens a second, generating</h3><ul class=\"legend\">"
      "<li><span class=\"key c1\"></span>own kernel</li><li><span class=\"key c1 tinted\"></span>"
      "dequantized on the fly</li></ul>{}</figure>\n<div class=\"text\">{}</div></div>\n",
      bars, speed_words(models));
}

std::vector<Section> sections_of(const DemoReport& r) {
  return {
      {"models", "Size, quality, speed", "all numbers", model_table(r.models)},
      {"size-quality", "What each bit buys", "size against quality", size_and_quality(r.models)},
      {"training", "How it learned", "training", training(r)},
      {"speed", "Is it faster?", "speed", speed(r.models)},
      {"weights", "The weights, before and after", "weights", weight_histograms(r.histograms)},
      {"outliers", "Outliers", "outliers", outliers(r)},
      {"sensitivity", "Which tensor needs its bits", "sensitivity", sensitivity(r.sensitivity)},
      {"samples", "Samples side by side", "samples", samples_table(r.models)},
      {"method", "How this was made", "how it was made", how_it_was_made(r)},
      {"words", "Words used here", "words", glossary()}};
}

std::string navigation(const std::vector<Section>& sections) {
  std::string items;
  for (const Section& s : sections) {
    if (!s.body.empty()) items += fmt::format("<li><a href=\"#{}\">{}</a></li>\n", s.id, s.link);
  }
  return "<nav aria-label=\"Sections\"><ul>\n" + items + "</ul></nav>\n";
}

std::string over_line(const DemoReport& r) {
  std::string out = escape_html(r.title);
  if (!r.model.empty()) out += " &middot; " + escape_html(r.model);
  if (!r.date.empty()) out += " &middot; " + escape_html(r.date);
  return "<p class=\"over\">" + out + "</p>\n";
}

}  // namespace

std::string render_html(const DemoReport& r) {
  const std::vector<Section> sections = sections_of(r);
  std::string body = "<header>\n" + over_line(r) + "<h1>" + escape_html(headline(r.models)) +
                     "</h1>\n" + lede(r.models) + navigation(sections) + "</header>\n<main>\n" +
                     tiles(r.models);
  for (const Section& s : sections) body += html_section(s.id, s.heading, s.body);
  body += fmt::format(
      "</main>\n<footer>Written by nibble {}. This page is one file and asks for nothing "
      "from a network.</footer>\n",
      escape_html(r.version));
  return html_page(r.title.empty() ? "nibble" : r.title, body);
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
                       {"KL", 2},
                       {"tokens/s", 1}});
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
               compared ? format_significant(m.divergence.kl_mean) : "-",
               m.tokens_per_second > 0 ? format_rate(m.tokens_per_second) : "-"});
  }
  return table.render(width);
}

}  // namespace nibble
