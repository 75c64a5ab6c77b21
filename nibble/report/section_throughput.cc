// Reading, writing and whole generations of each model, timed in turn with the baseline's.
#include <fmt/format.h>

#include "nibble/core/counted.h"
#include "nibble/report/html.h"
#include "nibble/report/numbers.h"
#include "nibble/report/sections.h"
#include "nibble/report/speed_text.h"

namespace nibble {
namespace {

// A value, and in small what it lies between.
std::string with_range(const std::string& value, const std::string& range) {
  return range.empty() ? value : fmt::format("{}<span class=\"se\">{}</span>", value, range);
}

std::string rate_cell(const TimedWork& w) {
  const double amount = w.tokens_per_second * w.latency->median();
  return with_range(format_rate(w.tokens_per_second),
                    fmt::format("{}–{}", format_rate(ratio(amount, w.latency->upper_quartile())),
                                format_rate(ratio(amount, w.latency->lower_quartile()))));
}

std::string ratio_cell(const TimedWork& w) {
  const Speedup s = w.against_base();
  return s.interval ? with_range(format_speedup(s, "×"), format_interval(s)) : "&ndash;";
}

std::vector<HtmlCell> cells_of(const Measurement& m, size_t count) {
  std::vector<HtmlCell> out = {{model_name(m), ""}};
  for (const TimedWork& w : timed_works(m)) {
    out.push_back({rate_cell(w), "group-start"});
    out.push_back({ratio_cell(w), ""});
  }
  out.resize(1 + 2 * count, {"&ndash;", ""});
  return out;
}

}  // namespace

std::string throughput_table(const Models& models) {
  if (models.empty() || models.front().throughput.decode_tokens <= 0) return "";
  const Throughput& base = models.front().throughput;
  const std::vector<TimedWork> works = timed_works(models.front());
  HtmlTable table(
      fmt::format("Medians of {} or more, with their quartiles; ratios to {} within the rounds, "
                  "with where 95 % are sure that they lie. Prefill reads a prompt of {}, decode "
                  "writes {} behind it; a generation is both, from prompt to text.",
                  counted(fewest_rounds(models), "round"), escape_html(models.front().name),
                  counted(base.prefill_tokens, "token"), base.decode_tokens),
      "stacked");
  table.column("model");
  for (const TimedWork& w : works)
    table.column(fmt::format("{}, tokens / s", w.key)).column("ratio");
  for (const Measurement& m : models) table.row(cells_of(m, works.size()));
  return table.finish();
}

}  // namespace nibble
