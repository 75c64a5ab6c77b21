// What a new folder takes over from the one it was made of.
#include "nibble/model/carry_over.h"

#include <gtest/gtest.h>

#include "tests/support/expect_error.h"

namespace nibble {
namespace {

std::string carried(const std::string& text, std::string_view dropped = "") {
  return carry_config(
      text, [](JsonWriter& out) { out.field("added", 1); }, dropped);
}

TEST(CarryConfig, KeepsNumbersAsTheyStood) {
  const std::string text = carried(
      R"({"a": 1e-05, "b": 0.10, "c": NaN, "d": [-Infinity, 18446744073709551616], "e": 7})");
  for (const char* part : {"\"a\": 1e-05", "\"b\": 0.10", "\"c\": NaN",
                           "\"d\": [-Infinity, 18446744073709551616]", "\"e\": 7", "\"added\": 1"})
    EXPECT_NE(text.find(part), std::string::npos) << part << " in " << text;
}

TEST(CarryConfig, LeavesOutWhatItIsTold) {
  const std::string text = carried(
      R"({"quantization_config": {"a": [1, {"b": 2}]}, "tied": true, "x": {"tied": 1}})", "tied");
  EXPECT_EQ(JsonFields::parse(text).keys(""), (std::vector<std::string>{"x", "added"}));
  EXPECT_EQ(JsonFields::parse(text).integer("x.tied"), 1);
  test::expect_error(kExitData, "JSON object", [] { carried("[1]"); });
}

}  // namespace
}  // namespace nibble
