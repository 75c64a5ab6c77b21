// Every model in one table, and size against quality as a picture.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "nibble/report/html.h"
#include "nibble/report/numbers.h"
#include "nibble/report/plots.h"
#include "nibble/report/ranking.h"
#include "nibble/report/sections.h"
#include "nibble/report/speed_text.h"
#include "nibble/report/text.h"
#include "nibble/report/verdict.h"

namespace nibble {
namespace {

constexpr std::string_view kNone = "&ndash;";

/// A value, and below it in small what belongs to it.
std::string with_note(const std::string& value, const std::string& note) {
  return note.empty() ? value : fmt::format("{}<span class=\"se\">{}</span>", value, note);
}

std::string with_error(const std::string& value, double error, int digits) {
  return with_note(value, std::isfinite(error) ? "± " + format_fixed(error, digits) : "");
}

std::string cost_chip(const Measurement& m) {
  const Cost cost = judge_cost(m);
  return fmt::format("<span class=\"chip {}\"><span class=\"dot\"></span>{}</span>",
                     css_class(cost), short_word(cost));
}

std::vector<HtmlCell> size_cells(const Measurement& m, const Measurement& base, bool is_base) {
  const double smaller =
      ratio(static_cast<double>(base.file_bytes), static_cast<double>(m.file_bytes));
  return {
      {format_fixed(m.bits_per_weight, 2), "group-start"},
      {with_note(format_bytes(m.file_bytes), is_base ? "" : format_fixed(smaller, 2) + "× smaller"),
       ""},
      {format_bytes(m.memory_bytes), ""}};
}

std::vector<HtmlCell> quality_cells(const Measurement& m, bool is_base) {
  if (m.tokens <= 0) {
    std::vector<HtmlCell> out(6, {std::string(kNone), ""});
    out[0].css_class = "group-start";
    return out;
  }
  const Divergence& d = m.divergence;
  const std::string none(kNone);
  return {
      {with_error(format_fixed(m.loss, 4), m.standard_error, 4), "group-start"},
      {is_base
           ? none
           : with_error(format_signed(m.loss_difference, 4), m.loss_difference_standard_error, 4),
       ""},
      {is_base ? none : cost_chip(m), "left"},
      {format_fixed(m.perplexity, 3), ""},
      {is_base ? none : format_percent(d.top1_agreement, 2), ""},
      {is_base ? none
               : with_note(format_significant(d.kl_mean), "p99 " + format_significant(d.kl_p99)),
       ""}};
}

std::vector<HtmlCell> speed_cells(const Measurement& m, bool is_base) {
  const std::string none(kNone);
  const Latency& l = m.latency;
  const bool timed = l.runs() > 0;
  return {
      {timed ? with_note(format_seconds(l.median()), format_seconds(l.lower_quartile()) + "–" +
                                                         format_seconds(l.upper_quartile()))
             : none,
       "group-start"},
      {m.tokens_per_second > 0
           ? with_note(format_rate(m.tokens_per_second),
                       is_base || !timed ? "" : format_speedup(speedup_of(m), "×"))
           : none,
       ""},
      {m.kernel.empty() ? none : "<span class=\"kernel mono\">" + escape_name(m.kernel) + "</span>",
       "left"}};
}

void add_headings(HtmlTable& table, std::string_view text) {
  table.group("", 1).group("Size", 3).group(fmt::format("Quality on {}text", text), 6);
  table.group("Speed", 3);
  table.column("model")
      .column("bits / weight", "all bytes of the matrices, scales included, over their weights")
      .column("file", "all tensor files; below, how often it fits into the baseline's")
      .column("memory", "what the loaded model holds")
      .column("loss, nats", "mean negative log-likelihood a token, with its standard error")
      .column("change", "against the baseline, paired over the same text, with its standard error")
      .column(
          "cost",
          "none: within two standard errors; small: under 1% in perplexity; noticeable: under 5%",
          "left")
      .column("perplexity", "e to the loss")
      .column("top-1", "share of tokens where both models rank the same one first")
      .column("KL, nats",
              "mean divergence from the baseline's predictions; below, what 99 of 100 tokens stay "
              "under")
      .column("one sample", "time to generate one: median and quartiles over the rounds")
      .column("tokens / s",
              "below, how often as fast as the baseline in the same rounds: one figure where they "
              "carry it, else between what it lies")
      .column("kernel", "what multiplied the weights", "left");
}

/// "NAME by OTHER" for every model that another beats in both size and quality.
std::string beaten_words(const Models& models) {
  std::string out;
  for (size_t i = 1; i < models.size(); ++i) {
    const Measurement* other = beaten_by(models[i], models, matrix_bits);
    if (other == nullptr) continue;
    out += fmt::format("{}<strong>{}</strong> by {}", out.empty() ? "" : ", ",
                       escape_html(models[i].name), escape_html(other->name));
  }
  if (out.empty()) return "<p>No format here is beaten in both: each buys quality with bits.</p>\n";
  return "<p>Beaten in both size and quality, speed aside: " + out + ".</p>\n";
}

ScatterPlot scatter_of(const Models& models) {
  ScatterPlot plot;
  plot.description = "Bits per weight against the divergence from the baseline, one point a model";
  plot.x_title = "bits per weight";
  plot.y_title = "KL divergence, nats a token (logarithmic)";
  plot.log_y = true;
  for (size_t i = 1; i < models.size(); ++i) {
    const Measurement& m = models[i];
    if (m.tokens <= 0) continue;
    const std::string tip =
        fmt::format("{}: {} bits a weight, KL {} nats", m.name, format_fixed(m.bits_per_weight, 2),
                    format_significant(m.divergence.kl_mean));
    plot.points.push_back({m.bits_per_weight, m.divergence.kl_mean,
                           2 * m.divergence.kl_standard_error, m.name, tip, colour_of(m)});
  }
  return plot;
}

}  // namespace

std::string model_name(const Measurement& m) {
  // A name that is no path stays on one line with its dot.
  const bool whole = display_width(m.name) <= 16;
  return fmt::format("<span{}><span class=\"dot c{}\"></span>{}</span>",
                     whole ? " class=\"whole\"" : "", colour_of(m), escape_html(m.name));
}

std::string model_table(const Models& models, std::string_view text) {
  if (models.empty()) return "";
  const Measurement& base = models.front();
  HtmlTable table(fmt::format("All models, measured the same way on {} {}tokens. "
                              "&ldquo;±&rdquo; is one standard error; a change within two of them "
                              "is no measurable loss.",
                              format_count(base.tokens), escape_html(text)),
                  "stacked");
  add_headings(table, text);
  for (size_t i = 0; i < models.size(); ++i) {
    std::vector<HtmlCell> cells = {{model_name(models[i]), ""}};
    for (auto part : {size_cells(models[i], base, i == 0), quality_cells(models[i], i == 0),
                      speed_cells(models[i], i == 0)}) {
      cells.insert(cells.end(), part.begin(), part.end());
    }
    table.row(std::move(cells));
  }
  return table.finish();
}

std::string size_and_quality(const Models& models) {
  const bool any = std::any_of(models.begin() + (models.empty() ? 0 : 1), models.end(),
                               [](const Measurement& m) { return m.divergence.kl_mean > 0; });
  if (!any) return "";
  return fmt::format(
      "<div class=\"grid\"><figure>{}<figcaption>Whiskers are two standard errors. The baseline, "
      "whose divergence is 0, has no place on a logarithmic scale.</figcaption></figure>\n"
      "<div class=\"text\"><p>Down and to the left is better: fewer bits, and predictions closer "
      "to {}. Each step up the scale is ten times as far from it.</p>\n{}"
      "<p class=\"soft\">KL divergence compares the whole distribution over the next token, so it "
      "sees a change long before the loss or the samples do.</p></div></div>\n",
      scatter_plot(scatter_of(models)), escape_html(models.front().name), beaten_words(models));
}

}  // namespace nibble
