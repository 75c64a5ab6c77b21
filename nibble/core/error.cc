#include "nibble/core/error.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "nibble/core/utf8.h"

namespace nibble {
namespace {

struct KindRow {
  ErrorKind kind;
  std::string_view name;
  int exit_code;
};

constexpr KindRow kKinds[] = {
    {ErrorKind::invalid_argument, "invalid_argument", kExitUsage},
    {ErrorKind::not_found, "not_found", kExitNoInput},
    {ErrorKind::corrupt, "corrupt", kExitData},
    {ErrorKind::unsupported, "unsupported", kExitData},
    {ErrorKind::io, "io", kExitIo},
};

const KindRow& row_of(ErrorKind kind) { return kKinds[static_cast<size_t>(kind)]; }

}  // namespace

std::string_view to_string(ErrorKind kind) { return row_of(kind).name; }
int default_exit_code(ErrorKind kind) { return row_of(kind).exit_code; }

Error::Error(ErrorKind kind, std::string reason)
    : kind_(kind), exit_code_(default_exit_code(kind)), reason_(std::move(reason)) {
  compose();
}

Error&& Error::with_code(int exit_code) && {
  exit_code_ = exit_code;
  return std::move(*this);
}

void Error::set_file(std::string_view path) {
  if (!file_.empty()) return;
  file_ = path;
  compose();
}

Error&& Error::in_file(std::string_view path) && {
  set_file(path);
  return std::move(*this);
}

Error&& Error::at(std::string_view where) && {
  if (where_.empty()) where_ = where;
  compose();
  return std::move(*this);
}

void Error::compose() {
  what_.clear();
  if (!file_.empty()) what_ += printable(file_, 4096) + ": ";
  if (!where_.empty()) what_ += where_ + ": ";
  what_ += reason_;
}

Error invalid_argument(std::string reason) {
  return {ErrorKind::invalid_argument, std::move(reason)};
}
Error not_found(std::string reason) { return {ErrorKind::not_found, std::move(reason)}; }
Error corrupt(std::string reason) { return {ErrorKind::corrupt, std::move(reason)}; }
Error unsupported(std::string reason) { return {ErrorKind::unsupported, std::move(reason)}; }
Error io_error(std::string reason) { return {ErrorKind::io, std::move(reason)}; }

Error system_error(int errno_value, std::string_view path, std::string_view doing, bool creating) {
  const bool denied = errno_value == EACCES || errno_value == EPERM || errno_value == EROFS;
  const bool missing = !creating && (errno_value == ENOENT || errno_value == ENOTDIR ||
                                     errno_value == EISDIR || errno_value == ELOOP);
  const int code = denied     ? kExitPermission
                   : creating ? kExitCannotCreate
                   : missing  ? kExitNoInput
                              : kExitIo;
  return Error(missing ? ErrorKind::not_found : ErrorKind::io,
               fmt::format("cannot {}: {}", doing, std::strerror(errno_value)))
      .with_code(code)
      .in_file(path);
}

namespace {

// Characters that move the cursor or turn the text around: C1 controls and the bidirectional marks.
bool is_invisible(std::string_view character) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(character[i]); };
  if (character.size() == 1) return byte(0) < 0x20 || byte(0) == 0x7F;
  if (character.size() == 2) return byte(0) == 0xC2 && byte(1) < 0xA0;
  if (character.size() != 3 || byte(0) != 0xE2) return false;
  const bool marks = byte(1) == 0x80 && (byte(2) == 0x8E || byte(2) == 0x8F);
  const bool embeddings = byte(1) == 0x80 && byte(2) >= 0xAA && byte(2) <= 0xAE;
  const bool isolates = byte(1) == 0x81 && byte(2) >= 0xA6 && byte(2) <= 0xA9;
  return marks || embeddings || isolates;
}

}  // namespace

std::string printable(std::string_view text, size_t limit) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    if (out.size() >= limit) return out + "...";
    const size_t length = std::max<size_t>(utf8_length(text, i), 1);
    const std::string_view character = text.substr(i, length);
    if (utf8_length(text, i) == 0 || is_invisible(character)) {
      for (const char c : character) {
        out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
      }
    } else {
      out += character;
    }
    i += length;
  }
  return out;
}

std::string in_quotes(std::string_view text, size_t limit) {
  return fmt::format("\"{}\"", printable(text, limit));
}

void check_failed(const char* file, int line, const char* condition) {
  throw std::logic_error(
      fmt::format("{}:{}: a promise inside nibble was broken: {}", file, line, condition));
}

}  // namespace nibble
