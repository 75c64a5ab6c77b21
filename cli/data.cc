#include "cli/data.h"

#include "cli/streams.h"
#include "nibble/core/files.h"

namespace nibble::cli {
namespace {

constexpr int64_t kTextLimit = int64_t{1} << 33;

}  // namespace

Text load_text(const std::string& path) {
  if (path == "-") return {"standard input", read_standard_input(kTextLimit)};
  if (path.empty()) return names_text();
  return {path, read_file(path, kTextLimit)};
}

}  // namespace nibble::cli
