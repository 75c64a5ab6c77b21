// What the tests of the command share: the contract of errors, and a small model to spoil.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/command.h"
#include "tests/support/temp_folder.h"

namespace nibble::test {

/// Everything below a folder, by relative path: the bytes of files, "" for the rest. Two of them
/// are equal where nothing was added, removed or changed.
inline std::map<std::string, std::string> contents(const std::string& folder) {
  std::map<std::string, std::string> found;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    const std::string name = std::filesystem::relative(entry.path(), folder).string();
    found[name] = entry.is_regular_file() ? get_file(entry.path().string()) : std::string();
  }
  return found;
}

/// The contract of a rejection: the exit code, one line of the known form that holds `words`,
/// nothing on stdout, and an end of its own.
inline void expect_rejected(const CommandResult& r, int code, std::string_view words = "") {
  EXPECT_FALSE(r.timed_out);
  EXPECT_EQ(r.signal, 0);
  EXPECT_EQ(r.exit_code, code) << r.err;
  EXPECT_EQ(r.out, "");
  const std::string begin = "nibble: error[" + std::to_string(code) + "]: ";
  EXPECT_EQ(r.err.substr(0, begin.size()), begin) << r.err;
  EXPECT_GT(r.err.size(), begin.size() + 1);
  EXPECT_EQ(r.err.find('\n'), r.err.size() - 1) << "one line, ended: " << r.err;
  EXPECT_NE(r.err.find(words), std::string::npos) << "expected: " << words << "\nfound: " << r.err;
}

inline void expect_success(const CommandResult& r) {
  EXPECT_FALSE(r.timed_out);
  EXPECT_EQ(r.signal, 0);
  EXPECT_EQ(r.exit_code, 0) << r.err;
}

/// A folder with a trained-for-one-step `model`, made afresh for each test.
class WithModel : public ::testing::Test {
 protected:
  void SetUp() override {
    const CommandResult r = run_nibble({"train", "micro", "--steps", "1", "--batch", "1", "--quiet",
                                        "--data", "data/names.txt", "-o", model()},
                                       {.limit_s = 60});
    ASSERT_EQ(r.exit_code, 0) << r.err;
    std::filesystem::create_directory(outputs());
  }

  std::string model() const { return folder_ / "model"; }
  std::string weights() const { return model() + "/model.safetensors"; }
  /// Where outputs go, in a folder of their own so that leftovers show.
  std::string outputs() const { return folder_ / "outputs"; }
  std::string out() const { return outputs() + "/out"; }
  std::vector<std::string> quantize(std::string scheme = "int8") const {
    return {"quantize", model(), "-o", out(), "--scheme", std::move(scheme), "--quiet"};
  }

  TempFolder folder_;
};

}  // namespace nibble::test
