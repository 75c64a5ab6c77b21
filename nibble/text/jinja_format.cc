#include "nibble/text/jinja_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "nibble/text/utf8.h"

namespace nibble::jinja {
namespace {

constexpr int64_t kWidest = 1 << 20;

// How a value is to be written: [fill align] sign # 0 width , .precision type.
struct FieldStyle {
  std::string fill = " ";
  char align = 0, sign = '-', grouping = 0, type = 0;
  bool alternate = false;
  int64_t width = 0, precision = -1;
};

int64_t take_number(std::string_view& text) {
  int64_t out = 0;
  while (!text.empty() && text[0] >= '0' && text[0] <= '9') {
    out = std::min(out * 10 + (text[0] - '0'), kWidest + 1);
    text.remove_prefix(1);
  }
  if (out > kWidest) throw failure("a format with too wide a field");
  return out;
}

bool take_one(std::string_view& text, std::string_view of, char& into) {
  if (text.empty() || of.find(text[0]) == std::string_view::npos) return false;
  into = text[0];
  text.remove_prefix(1);
  return true;
}

std::string grouped(const std::string& digits, char separator) {
  const size_t whole = std::min(digits.find_first_not_of("0123456789"), digits.size());
  std::string out;
  for (size_t i = 0; i < whole; ++i) {
    if (i > 0 && (whole - i) % 3 == 0) out += separator;
    out += digits[i];
  }
  return out + digits.substr(whole);
}

// A number without its sign.
std::string magnitude(const Value& v, const FieldStyle& s) {
  const auto n = static_cast<uint64_t>(v.integer < 0 ? -static_cast<uint64_t>(v.integer)
                                                     : static_cast<uint64_t>(v.integer));
  const std::string mark = s.alternate ? "#" : "";
  if (v.is_integer() && (s.type == 0 || s.type == 'd' || s.type == 'n')) return fmt::to_string(n);
  if (v.is_integer() && std::string_view("xXobc").find(s.type) != std::string_view::npos)
    return fmt::format(fmt::runtime("{:" + mark + s.type + "}"), n);
  const double real = std::abs(v.is(Kind::real) ? v.real : static_cast<double>(v.integer));
  if (s.type == 0 && s.precision < 0) return shown_real(real);
  const int64_t precision = std::min<int64_t>(s.precision < 0 ? 6 : s.precision, 1000);
  if (s.type == '%') return fmt::format("{:.{}f}%", real * 100, precision);
  const char type = s.type == 0 ? 'g' : s.type;
  if (std::string_view("fFeEgG").find(type) == std::string_view::npos)
    throw failure(fmt::format("unknown format code '{}' for '{}'", type, type_name(v)));
  return fmt::format(fmt::runtime(fmt::format("{{:.{}{}}}", precision, type)), real);
}

bool is_negative(const Value& v) {
  return v.is(Kind::real) ? std::signbit(v.real) && !std::isnan(v.real) : v.integer < 0;
}

void pad(TextBuilder& out, Meter& meter, const std::string& fill, int64_t n) {
  for (int64_t i = 0; i < n; ++i, meter.step()) out.add(fill);
}

void write_number(TextBuilder& out, Meter& meter, const Value& v, const FieldStyle& s) {
  std::string digits = magnitude(v, s);
  if (s.grouping != 0) digits = grouped(digits, s.grouping);
  const std::string sign = is_negative(v) ? "-" : s.sign == '-' ? "" : std::string(1, s.sign);
  const int64_t missing = s.width - static_cast<int64_t>(sign.size() + digits.size());
  const char align = s.align == 0 ? '>' : s.align;
  const int64_t before = align == '<' ? 0 : align == '^' ? missing / 2 : missing;
  if (align != '=') pad(out, meter, s.fill, before);
  out.add(sign);
  if (align == '=') pad(out, meter, s.fill, before);
  out.add(digits);
  if (align != '=') pad(out, meter, s.fill, missing - std::max<int64_t>(before, 0));
}

void write_text(TextBuilder& out, Meter& meter, const Value& v, const FieldStyle& s) {
  const Value text = shown(meter, v);
  const Text& t = text_of(text);
  const int64_t length = s.precision < 0 ? t.length : std::min(t.length, s.precision);
  const int64_t missing = std::max<int64_t>(s.width - length, 0);
  const int64_t before = s.align == '>' ? missing : s.align == '^' ? missing / 2 : 0;
  pad(out, meter, s.fill, before);
  out.add(t, 0, offset_of(meter, t, length));
  pad(out, meter, s.fill, missing - before);
}

// "%s" % values.
class PercentFormat {
 public:
  PercentFormat(Meter& meter, const Text& format, const Value& values)
      : meter_(meter), format_(format), values_(values), out_(meter) {}

  Value run() {
    const std::string_view all = format_.bytes;
    for (size_t at = 0; at < all.size();) {
      const size_t next = std::min(all.find('%', at), all.size());
      out_.add(format_, at, next);
      if (next == all.size()) break;
      std::string_view rest = all.substr(next + 1);
      field(rest);
      at = all.size() - rest.size();
    }
    if (values_.is(Kind::tuple) && used_ < items_of(values_).size())
      throw failure("not all arguments converted during string formatting");
    if (!values_.is(Kind::tuple) && !values_.is(Kind::dict) && used_ == 0)
      throw failure("not all arguments converted during string formatting");
    return out_.finish(format_.markup);
  }

 private:
  void field(std::string_view& rest) {
    const Value* named = take_name(rest);
    FieldStyle s;
    char flag = 0;
    while (take_one(rest, "-+ 0#", flag)) {
      if (flag == '-') s.align = '<';
      if (flag == '+' || flag == ' ') s.sign = flag;
      if (flag == '0' && s.align == 0) s.align = '=', s.fill = "0";
      if (flag == '#') s.alternate = true;
    }
    if (s.align == '<') s.fill = " ";
    s.width = take_number(rest);
    char point = 0;
    if (take_one(rest, ".", point)) s.precision = take_number(rest);
    if (rest.empty()) throw failure("incomplete format");
    s.type = rest[0];
    rest.remove_prefix(1);
    if (s.type == '%') return out_.add("%");
    write(named != nullptr ? *named : next(), s);
  }

  const Value* take_name(std::string_view& rest) {
    if (rest.empty() || rest[0] != '(') return nullptr;
    const size_t end = rest.find(')');
    if (end == std::string_view::npos) throw failure("incomplete format key");
    if (!values_.is(Kind::dict)) throw failure("format requires a mapping");
    const std::string_view name = rest.substr(1, end - 1);
    const Value* found = find_key(dict_of(values_), name);
    if (found == nullptr) throw failure(fmt::format("no key {}", in_quotes(name, 40)));
    rest.remove_prefix(end + 1);
    return found;
  }

  Value next() {
    const bool tuple = values_.is(Kind::tuple);
    const size_t count = tuple ? items_of(values_).size() : 1;
    if (used_ >= count) throw failure("not enough arguments for format string");
    return tuple ? items_of(values_)[used_++] : (++used_, values_);
  }

  void write(const Value& v, FieldStyle s) {
    if (s.type == 's' || s.type == 'r' || s.type == 'a') {
      s.align = s.align == '<' ? '<' : '>';
      s.fill = " ";
      const Value text = s.type == 's' ? v : represented(meter_, v);
      return write_text(out_, meter_, format_.markup ? escaped(meter_, text) : text, s);
    }
    if (s.type == 'c' && v.is(Kind::text)) return write_text(out_, meter_, v, s);
    require_defined(v);
    if (!v.is_number())
      throw failure(
          fmt::format("%{} format: a real number is required, not {}", s.type, type_name(v)));
    if (s.type == 'i' || s.type == 'u') s.type = 'd';
    if (s.type == 'd' && v.is(Kind::real)) {
      if (!(std::abs(v.real) < 9e18)) throw failure("%d format: too large a number");
      return write_number(out_, meter_, of_integer(static_cast<int64_t>(v.real)), s);
    }
    write_number(out_, meter_, v, s);
  }

  Meter& meter_;
  const Text& format_;
  const Value& values_;
  TextBuilder out_;
  size_t used_ = 0;
};

// "{}".format(...). What stands in braces within a format is not looked at again.
class BraceFormat {
 public:
  BraceFormat(Run& run, const Text& format, const Arguments& given)
      : run_(run), format_(format), given_(given), out_(run.meter()) {}

  Value run() {
    const std::string_view all = format_.bytes;
    for (size_t at = 0; at < all.size();) {
      const size_t next = std::min(all.find_first_of("{}", at), all.size());
      out_.add(format_, at, next);
      if (next == all.size()) break;
      const bool twice = next + 1 < all.size() && all[next + 1] == all[next];
      if (twice) {
        out_.add(format_, next, next + 1);
        at = next + 2;
        continue;
      }
      const size_t end = all[next] == '{' ? all.find('}', next) : std::string_view::npos;
      if (end == std::string_view::npos)
        throw failure(fmt::format("single '{}' encountered in format string", all[next]));
      field(all.substr(next + 1, end - next - 1));
      at = end + 1;
    }
    return out_.finish(format_.markup);
  }

 private:
  void field(std::string_view text) {
    const size_t colon = std::min(text.find(':'), text.size());
    std::string_view name = text.substr(0, colon);
    char how = 0;
    if (name.size() >= 2 && name[name.size() - 2] == '!') {
      how = name.back();
      name.remove_suffix(2);
    }
    Value v = value(name);
    if (how == 'r' || how == 'a') v = represented(run_.meter(), v);
    if (how == 's') v = shown(run_.meter(), v);
    const std::string_view spec = colon < text.size() ? text.substr(colon + 1) : "";
    const FieldStyle s = style(spec, v.is_number());
    if (format_.markup && !v.is_number()) v = escaped(run_.meter(), v);
    if (v.is_number() && !spec.empty()) return write_number(out_, run_.meter(), plain(v, s), s);
    if (!v.is(Kind::text) && !spec.empty())
      throw failure(fmt::format("unsupported format string passed to {}.__format__", type_name(v)));
    write_text(out_, run_.meter(), v, s);
  }

  static Value plain(const Value& v, const FieldStyle&) {
    return v.is(Kind::boolean) ? of_integer(v.integer) : v;
  }

  static FieldStyle style(std::string_view spec, bool number) {
    FieldStyle s;
    const size_t first = spec.empty() ? 0 : std::max<size_t>(utf8_length(spec, 0), 1);
    if (spec.size() > first && std::string_view("<>^=").find(spec[first]) != std::string::npos) {
      s.fill = spec.substr(0, first);
      spec.remove_prefix(first);
    }
    take_one(spec, "<>^=", s.align);
    take_one(spec, "+- ", s.sign);
    char mark = 0;
    s.alternate = take_one(spec, "#", mark);
    if (take_one(spec, "0", mark) && s.align == 0) s.align = number ? '=' : '<', s.fill = "0";
    s.width = take_number(spec);
    take_one(spec, ",_", s.grouping);
    if (take_one(spec, ".", mark)) s.precision = take_number(spec);
    take_one(spec, "bcdeEfFgGnosxX%", s.type);
    if (!spec.empty()) throw failure("invalid format specifier");
    return s;
  }

  Value value(std::string_view name) {
    const size_t end = std::min(name.find_first_of(".["), name.size());
    Value v = first(name.substr(0, end));
    for (std::string_view rest = name.substr(end); !rest.empty();) {
      if (rest[0] == '[') {
        const size_t close = rest.find(']');
        if (close == std::string_view::npos) throw failure("missing ']' in format string");
        v = run_.item(v, key(rest.substr(1, close - 1)));
        rest.remove_prefix(close + 1);
      } else {
        const size_t stop = std::min(rest.find_first_of(".[", 1), rest.size());
        v = run_.attribute(v, rest.substr(1, stop - 1));
        rest.remove_prefix(stop);
      }
    }
    return v;
  }

  static std::optional<int64_t> index(std::string_view text) {
    if (text.empty() || text.size() > 6 ||
        text.find_first_not_of("0123456789") != std::string_view::npos)
      return std::nullopt;
    return std::stoll(std::string(text));
  }

  Value key(std::string_view text) {
    if (const auto i = index(text)) return of_integer(*i);
    return of_text(run_.meter(), text);
  }

  Value first(std::string_view name) {
    const auto at = name.empty() ? std::optional(next_++) : index(name);
    if (at) {
      if (*at >= std::ssize(given_.list)) throw failure(fmt::format("format: no argument {}", *at));
      return given_.list[static_cast<size_t>(*at)];
    }
    const Value* found = given_.find(name);
    if (found == nullptr) throw failure(fmt::format("format: no argument {}", in_quotes(name, 40)));
    return *found;
  }

  Run& run_;
  const Text& format_;
  const Arguments& given_;
  TextBuilder out_;
  int64_t next_ = 0;
};

}  // namespace

Value percent_formatted(Meter& meter, const Value& format, const Value& values) {
  return PercentFormat(meter, text_of(format), values).run();
}

Value brace_formatted(Run& run, const Text& format, const Arguments& given) {
  return BraceFormat(run, format, given).run();
}

}  // namespace nibble::jinja
