// Errors: one class, five kinds, each with the exit code the command ends with.
//
// A message says what is wrong, where (file, tensor or key, byte offset), what was expected and
// found, and what to do about it. The library throws; it never prints and never exits.
#pragma once

#include <exception>
#include <string>
#include <string_view>

namespace nibble {

enum class ErrorKind { invalid_argument, not_found, corrupt, unsupported, io };

/// Exit codes of sysexits.h that nibble uses (BSD sysexits(3)).
enum ExitCode : int {
  kExitUsage = 64,
  kExitData = 65,
  kExitNoInput = 66,
  kExitBug = 70,
  kExitMemory = 71,
  kExitCannotCreate = 73,
  kExitIo = 74,
  kExitPermission = 77,
};

/// The spelling used in JSON and in Python: "invalid_argument", "corrupt", ...
std::string_view to_string(ErrorKind kind);

/// The exit code of a kind when nothing more particular is known.
int default_exit_code(ErrorKind kind);

/// The only exception the library throws on purpose.
class Error : public std::exception {
 public:
  Error(ErrorKind kind, std::string reason);

  Error&& with_code(int exit_code) &&;
  /// Names the file the trouble is in. A file already named is kept: the innermost knows best.
  Error&& in_file(std::string_view path) &&;
  void set_file(std::string_view path);
  /// Names the place inside the file: `tensor "wte.weight"`, `key "hidden_size"`, `offset 8`.
  Error&& at(std::string_view where) &&;

  ErrorKind kind() const { return kind_; }
  int exit_code() const { return exit_code_; }
  const std::string& file() const { return file_; }
  const std::string& where() const { return where_; }
  const std::string& reason() const { return reason_; }
  /// "FILE: WHERE: REASON", parts that are empty left out.
  const char* what() const noexcept override { return what_.c_str(); }

 private:
  void compose();
  ErrorKind kind_;
  int exit_code_;
  std::string file_, where_, reason_, what_;
};

Error invalid_argument(std::string reason);
Error not_found(std::string reason);
Error corrupt(std::string reason);
Error unsupported(std::string reason);
Error io_error(std::string reason);

/// io or not_found from an errno value: the right kind, exit code (77 for permission, 66 for a
/// missing input, 73 where `creating`, else 74) and the system's words for it.
Error system_error(int errno_value, std::string_view path, std::string_view doing,
                   bool creating = false);

/// Text from outside made safe for one line of a terminal: what could steer it or turn the line
/// around (control characters, bidirectional marks, invalid UTF-8) is shown as \xNN or \u{NNNN};
/// anything longer than `limit` bytes is cut and marked with "...".
std::string printable(std::string_view text, size_t limit = 120);
/// printable() inside double quotes.
std::string in_quotes(std::string_view text, size_t limit = 120);

[[noreturn]] void check_failed(const char* file, int line, const char* condition);

}  // namespace nibble

/// A promise that nibble makes to itself, checked in every build; breaking it is a bug (exit code
/// 70).
#define NIBBLE_CHECK(condition) \
  ((condition) ? (void)0 : ::nibble::check_failed(__FILE__, __LINE__, #condition))
