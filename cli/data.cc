#include "cli/data.h"

#include <unistd.h>

#include <cerrno>

#include "nibble/core/error.h"
#include "nibble/core/files.h"
#include "nibble/text/builtin_names.h"

namespace nibble::cli {
namespace {

constexpr int64_t kTextLimit = int64_t{1} << 33;

std::string read_standard_input() {
  std::string out;
  char buffer[1 << 16];
  while (true) {
    const ssize_t n = ::read(STDIN_FILENO, buffer, sizeof buffer);
    if (n == 0) return out;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw system_error(errno, "standard input", "read");
    out.append(buffer, static_cast<size_t>(n));
    if (static_cast<int64_t>(out.size()) > kTextLimit)
      throw invalid_argument("standard input is over 8 GiB");
  }
}

}  // namespace

Text load_text(const std::string& path) {
  if (path == "-") return {"standard input", read_standard_input()};
  if (path.empty()) return {"built-in names", std::string(builtin_names())};
  return {path, read_file(path, kTextLimit)};
}

}  // namespace nibble::cli
