#include "nibble/core/same_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>

#include "nibble/core/error.h"

namespace nibble {

namespace fs = std::filesystem;

bool lies_within(const fs::path& inner, const fs::path& outer) {
  const auto [at, unused] = std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end());
  return at == outer.end();
}

void refuse_same_file(const std::string& out, std::span<const std::string> inputs) {
  std::error_code error;
  const fs::path target = fs::weakly_canonical(out, error);
  if (error) return;  // a name no file can have: whoever makes it says so
  const bool exists = fs::exists(out, error);
  const auto check = [&](const fs::path& input, const std::string& named) {
    std::error_code missing;
    const fs::path real = fs::canonical(input, missing);
    if (missing) return;  // whoever opens it says so
    if ((exists && fs::equivalent(out, input, missing)) || lies_within(real, target) ||
        lies_within(fs::absolute(input).lexically_normal(), target)) {
      throw invalid_argument(
          fmt::format("replacing it would remove the input {}; choose another name",
                      nibble::in_quotes(named)))
          .in_file(out);
    }
  };
  for (const std::string& input : inputs) {
    check(input, input);
    if (!fs::is_directory(input, error)) continue;
    for (const auto& entry : fs::directory_iterator(input, error)) check(entry.path(), input);
  }
}

}  // namespace nibble
