// Errors: one class, seven kinds.
//
// A message says what is wrong, where (file, tensor or key, byte offset), what was expected and
// found, and what to do about it. The library throws; it never prints and never exits. What the
// caller can set is named by its field, in backticks (`max_memory`): how callers spell it (a flag,
// a keyword) is theirs.
#pragma once

#include <exception>
#include <string>
#include <string_view>

namespace nibble {

enum class ErrorKind {
  invalid_argument,
  not_found,
  corrupt,
  unsupported,
  io,
  cancelled,
  out_of_memory
};

/// What kept an error of kind io from being done, where a caller may mind.
enum class IoCause { other, permission, cannot_create };

/// The spelling used in JSON and in Python: "invalid_argument", "corrupt", ...
std::string_view to_string(ErrorKind kind);

/// The only exception the library throws on purpose.
class Error : public std::exception {
 public:
  Error(ErrorKind kind, std::string reason, IoCause cause = IoCause::other);

  /// Names the file the trouble is in. A file already named is kept: the innermost knows best.
  Error&& in_file(std::string_view path) &&;
  void set_file(std::string_view path);
  /// Names the place inside the file: `tensor "wte.weight"`, `key "hidden_size"`, `offset 8`.
  Error&& at(std::string_view where) &&;

  ErrorKind kind() const { return kind_; }
  IoCause cause() const { return cause_; }
  /// The signal that asked for a stop; 0 where none did.
  int signal() const { return signal_; }
  const std::string& file() const { return file_; }
  const std::string& where() const { return where_; }
  const std::string& reason() const { return reason_; }
  /// "FILE: WHERE: REASON", parts that are empty left out.
  const char* what() const noexcept override { return what_.c_str(); }

 private:
  friend Error cancelled(int signal);
  void compose();
  ErrorKind kind_;
  IoCause cause_;
  int signal_ = 0;
  std::string file_, where_, reason_, what_;
};

Error invalid_argument(std::string reason);
Error not_found(std::string reason);
Error corrupt(std::string reason);
Error unsupported(std::string reason);
Error io_error(std::string reason);
Error cannot_create(std::string reason);
Error out_of_memory(std::string reason);
/// Of work that was asked to stop by `signal`.
Error cancelled(int signal);

enum class Access { read, write, create };

/// From an errno value, with the system's words for it: not_found for an input that is missing,
/// else io, with the cause permission, or cannot_create for what was to be made.
Error system_error(int errno_value, std::string_view path, std::string_view doing,
                   Access access = Access::read);

/// Text from outside made safe for one line of a terminal: what could steer it or turn the line
/// around (control characters, bidirectional marks, invalid UTF-8) is shown as \xNN or \u{NNNN};
/// anything longer than `limit` bytes is cut and marked with "...".
std::string printable(std::string_view text, size_t limit = 120);
/// printable() inside double quotes.
std::string in_quotes(std::string_view text, size_t limit = 120);

[[noreturn]] void check_failed(const char* file, int line, const char* condition);

}  // namespace nibble

/// A promise that nibble makes to itself, checked in every build; breaking it is a bug
/// (std::logic_error).
#define NIBBLE_CHECK(condition) \
  ((condition) ? (void)0 : ::nibble::check_failed(__FILE__, __LINE__, #condition))
