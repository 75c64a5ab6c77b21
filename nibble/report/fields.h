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
#include "nibble/report/numbers.h"
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
std::string show_latency(
    const FieldValue& v);  ///< median and quartiles, "-" where nothing was timed
std::string show_speedup(const FieldValue& v);
std::string show_times(const FieldValue& v);  ///< "3.98x"
/// A number by a function of numbers.h: show_digits<format_fixed, 4>.
template <auto Format, int Digits>
std::string show_digits(const FieldValue& v) {
  const auto* number = std::get_if<double>(&v);
  return number == nullptr ? "-" : Format(*number, Digits);
}

template <class T>
struct Field {
  std::string_view key;  ///< in a document, and of the columns that a table chooses
  FieldValue (*value)(const T&);
  std::string_view title = {};        ///< of a column
  Show show = nullptr;                ///< where tables have it
  bool (*shown)(const T&) = nullptr;  ///< where it says no, a table has "-"
  bool documented = true;             ///< else tables alone have it
};

/// Under `key`, as write_latency() and write_speedup() where it is one of those.
void write_value(std::string_view key, const FieldValue& value, JsonWriter& out);

/// All of them, into an object that is open.
template <class T>
void write_fields(std::span<const Field<T>> fields, const T& row, JsonWriter& out) {
  for (const Field<T>& f : fields) {
    if (f.documented) write_value(f.key, f.value(row), out);
  }
}

/// A model beside the first of its list, its baseline.
template <class M>
struct Beside {
  const M& m;
  const M& base;
  bool is_base() const { return &m == &base; }
};
template <class M>
std::vector<Beside<M>> beside_the_first(const std::vector<M>& models) {
  std::vector<Beside<M>> out;
  out.reserve(models.size());
  for (const M& m : models) out.push_back({m, models.front()});
  return out;
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

/// Those of `keys`, in that order.
template <class T>
void write_fields(std::span<const Field<T>> fields, const std::vector<std::string_view>& keys,
                  const T& row, JsonWriter& out) {
  for (const std::string_view key : keys) write_value(key, field_of(fields, key).value(row), out);
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
      const bool shown = f.shown == nullptr || f.shown(row);
      cells.push_back(shown ? f.show(f.value(row)) : "-");
    }
    table.add(std::move(cells));
  }
  return table.render(width);
}

}  // namespace nibble
