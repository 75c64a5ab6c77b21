// x|NAME for single values: texts and numbers.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "nibble/text/jinja_format.h"
#include "nibble/text/jinja_operators.h"
#include "nibble/text/jinja_run.h"
#include "nibble/text/jinja_tables.h"
#include "nibble/text/jinja_text_parts.h"

namespace nibble::jinja {
namespace {

Value with_markup(Run& run, const Value& v, bool markup) {
  TextBuilder out(run.meter());
  out.add(text_of(as_text(run, v)));
  return out.finish(markup);
}

// int() and float() of a text: white space around it, _ between digits.
std::string plain_number(std::string_view text) {
  std::string out(text.substr(white_prefix(text)));
  out.resize(white_suffix(out));
  std::erase(out, '_');
  if (out.starts_with('+') && !out.starts_with("+-")) out.erase(0, 1);
  return out;
}

std::optional<int64_t> whole_of(std::string_view text, int base) {
  std::string digits = plain_number(text);
  const bool minus = digits.starts_with('-');
  const std::string_view prefix = base == 16 ? "0x" : base == 8 ? "0o" : base == 2 ? "0b" : "";
  if (!prefix.empty() && std::string_view(digits).substr(minus ? 1 : 0).starts_with(prefix))
    digits.erase(minus ? 1 : 0, 2);
  int64_t out = 0;
  const char* end = digits.data() + digits.size();
  const auto read = std::from_chars(digits.data(), end, out, base);
  if (read.ec == std::errc::result_out_of_range) throw failure("a whole number beyond 64 bits");
  if (read.ec != std::errc() || read.ptr != end) return std::nullopt;
  return out;
}

std::optional<double> real_of(std::string_view text) {
  const std::string digits = plain_number(text);
  double out = 0;
  const char* end = digits.data() + digits.size();
  const auto read = std::from_chars(digits.data(), end, out);
  if (read.ec == std::errc::result_out_of_range)
    return digits.find("e-") != std::string::npos ? 0.0 : std::numeric_limits<double>::infinity();
  if (read.ec != std::errc() || read.ptr != end) return std::nullopt;
  return out;
}

std::optional<Value> whole_part(double v) {
  if (!std::isfinite(v)) return std::nullopt;
  if (std::abs(v) >= 9.2e18) throw failure("a whole number beyond 64 bits");
  return of_integer(static_cast<int64_t>(v));
}

// round(): half to even of the number as it is written, as Python does.
double rounded(double v, int64_t digits) {
  if (!std::isfinite(v)) return v;
  if (digits >= 0) {
    const std::string text = fmt::format("{:.{}f}", v, std::min<int64_t>(digits, 320));
    double out = 0;
    std::from_chars(text.data(), text.data() + text.size(), out);
    return out;
  }
  const double unit = std::pow(10.0, static_cast<double>(-digits));
  return std::nearbyint(v / unit) * unit;
}

}  // namespace

Value filter_abs(Run&, const Value& self, const Arguments&) {
  require_defined(self);
  if (!self.is_number())
    throw failure(fmt::format("bad operand type for abs(): '{}'", type_name(self)));
  if (self.is(Kind::real)) return of_real(std::abs(self.real));
  return self.integer < 0 ? negated(self) : of_integer(self.integer);
}

Value filter_attr(Run& run, const Value& self, const Arguments& given) {
  const Bound bound("attr", given, {"name"}, 1);
  const Value name = as_text(run, *bound[0]);
  if (self.is(Kind::dict)) {
    const bool method = find_method(Kind::dict, bytes_of_text(name)) != nullptr;
    return method ? run.attribute(self, bytes_of_text(name))
                  : run.no_attribute(self, bytes_of_text(name));
  }
  return run.attribute(self, bytes_of_text(name));
}

Value filter_capitalize(Run& run, const Value& self, const Arguments&) {
  return text_capitalize(run, as_text(run, self), {});
}

Value filter_center(Run& run, const Value& self, const Arguments& given) {
  const Bound bound("center", given, {"width"});
  return text_center(run, as_text(run, self), {{of_integer(bound.integer_or(0, 80))}, {}});
}

Value filter_default(Run& run, const Value& self, const Arguments& given) {
  const Bound bound("default", given, {"default_value", "boolean"});
  const bool missing = self.is(Kind::undefined) || (bound.truth_or(1, false) && !truth(self));
  if (!missing) return self;
  return bound[0] == nullptr ? of_text(run.meter(), "") : *bound[0];
}

Value filter_escape(Run& run, const Value& self, const Arguments&) {
  return escaped(run.meter(), self);
}

Value filter_forceescape(Run& run, const Value& self, const Arguments&) {
  return escaped(run.meter(), with_markup(run, self, false));
}

Value filter_float(Run&, const Value& self, const Arguments& given) {
  const Bound bound("float", given, {"default"});
  require_defined(self);
  if (self.is(Kind::real)) return self;
  if (self.is_integer()) return of_real(static_cast<double>(self.integer));
  const auto found = self.is(Kind::text) ? real_of(bytes_of_text(self)) : std::nullopt;
  return found ? of_real(*found) : bound.value_or(0, of_real(0));
}

Value filter_format(Run& run, const Value& self, const Arguments& given) {
  if (!given.list.empty() && !given.named.empty())
    throw failure("format: arguments by place or by name, not both");
  if (given.named.empty()) {
    Items all(run.meter());
    for (const Value& v : given.list) all.add(v);
    return percent_formatted(run.meter(), as_text(run, self), all.tuple());
  }
  Entries named(run.meter());
  for (const auto& [name, v] : given.named) named.set(of_text(run.meter(), name), v);
  return percent_formatted(run.meter(), as_text(run, self), named.dict());
}

Value filter_indent(Run& run, const Value& self, const Arguments& given) {
  const Bound bound("indent", given, {"width", "first", "blank"});
  Meter& meter = run.meter();
  const bool named = bound[0] != nullptr && bound[0]->is(Kind::text);
  const int64_t width = named ? 0 : bound.integer_or(0, 4);
  const Value indent =
      named ? *bound[0] : calculate(meter, "*", of_text(meter, " "), of_integer(width));
  require_defined(self);
  if (!self.is(Kind::text))
    throw failure(fmt::format("indent() takes a str, not {}", type_name(self)));
  const Text& text = text_of(self);
  TextBuilder out(meter);
  bool first = true;
  // As Python's splitlines() of the text with a line end behind it.
  for (const auto& [begin, end] : lines_with_last(meter, text)) {
    if (!first) out.add("\n");
    const bool blank = begin == end && !bound.truth_or(2, false);
    if (first ? bound.truth_or(1, false) : !blank) out.add(text_of(indent));
    out.add(text, begin, end);
    first = false;
  }
  return out.finish(text.markup);
}

Value filter_int(Run&, const Value& self, const Arguments& given) {
  const Bound bound("int", given, {"default", "base"});
  require_defined(self);
  Value otherwise = bound.value_or(0, of_integer(0));
  if (self.is_integer()) return of_integer(self.integer);
  if (self.is(Kind::real)) return whole_part(self.real).value_or(otherwise);
  if (!self.is(Kind::text)) return otherwise;
  const int64_t base = bound.integer_or(1, 10);
  if (base < 2 || base > 36) throw failure("int(): the base must be 2 to 36");
  if (const auto whole = whole_of(bytes_of_text(self), static_cast<int>(base)))
    return of_integer(*whole);
  const auto real = real_of(bytes_of_text(self));
  return real ? whole_part(*real).value_or(otherwise) : otherwise;
}

Value filter_length(Run&, const Value& self, const Arguments&) {
  return of_integer(length_of(self));
}

Value filter_lower(Run& run, const Value& self, const Arguments&) {
  return lowered(run.meter(), text_of(as_text(run, self)));
}

Value filter_upper(Run& run, const Value& self, const Arguments&) {
  return raised(run.meter(), text_of(as_text(run, self)));
}

Value filter_replace(Run& run, const Value& self, const Arguments& given) {
  const Bound bound("replace", given, {"old", "new", "count"}, 2);
  const Value text = with_markup(run, self, false);
  const Value old = with_markup(run, *bound[0], false), fresh = with_markup(run, *bound[1], false);
  return replaced(run.meter(), text_of(text), bytes_of_text(old), text_of(fresh),
                  bound.integer_or(2, -1));
}

Value filter_round(Run&, const Value& self, const Arguments& given) {
  const Bound bound("round", given, {"precision", "method"});
  require_defined(self);
  if (!self.is_number())
    throw failure(fmt::format("type {} doesn't define __round__ method", type_name(self)));
  const int64_t digits = bound.integer_or(0, 0);
  const auto method = bound.text(1);
  const std::string_view how = method ? bytes_of_text(*method) : "common";
  if (how != "common" && how != "ceil" && how != "floor")
    throw failure("round: the method must be common, ceil or floor");
  const double v = self.is(Kind::real) ? self.real : static_cast<double>(self.integer);
  if (how == "common") {
    if (self.is_integer() && digits >= 0) return of_integer(self.integer);
    const double out = rounded(v, digits);
    return self.is_integer() ? of_integer(static_cast<int64_t>(out)) : of_real(out);
  }
  const double unit = std::pow(10.0, static_cast<double>(digits));
  return of_real((how == "ceil" ? std::ceil(v * unit) : std::floor(v * unit)) / unit);
}

Value filter_safe(Run& run, const Value& self, const Arguments&) {
  return with_markup(run, self, true);
}

Value filter_string(Run& run, const Value& self, const Arguments&) { return as_text(run, self); }

Value filter_title(Run& run, const Value& self, const Arguments&) {
  return titled(run.meter(), text_of(as_text(run, self)), " \t\n\r\f\v-({[<");
}

Value filter_trim(Run& run, const Value& self, const Arguments& given) {
  const Bound bound("trim", given, {"chars"});
  Arguments chars;
  if (bound[0] != nullptr) chars.list.push_back(*bound[0]);
  return text_strip(run, as_text(run, self), chars);
}

Value filter_truncate(Run& run, const Value& self, const Arguments& given) {
  const Bound bound("truncate", given, {"length", "killwords", "end", "leeway"});
  Meter& meter = run.meter();
  const Value end = bound.text(2).value_or(of_text(meter, "..."));
  const int64_t length = bound.integer_or(0, 255), leeway = bound.integer_or(3, 5);
  const int64_t kept = length - text_of(end).length;
  if (kept < 0 || leeway < 0) throw failure("truncate: a length shorter than its end");
  if (length_of(self) <= length + leeway) return self;
  if (!self.is(Kind::text)) throw failure(fmt::format("truncate() of a {}", type_name(self)));
  const Text& text = text_of(self);
  size_t cut = offset_of(meter, text, kept);
  if (!bound.truth_or(1, false)) cut = std::min(cut, text.bytes.substr(0, cut).rfind(' '));
  TextBuilder out(meter);
  out.add(text, 0, cut);
  out.add(text_of(end));
  return out.finish(text.markup);
}

Value filter_urlencode(Run& run, const Value& self, const Arguments&) {
  if (self.is(Kind::dict)) throw failure("urlencode is supported for texts alone");
  const Value text = as_text(run, self);
  TextBuilder out(run.meter());
  constexpr std::string_view kKept = "_.-~/";
  for (const char c : text_of(text).bytes) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       kKept.find(c) != std::string_view::npos;
    const Origin origin = origin_of(text_of(text));
    out.add(plain ? std::string(1, c)
                  : fmt::format("%{:02X}", static_cast<unsigned>(static_cast<unsigned char>(c))),
            origin);
  }
  return out.finish();
}

Value filter_wordcount(Run& run, const Value& self, const Arguments&) {
  return of_integer(words_in(run.meter(), text_of(as_text(run, self))));
}

Value filter_tojson(Run& run, const Value& self, const Arguments& given) {
  const Bound bound("tojson", given, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style{bound.truth_or(0, false), bound.truth_or(3, false), {}};
  if (bound[1] != nullptr && !bound[1]->is(Kind::none)) {
    const int64_t width = bound[1]->is(Kind::text) ? 0 : bound.integer_or(1, 0);
    if (width > 1000) throw failure("tojson: an indent of more than 1000");
    style.indent = bound[1]->is(Kind::text) ? text_of(*bound[1]).bytes
                                            : std::string(std::max<int64_t>(width, 0), ' ');
    style.item = ",";
  }
  if (bound[2] != nullptr && !bound[2]->is(Kind::none)) {
    const std::vector<Value> two = walk(run, *bound[2]);
    if (two.size() != 2 || !two[0].is(Kind::text) || !two[1].is(Kind::text))
      throw failure("tojson: separators are two texts");
    style.item = text_of(two[0]).bytes;
    style.key = text_of(two[1]).bytes;
  }
  return json_text(run.meter(), self, style);
}

}  // namespace nibble::jinja
