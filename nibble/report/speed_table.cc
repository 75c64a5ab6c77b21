// The speeds of a comparison for a terminal.
#include <fmt/format.h>

#include "nibble/core/counted.h"
#include "nibble/report/speed_text.h"
#include "nibble/report/table.h"
#include "nibble/report/text.h"

namespace nibble {
namespace {

// A column for each kind of work and one for its ratio; what does not fit goes from the right.
std::vector<TerminalTable::Column> columns_for(const std::vector<TimedWork>& works,
                                               std::string_view base) {
  std::vector<TerminalTable::Column> out = {{"model"}};
  int rank = 0;
  for (const TimedWork& w : works) {
    out.push_back({std::string(w.title), rank++});
    out.push_back({fmt::format("x {}", cut_to_width(display_text(base), 12)), rank++});
  }
  return out;
}

std::vector<std::string> latency_cells(const Measurement& m, const std::vector<TimedWork>& columns,
                                       bool is_base) {
  const std::vector<TimedWork> works = timed_works(m);
  std::vector<std::string> out = {m.name};
  for (const TimedWork& column : columns) {
    const TimedWork* found = nullptr;
    for (const TimedWork& w : works) found = w.key == column.key ? &w : found;
    const bool timed = found != nullptr;
    out.push_back(timed ? format_rate_and_spread(found->tokens_per_second, *found->latency) : "-");
    out.push_back(timed && !is_base ? format_speedup_and_interval(found->against_base(), "x")
                                    : "-");
  }
  return out;
}

}  // namespace

std::string render_speeds(const std::vector<Measurement>& models, int width) {
  if (models.empty()) return "";
  const std::vector<TimedWork> works = timed_works(models.front());
  if (works.empty()) return "";
  TerminalTable table(columns_for(works, models.front().name));
  for (const Measurement& m : models) table.add(latency_cells(m, works, &m == &models.front()));
  const std::string note = fmt::format(
      "Medians of {} or more (and quartiles); ratios within the rounds (and where 95 % are sure).",
      counted(fewest_rounds(models), "round"));
  return table.render(width) + wrap_to_width(note, width) +
         wrap_to_width(busy_words(models), width);
}

}  // namespace nibble
