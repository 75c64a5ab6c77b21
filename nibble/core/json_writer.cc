#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "nibble/core/error.h"
#include "nibble/core/json.h"
#include "nibble/core/utf8.h"

namespace nibble {
namespace {

std::string_view escape_of(char c) {
  switch (c) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      return {};
  }
}

}  // namespace

std::string json_quoted(std::string_view text) {
  std::string out = "\"";
  for (size_t i = 0; i < text.size();) {
    const size_t length = utf8_length(text, i);
    if (length == 0) {
      out += "\xEF\xBF\xBD";
    } else if (const std::string_view escape = escape_of(text[i]); !escape.empty()) {
      out += escape;
    } else if (const uint32_t code = code_point(text.substr(i, length));
               code < 0x20 || (code >= 0x7F && code < 0xA0)) {
      out += fmt::format("\\u{:04x}", code);  // what steers a terminal, too
    } else {
      out += text.substr(i, length);
    }
    i += length == 0 ? 1 : length;
  }
  return out + '"';
}

JsonWriter::JsonWriter() = default;

void JsonWriter::newline() {
  out_ += '\n';
  out_.append(levels_.size() * 2, ' ');
}

// What stands between the value before and the one that comes.
void JsonWriter::separate(bool container) {
  if (std::exchange(after_key_, false)) return;
  if (levels_.empty()) {
    NIBBLE_CHECK(out_.empty());  // one document, one value
    return;
  }
  Level& level = levels_.back();
  NIBBLE_CHECK(level.array);  // in an object a key comes first
  if (!level.empty) out_ += ',';
  if (container) {
    level.broken = true;
    newline();
  } else if (!level.empty) {
    out_ += ' ';
  }
  level.empty = false;
}

JsonWriter& JsonWriter::open(char bracket) {
  separate(true);
  out_ += bracket;
  levels_.push_back({.array = bracket == '['});
  return *this;
}

JsonWriter& JsonWriter::close(char bracket) {
  NIBBLE_CHECK(!levels_.empty() && !after_key_ && levels_.back().array == (bracket == ']'));
  const bool broken = levels_.back().broken;
  levels_.pop_back();
  if (broken) newline();
  out_ += bracket;
  return *this;
}

JsonWriter& JsonWriter::scalar(std::string_view text) {
  separate(false);
  out_ += text;
  return *this;
}

JsonWriter& JsonWriter::begin_object() { return open('{'); }
JsonWriter& JsonWriter::end_object() { return close('}'); }
JsonWriter& JsonWriter::begin_array() { return open('['); }
JsonWriter& JsonWriter::end_array() { return close(']'); }

JsonWriter& JsonWriter::key(std::string_view name) {
  NIBBLE_CHECK(!levels_.empty() && !levels_.back().array && !after_key_);
  if (!levels_.back().empty) out_ += ',';
  levels_.back().empty = false;
  levels_.back().broken = true;
  newline();
  out_ += json_quoted(name) + ": ";
  after_key_ = true;
  return *this;
}

JsonWriter& JsonWriter::value(std::string_view text) { return scalar(json_quoted(text)); }
JsonWriter& JsonWriter::value(int64_t number) { return scalar(fmt::format("{}", number)); }
JsonWriter& JsonWriter::value(uint64_t number) { return scalar(fmt::format("{}", number)); }
JsonWriter& JsonWriter::value(bool boolean) { return scalar(boolean ? "true" : "false"); }
JsonWriter& JsonWriter::null() { return scalar("null"); }
JsonWriter& JsonWriter::number_text(std::string_view text) { return scalar(text); }

JsonWriter& JsonWriter::value(double number) {
  if (!std::isfinite(number)) return null();
  std::string text = fmt::format("{}", number);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return scalar(text);
}

std::string JsonWriter::finish() {
  NIBBLE_CHECK(levels_.empty() && !after_key_ && !out_.empty());
  return std::exchange(out_, {}) + '\n';
}

}  // namespace nibble
