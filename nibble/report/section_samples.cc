// What the models write, side by side.
#include <fmt/format.h>

#include <algorithm>

#include "nibble/report/html.h"
#include "nibble/report/sections.h"
#include "nibble/report/text.h"

namespace nibble {
namespace {

constexpr size_t kRows = 10;
constexpr int64_t kLong = 32;  // columns; longer samples are set as paragraphs

/// A sample of the baseline's, equal ones soft, others marked from where they part.
HtmlCell compared(const std::string& sample, const std::string& base) {
  const std::string mine = display_text(sample), theirs = display_text(base);
  if (mine == theirs) {
    return {escape_html(sample) + "<span class=\"tick\" title=\"the same\">=</span>", "same mono"};
  }
  const size_t same = common_prefix(mine, theirs);
  // escape_html() shows text as display_text() does, so that the halves of shown text stay as they
  // are.
  const std::string rest = mine.substr(same);
  return {escape_html(mine.substr(0, same)) + "<mark>" +
              (rest.empty() ? "&#8709;" : escape_html(rest)) + "</mark>",
          "mono"};
}

size_t equal_samples(const Measurement& m, const Measurement& base, size_t rows) {
  size_t same = 0;
  for (size_t i = 0; i < rows; ++i) {
    same += i < m.samples.size() && i < base.samples.size() && m.samples[i] == base.samples[i];
  }
  return same;
}

bool any_long(const Models& models) {
  return std::any_of(models.begin(), models.end(), [](const Measurement& m) {
    return std::any_of(m.samples.begin(), m.samples.end(),
                       [](const std::string& s) { return display_width(display_text(s)) > kLong; });
  });
}

}  // namespace

std::string samples_table(const Models& models) {
  if (models.empty() || models.front().samples.empty()) return "";
  const Measurement& base = models.front();
  const size_t rows = std::min(base.samples.size(), kRows);
  HtmlTable table(
      fmt::format("The same random numbers for every model. <mark>Marked</mark>: where a sample "
                  "parts from that of {}.",
                  escape_html(base.name)),
      any_long(models) ? "samples long" : "samples");
  table.column("");
  std::vector<const Measurement*> shown;
  for (const Measurement& m : models) {
    if (!m.samples.empty()) shown.push_back(&m);
  }
  for (const Measurement* m : shown) table.column(m->name);
  for (size_t i = 0; i < rows; ++i) {
    std::vector<HtmlCell> cells = {{std::to_string(i + 1), ""},
                                   {escape_html(base.samples[i]), "mono"}};
    for (size_t j = 1; j < shown.size(); ++j) {
      const bool has = i < shown[j]->samples.size();
      cells.push_back(has ? compared(shown[j]->samples[i], base.samples[i])
                          : HtmlCell{"&ndash;", ""});
    }
    table.row(std::move(cells));
  }
  std::vector<HtmlCell> counts = {{"same", ""}, {"", ""}};
  for (size_t j = 1; j < shown.size(); ++j) {
    counts.push_back(
        {fmt::format("<strong>{}</strong> of {}", equal_samples(*shown[j], base, rows), rows), ""});
  }
  table.row(std::move(counts));
  return table.finish();
}

}  // namespace nibble
