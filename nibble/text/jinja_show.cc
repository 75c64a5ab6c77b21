// Values as text: Python's str(), repr() and json.dumps().
#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "nibble/text/jinja_operators.h"
#include "nibble/text/jinja_text.h"
#include "nibble/text/utf8.h"

namespace nibble::jinja {
namespace {

// Characters that repr() shows as they are.
bool is_printable(char32_t c) {
  if (c == ' ') return true;
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category != UTF8PROC_CATEGORY_CN && category < UTF8PROC_CATEGORY_ZS;
}

void quote_character(char32_t c, char quote, std::string& out) {
  if (c == '\\' || c == static_cast<unsigned char>(quote)) {
    out += '\\';
    out += static_cast<char>(c);
  } else if (c == '\n' || c == '\r' || c == '\t') {
    out += c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t";
  } else if (is_printable(c)) {
    append_utf8(out, c);
  } else if (c < 0x100) {
    out += fmt::format("\\x{:02x}", static_cast<uint32_t>(c));
  } else {
    out += c < 0x10000 ? fmt::format("\\u{:04x}", static_cast<uint32_t>(c))
                       : fmt::format("\\U{:08x}", static_cast<uint32_t>(c));
  }
}

void json_character(char32_t c, bool ascii, std::string& out) {
  constexpr std::string_view kPlain = "\"\\\b\f\n\r\t", kNames = "\"\\bfnrt";
  const size_t named = c < 0x80 ? kPlain.find(static_cast<char>(c)) : std::string_view::npos;
  if (named != std::string_view::npos) {
    out += '\\';
    out += kNames[named];
  } else if (c >= 0x10000 && ascii) {
    const auto rest = static_cast<uint32_t>(c - 0x10000);
    out += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + (rest >> 10), 0xDC00 + (rest & 0x3FF));
  } else if (c < 0x20 || (c >= 0x7F && ascii && c != 0x7F)) {
    out += fmt::format("\\u{:04x}", static_cast<uint32_t>(c));
  } else {
    append_utf8(out, c);
  }
}

void add_quoted(TextBuilder& out, Meter& meter, const Text& text, char quote,
                const std::function<void(char32_t, std::string&)>& change) {
  const Value inner = changed_text(meter, text, change);
  const Origin origin = origin_of(text);
  out.add(std::string_view(&quote, 1), origin);
  out.add(text_of(inner));
  out.add(std::string_view(&quote, 1), origin);
}

std::string number_text(const Value& v) {
  if (v.is(Kind::real)) return shown_real(v.real);
  if (v.is(Kind::boolean)) return v.integer != 0 ? "True" : "False";
  return fmt::to_string(v.integer);
}

// repr() of a value, appended; containers recursively.
class Representer {
 public:
  Representer(Meter& meter, TextBuilder& out) : meter_(meter), out_(out) {}

  void add(const Value& v) {
    meter_.step();
    switch (v.kind) {
      case Kind::none:
        return out_.add("None");
      case Kind::boolean:
      case Kind::integer:
      case Kind::real:
        return out_.add(number_text(v));
      case Kind::text:
        return text(text_of(v));
      case Kind::list:
        return sequence("[", items_of(v), "]");
      case Kind::tuple:
        return sequence("(", items_of(v), items_of(v).size() == 1 ? ",)" : ")");
      case Kind::dict:
        return dict(dict_of(v));
      default:
        return other(v);
    }
  }

 private:
  void text(const Text& t) {
    const bool has_single = t.bytes.find('\'') != std::string::npos;
    const char quote = has_single && t.bytes.find('"') == std::string::npos ? '"' : '\'';
    if (t.markup) out_.add("Markup(");
    add_quoted(out_, meter_, t, quote,
               [quote](char32_t c, std::string& s) { quote_character(c, quote, s); });
    if (t.markup) out_.add(")");
  }

  void sequence(std::string_view open, const std::vector<Value>& items, std::string_view close) {
    out_.add(open);
    bool first = true;
    for (const Value& v : items) {
      if (!std::exchange(first, false)) out_.add(", ");
      add(v);
    }
    out_.add(close);
  }

  void dict(const Dict& d) {
    out_.add("{");
    bool first = true;
    for (const auto& [key, v] : d.items) {
      if (!std::exchange(first, false)) out_.add(", ");
      add(key);
      out_.add(": ");
      add(v);
    }
    out_.add("}");
  }

  void view(const View& v) {
    bool first = true;
    for (const auto& [key, item] : dict_of(v.dict).items) {
      if (!std::exchange(first, false)) out_.add(", ");
      if (v.of == View::Of::items) out_.add("(");
      if (v.of != View::Of::values) add(key);
      if (v.of == View::Of::items) out_.add(", ");
      if (v.of != View::Of::keys) add(item);
      if (v.of == View::Of::items) out_.add(")");
    }
  }

  void other(const Value& v) {
    if (v.is(Kind::undefined)) return out_.add("Undefined");
    if (v.is(Kind::range)) {
      const auto& r = static_cast<const Range&>(*v.object);
      return out_.add(r.step == 1 ? fmt::format("range({}, {})", r.start, r.stop)
                                  : fmt::format("range({}, {}, {})", r.start, r.stop, r.step));
    }
    if (!v.is(Kind::view)) return out_.add(fmt::format("<{} object>", type_name(v)));
    out_.add(fmt::format("{}([", type_name(v)));
    view(static_cast<const View&>(*v.object));
    out_.add("])");
  }

  Meter& meter_;
  TextBuilder& out_;
};

class JsonBuilder {
 public:
  JsonBuilder(Meter& meter, const JsonStyle& style, TextBuilder& out)
      : meter_(meter), style_(style), out_(out) {}

  void add(const Value& v) {
    meter_.step();
    if (v.is(Kind::none)) return out_.add("null");
    if (v.is(Kind::boolean)) return out_.add(v.integer != 0 ? "true" : "false");
    if (v.is(Kind::integer)) return out_.add(fmt::to_string(v.integer));
    if (v.is(Kind::real)) return out_.add(real(v.real));
    if (v.is(Kind::text)) return text(text_of(v));
    if (v.is(Kind::list) || v.is(Kind::tuple)) return list(items_of(v));
    if (v.is(Kind::dict)) return dict(dict_of(v));
    throw failure(fmt::format("Object of type {} is not JSON serializable", type_name(v)));
  }

 private:
  static std::string real(double v) {
    if (std::isnan(v)) return "NaN";
    if (std::isinf(v)) return v > 0 ? "Infinity" : "-Infinity";
    return shown_real(v);
  }

  void text(const Text& t) {
    add_quoted(out_, meter_, t, '"',
               [ascii = style_.ascii](char32_t c, std::string& s) { json_character(c, ascii, s); });
  }

  void key(const Value& k) {
    if (k.is(Kind::text)) return text(text_of(k));
    if (!k.is_number() && !k.is(Kind::none))
      throw failure(
          fmt::format("keys must be str, int, float, bool or None, not {}", type_name(k)));
    out_.add("\"");
    add(k);
    out_.add("\"");
  }

  void line() {
    if (!style_.indent) return;
    out_.add("\n");
    for (int i = 0; i < level_; ++i) out_.add(*style_.indent);
  }

  // The separator in front of all but the first.
  void begin(bool& first) {
    if (!std::exchange(first, false)) out_.add(style_.item);
    line();
  }

  void list(const std::vector<Value>& items) {
    if (items.empty()) return out_.add("[]");
    out_.add("[");
    ++level_;
    bool first = true;
    for (const Value& v : items) {
      begin(first);
      add(v);
    }
    --level_;
    line();
    out_.add("]");
  }

  void dict(const Dict& d) {
    if (d.items.empty()) return out_.add("{}");
    auto items = d.items;
    if (style_.sorted)
      sort_values(
          meter_, items, [](const auto& entry) { return entry.first; }, false);
    out_.add("{");
    ++level_;
    bool first = true;
    for (const auto& [k, v] : items) {
      begin(first);
      key(k);
      out_.add(style_.key);
      add(v);
    }
    --level_;
    line();
    out_.add("}");
  }

  Meter& meter_;
  const JsonStyle& style_;
  TextBuilder& out_;
  int level_ = 0;
};

}  // namespace

std::string shown_real(double v) {
  if (std::isnan(v)) return "nan";
  if (std::isinf(v)) return v > 0 ? "inf" : "-inf";
  char buffer[40];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, v, std::chars_format::scientific);
  std::string digits(buffer, end.ptr);
  const size_t e = digits.find('e');
  const int exponent = std::stoi(digits.substr(e + 1));
  if (exponent < -4 || exponent >= 16)
    return digits.substr(0, e) +
           fmt::format("e{}{:02}", exponent < 0 ? '-' : '+', std::abs(exponent));
  const auto fixed = std::to_chars(buffer, buffer + sizeof buffer, v, std::chars_format::fixed);
  std::string out(buffer, fixed.ptr);
  return out.find('.') == std::string::npos ? out + ".0" : out;
}

Value shown(Meter& meter, const Value& v) {
  if (v.is(Kind::text)) return v;
  TextBuilder out(meter);
  if (!v.is(Kind::undefined)) Representer(meter, out).add(v);
  return out.finish();
}

Value represented(Meter& meter, const Value& v) {
  TextBuilder out(meter);
  Representer(meter, out).add(v);
  return out.finish();
}

Value json_text(Meter& meter, const Value& v, const JsonStyle& style) {
  TextBuilder out(meter);
  JsonBuilder(meter, style, out).add(v);
  return out.finish();
}

}  // namespace nibble::jinja
