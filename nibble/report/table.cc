#include "nibble/report/table.h"

#include <algorithm>

#include "nibble/core/error.h"
#include "nibble/report/text.h"

namespace nibble {
namespace {

constexpr int64_t kGap = 2;

std::string spaces(int64_t count) {
  return std::string(static_cast<size_t>(std::max<int64_t>(count, 0)), ' ');
}

}  // namespace

TerminalTable::TerminalTable(std::vector<Column> columns) : columns_(std::move(columns)) {
  NIBBLE_CHECK(!columns_.empty());
  for (Column& column : columns_) {
    column.header = display_text(column.header);
    widths_.push_back(display_width(column.header));
  }
}

void TerminalTable::add(std::vector<std::string> cells) {
  NIBBLE_CHECK(cells.size() == columns_.size());
  for (size_t c = 0; c < cells.size(); ++c) {
    cells[c] = display_text(cells[c]);
    widths_[c] = std::max(widths_[c], display_width(cells[c]));
  }
  rows_.push_back(std::move(cells));
}

int64_t TerminalTable::total(const std::vector<size_t>& shown) const {
  int64_t sum = -kGap;
  for (const size_t c : shown) sum += widths_[c] + kGap;
  return sum;
}

std::vector<size_t> TerminalTable::columns_that_fit(int64_t width) const {
  std::vector<size_t> shown;
  for (size_t c = 0; c < columns_.size(); ++c) shown.push_back(c);
  while (total(shown) > width) {
    const auto least = std::max_element(shown.begin() + 1, shown.end(), [&](size_t a, size_t b) {
      return columns_[a].rank < columns_[b].rank;
    });
    if (least == shown.end() || columns_[*least].rank == 0) break;
    shown.erase(least);
  }
  return shown;
}

std::string TerminalTable::render(int64_t width) const {
  const std::vector<size_t> shown = columns_that_fit(width);
  const int64_t others = total(shown) - widths_[0];
  const int64_t name = std::max<int64_t>(std::min(widths_[0], width - others), 4);
  std::string out;
  const auto add_line = [&](const auto& cell_of) {
    std::string line;
    for (const size_t c : shown) {
      const std::string cell = c == 0 ? cut_to_width(cell_of(c), name) : std::string(cell_of(c));
      const std::string padding = spaces((c == 0 ? name : widths_[c]) - display_width(cell));
      line += c == 0 ? cell + padding : spaces(kGap) + padding + cell;
    }
    line = cut_to_width(line, width);
    out += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  };
  add_line([&](size_t c) { return std::string_view(columns_[c].header); });
  out +=
      std::string(static_cast<size_t>(std::max<int64_t>(std::min(name + others, width), 0)), '-') +
      "\n";
  for (const auto& row : rows_) add_line([&](size_t c) { return std::string_view(row[c]); });
  return out;
}

}  // namespace nibble
