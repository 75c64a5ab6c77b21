// What nibble quantize tells the user: options without effect, what was stored, examples that work.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/cli/cli_test.h"

namespace nibble::test {
namespace {

bool holds(const std::string& text, std::string_view words) {
  return text.find(words) != std::string::npos;
}

CommandResult quantized(std::vector<std::string> words) {
  words.insert(words.begin(), "quantize");
  const CommandResult r = run_nibble(words, {.limit_s = 60});
  expect_success(r);
  return r;
}

TEST_F(WithModel, QuantizeSaysWhichOptionsHaveNoEffect) {
  const CommandResult r =
      quantized({model(), "-o", out(), "--damping", "0.2", "--calib", "book.txt"});
  EXPECT_TRUE(holds(r.err,
                    "nibble: warning: --calib, --damping: without effect, since method rtn in "
                    "scheme int8 does not read them\n"))
      << r.err;
  const CommandResult planned =
      quantized({model(), "--dry-run", "--method", "hqq", "--clip", "mse"});
  EXPECT_TRUE(holds(planned.err, "warning: --clip: without effect, since method hqq"))
      << planned.err;
  const CommandResult plain = quantized({model(), "-o", out() + "2"});
  EXPECT_FALSE(holds(plain.err, "without effect")) << plain.err;
}

// A recipe has every option, whatever its method.
TEST_F(WithModel, QuantizeTakesARecipeWithoutAWord) {
  quantized({model(), "-o", out(), "--scheme", "int4:g16"});
  const CommandResult again =
      quantized({model(), "-o", out() + "2", "--recipe", out() + "/nibble.json"});
  EXPECT_FALSE(holds(again.err, "without effect")) << again.err;
}

TEST_F(WithModel, QuantizeSaysWhatWasStored) {
  const std::string ragged = quantized({model(), "-o", out(), "--scheme", "int4:g7"}).out;
  EXPECT_TRUE(holds(ragged, "out: 9 of 9 matrices in int8, ")) << ragged;
  const std::string mixed = quantized({model(), "-o", out(), "--force", "--scheme", "int4:g16",
                                       "--keep", "wte*", "--set", "lm_head*=int8"})
                                .out;
  EXPECT_TRUE(holds(mixed, "out: 8 of 9 matrices quantized (1 f32, 7 int4:g16, 1 int8), "))
      << mixed;
  const std::string plain = quantized({model(), "-o", out(), "--force", "--scheme", "bf16"}).out;
  EXPECT_TRUE(holds(plain, "out: 9 of 9 matrices in bf16, 16.00 bits")) << plain;
  const auto json = nlohmann::json::parse(
      quantized({model(), "-o", out(), "--force", "--scheme", "int4:g7", "--json"}).out);
  EXPECT_EQ(json.at("matrices_by_type").at("int8"), 9);
}

}  // namespace
}  // namespace nibble::test
