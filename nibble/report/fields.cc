#include "nibble/report/fields.h"

#include "nibble/report/json_report.h"
#include "nibble/report/speed_text.h"

namespace nibble {
namespace {

struct ValueWriter {
  std::string_view key;
  JsonWriter& out;
  void operator()(std::monostate) { out.key(key).null(); }
  void operator()(const Latency& l) { write_latency(out, key, l); }
  void operator()(const Speedup& s) { write_speedup(out, key, s); }
  template <class V>
  void operator()(const V& v) {
    out.field(key, v);
  }
};

// f of the value where it is a T; "-" where there is none.
template <class T, class F>
std::string shown(const FieldValue& v, const F& f) {
  return std::holds_alternative<std::monostate>(v) ? "-" : f(std::get<T>(v));
}

}  // namespace

void write_value(std::string_view key, const FieldValue& value, JsonWriter& out) {
  std::visit(ValueWriter{key, out}, value);
}

std::string show_text(const FieldValue& v) {
  return shown<std::string>(v, [](const std::string& s) { return s; });
}
std::string show_yes_no(const FieldValue& v) {
  return shown<bool>(v, [](bool b) { return b ? "yes" : "no"; });
}
std::string show_count(const FieldValue& v) { return shown<int64_t>(v, format_count); }
std::string show_bytes(const FieldValue& v) { return shown<int64_t>(v, format_bytes); }
std::string show_rate(const FieldValue& v) { return shown<double>(v, format_rate); }

std::string show_latency(const FieldValue& v) {
  const auto& l = std::get<Latency>(v);
  return l.runs() > 0 ? format_seconds_and_spread(l) : "-";
}
std::string show_speedup(const FieldValue& v) {
  return format_speedup_and_interval(std::get<Speedup>(v), "x");
}
std::string show_times(const FieldValue& v) {
  return shown<double>(v, [](double times) { return format_fixed(times, 2) + "x"; });
}

}  // namespace nibble
