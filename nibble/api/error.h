// The one exception that the library throws on purpose.
#pragma once

#include <exception>
#include <string>
#include <string_view>

#include "nibble/api/export.h"

namespace nibble::api {

enum class ErrorKind {
  invalid_argument,  ///< what the caller asks for contradicts itself or the model
  not_found,         ///< an input is missing
  corrupt,           ///< a file's bytes are not what it promises
  unsupported,       ///< nibble does not do that
  io,                ///< reading or writing failed
  cancelled,         ///< a stop was asked for (Stop in control.h)
  out_of_memory,
};

/// "invalid_argument", "corrupt", ...
NIBBLE_API std::string_view to_string(ErrorKind kind);

/// One line that says what is wrong, where, what was expected and found, and what to do. An option
/// is named by its field, in backticks.
class NIBBLE_API Error : public std::exception {
 public:
  Error(ErrorKind kind, std::string file, std::string where, std::string reason, std::string what);
  Error(const Error&);
  Error& operator=(const Error&);
  ~Error() override;

  ErrorKind kind() const { return kind_; }
  const std::string& file() const { return file_; }    ///< empty: no file is to blame
  const std::string& where() const { return where_; }  ///< `tensor "wte.weight"`, `offset 8`
  const std::string& reason() const { return reason_; }
  /// "FILE: WHERE: REASON", what is empty left out, safe for one line of a terminal.
  const char* what() const noexcept override;

 private:
  ErrorKind kind_;
  std::string file_, where_, reason_, what_;
};

}  // namespace nibble::api
