#include "nibble/api/error.h"

#include <utility>

#include "nibble/core/error.h"

namespace nibble::api {

static_assert(static_cast<int>(ErrorKind::out_of_memory) ==
                  static_cast<int>(nibble::ErrorKind::out_of_memory),
              "both list the same kinds in the same order");

std::string_view to_string(ErrorKind kind) {
  return nibble::to_string(static_cast<nibble::ErrorKind>(kind));
}

Error::Error(ErrorKind kind, std::string file, std::string where, std::string reason,
             std::string what)
    : kind_(kind),
      file_(std::move(file)),
      where_(std::move(where)),
      reason_(std::move(reason)),
      what_(std::move(what)) {}
Error::Error(const Error&) = default;
Error& Error::operator=(const Error&) = default;
Error::~Error() = default;

const char* Error::what() const noexcept { return what_.c_str(); }

}  // namespace nibble::api
