// The numbers of a result, listed once: documents for machines and tables for people are rendered
// from the same list.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "nibble/core/error.h"
#include "nibble/core/json.h"
#include "nibble/eval/speedup.h"
#include "nibble/report/table.h"

namespace nibble {

/// monostate: there is none, null in a document and "-" in a table.
using FieldValue =
    std::variant<std::monostate, bool, int64_t, double, std::string, Latency, Speedup>;

/// How a table shows one.
using Show = std::string (*)(const FieldValue&);
std::string show_text(const FieldValue& v);
std::string show_yes_no(const FieldValue& v);
std::string show_count(const FieldValue& v);
std::string show_bytes(const FieldValue& v);
std::string show_rate(const FieldValue& v);

template <class T>
struct Field {
  std::string_view key;  ///< in a document, and of the columns that a table chooses
  FieldValue (*value)(const T&);
  std::string_view title = {};  ///< of a column
  Show show = nullptr;          ///< where tables have it
};

/// Under `key`, as write_latency() and write_speedup() where it is one of those.
void write_value(std::string_view key, const FieldValue& value, JsonWriter& out);

/// All of them, into an object that is open.
template <class T>
void write_fields(std::span<const Field<T>> fields, const T& row, JsonWriter& out) {
  for (const Field<T>& f : fields) write_value(f.key, f.value(row), out);
}

/// A column of a table: a field, and how soon it goes (TerminalTable::Column::rank).
struct FieldColumn {
  std::string_view key;
  int rank = 0;
};

template <class T>
const Field<T>& field_of(std::span<const Field<T>> fields, std::string_view key) {
  for (const Field<T>& f : fields) {
    if (f.key == key) return f;
  }
  NIBBLE_CHECK(!"a field that the list has");
  return fields.front();
}

template <class T>
std::string fields_table(std::span<const Field<T>> fields, const std::vector<FieldColumn>& columns,
                         const std::vector<T>& rows, int width) {
  std::vector<TerminalTable::Column> headers;
  headers.reserve(columns.size());
  for (const FieldColumn& c : columns)
    headers.push_back({std::string(field_of(fields, c.key).title), c.rank});
  TerminalTable table(std::move(headers));
  for (const T& row : rows) {
    std::vector<std::string> cells;
    for (const FieldColumn& c : columns) {
      const Field<T>& f = field_of(fields, c.key);
      cells.push_back(f.show(f.value(row)));
    }
    table.add(std::move(cells));
  }
  return table.render(width);
}

}  // namespace nibble
