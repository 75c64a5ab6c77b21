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

constexpr std::string_view kKinds[] = {
    "invalid_argument", "not_found", "corrupt", "unsupported", "io", "cancelled", "out_of_memory"};

}  // namespace

std::string_view to_string(ErrorKind kind) { return kKinds[static_cast<size_t>(kind)]; }

Error::Error(ErrorKind kind, std::string reason, IoCause cause)
    : kind_(kind), cause_(cause), reason_(std::move(reason)) {
  compose();
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

Error cannot_create(std::string reason) {
  return {ErrorKind::io, std::move(reason), IoCause::cannot_create};
}
Error out_of_memory(std::string reason) { return {ErrorKind::out_of_memory, std::move(reason)}; }

Error cancelled(int signal) {
  Error out(ErrorKind::cancelled, fmt::format("stopped by signal {}", signal));
  out.signal_ = signal;
  return out;
}

Error system_error(int errno_value, std::string_view path, std::string_view doing, Access access) {
  const bool denied = errno_value == EACCES || errno_value == EPERM || errno_value == EROFS;
  const bool missing = access == Access::read && (errno_value == ENOENT || errno_value == ENOTDIR ||
                                                  errno_value == EISDIR || errno_value == ELOOP);
  const IoCause cause = denied                     ? IoCause::permission
                        : access == Access::create ? IoCause::cannot_create
                                                   : IoCause::other;
  return Error(missing ? ErrorKind::not_found : ErrorKind::io,
               fmt::format("cannot {}: {}", doing, std::strerror(errno_value)), cause)
      .in_file(path);
}

namespace {

struct Range {
  uint32_t first, last;
};
// Characters that steer a terminal or turn a line around: controls, and the bidirectional marks.
constexpr Range kSteering[] = {{0x00, 0x1F},     {0x7F, 0x9F},     {0x061C, 0x061C},
                               {0x200E, 0x200F}, {0x2028, 0x202E}, {0x2066, 0x2069},
                               {0xFEFF, 0xFEFF}};

bool steers(uint32_t code) {
  return std::any_of(std::begin(kSteering), std::end(kSteering),
                     [code](const Range& r) { return code >= r.first && code <= r.last; });
}

std::string escaped(uint32_t code) {
  return code < 0x80 ? fmt::format("\\x{:02x}", code) : fmt::format("\\u{{{:x}}}", code);
}

}  // namespace

std::string printable(std::string_view text, size_t limit) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    if (out.size() >= limit) return out + "...";
    const size_t length = utf8_length(text, i);
    if (length == 0) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[i++]));
      continue;
    }
    const std::string_view character = text.substr(i, length);
    const uint32_t code = code_point(character);
    steers(code) ? out += escaped(code) : out += character;
    i += length;
  }
  return out;
}

std::string in_quotes(std::string_view text, size_t limit) {
  return fmt::format("\"{}\"", printable(text, limit));
}

namespace {

// A path of the machine that compiled it as one of the repository.
std::string_view in_repository(std::string_view file) {
  constexpr std::string_view kCompiled = __FILE__, kHere = "nibble/core/error.cc";
  constexpr std::string_view kRoot = kCompiled.substr(0, kCompiled.size() - kHere.size());
  if (file.starts_with(kRoot)) file.remove_prefix(kRoot.size());
  while (file.starts_with("../")) file.remove_prefix(3);
  return file;
}

}  // namespace

void check_failed(const char* file, int line, const char* condition) {
  throw std::logic_error(fmt::format("{}:{}: a promise inside nibble was broken: {}",
                                     in_repository(file), line, condition));
}

}  // namespace nibble
