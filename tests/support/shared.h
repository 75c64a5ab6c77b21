// ../shared: test data that some machines have beside the checkout.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

namespace nibble::test {

/// `if (lacks_shared(path)) GTEST_SKIP() << path;` begins a test that needs a file or folder of
/// ../shared. Where NIBBLE_REQUIRE_SHARED=1 says that it must be there, a test that lacks it fails.
inline bool lacks_shared(const std::string& path) {
  if (std::filesystem::exists(path)) return false;
  const char* required = std::getenv("NIBBLE_REQUIRE_SHARED");
  if (required != nullptr && std::string_view(required) == "1")
    ADD_FAILURE() << path << " is not here, and NIBBLE_REQUIRE_SHARED=1 says that it must be";
  return true;
}

}  // namespace nibble::test
