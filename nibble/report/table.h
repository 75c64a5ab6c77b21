// A table for a terminal: aligned, no wider than asked, safe to print.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace nibble {

/// The first column is the row's name: aligned left, never dropped. The others are numbers, aligned
/// right. Where the table would be wider than asked, columns go in order of `rank`, the highest
/// first; a table of the name and the columns of rank 0 alone is cut in its name.
class TerminalTable {
 public:
  struct Column {
    std::string header;
    int rank = 0;
  };
  explicit TerminalTable(std::vector<Column> columns);
  /// As many cells as columns (checked). Text from outside may stand in them.
  void add(std::vector<std::string> cells);
  /// A header, a rule, a line a row; each line ends in a newline and is at most `width` columns.
  std::string render(int64_t width) const;

 private:
  std::vector<size_t> columns_that_fit(int64_t width) const;
  int64_t total(const std::vector<size_t>& shown) const;
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
  std::vector<int64_t> widths_;
};

}  // namespace nibble
