// Peak memory of generate on a model of GPT-2's size: the weights once, nothing twice.
#include <gtest/gtest.h>

#include "nibble/core/float_formats.h"
#include "nibble/eval/estimate.h"
#include "nibble/model/shapes.h"
#include "tests/cli/cli_test.h"

namespace nibble::test {
namespace {

constexpr int64_t kSlack = 150'000'000;
constexpr int64_t kNewTokens = 8;

// As many characters as GPT-2 has tokens.
CharTokenizer characters(int64_t count) {
  std::vector<char32_t> out;
  for (char32_t c = 'a'; static_cast<int64_t>(out.size()) < count; ++c) {
    if (c < 0xD800 || c > 0xDFFF) out.push_back(c);
  }
  return {out, false};
}

class Memory : public ::testing::Test {
 protected:
  void SetUp() override {
    if (kSanitized) GTEST_SKIP() << "sanitizers take memory of their own";
    const Model random = random_model("gpt2-124m", 3);
    config_ = random.decoder_config();
    std::vector<WritableParameter> parameters;
    for (const ParamSpec& p : parameter_table(config_)) {
      parameters.push_back({p, std::nullopt, DType::f16, [&random, p]() -> Weight {
                              return convert(random.weights->get(p.name).plain(), DType::f16);
                            }});
    }
    const CharTokenizer tokenizer = characters(config_.vocab_size);
    std::filesystem::create_directory(folder_ / "m");
    file_bytes_ = write_model(folder_ / "m", config_, parameters, &tokenizer);
  }

  int64_t peak(const std::vector<std::string>& more) const {
    std::vector<std::string> words = {"generate", folder_ / "m",      "--prompt",
                                      "abcd",     "--max-new-tokens", std::to_string(kNewTokens)};
    words.insert(words.end(), more.begin(), more.end());
    const CommandResult r = run_nibble(words, {.limit_s = 120});
    expect_success(r);
    return r.peak_rss_bytes;
  }

  TempFolder folder_;
  DecoderConfig config_;
  int64_t file_bytes_ = 0;
};

TEST_F(Memory, OfAnF16ModelIsItsFileAndItsCache) {
  const int64_t cache = kv_bytes_per_token(config_, DType::f32) * (4 + kNewTokens);
  const int64_t found = peak({});
  RecordProperty("peak_rss", std::to_string(found));
  EXPECT_LE(found, file_bytes_ + cache + kSlack) << "file " << file_bytes_;
}

TEST_F(Memory, OfASchemeOnLoadIsNeverThatOfTheF32Model) {
  const int64_t f32 = 4 * parameter_count(config_);
  for (const std::string scheme : {"int4:g32", "int8"}) {
    const int64_t found = peak({"--scheme", scheme});
    RecordProperty("peak_rss_" + scheme, std::to_string(found));
    EXPECT_LE(found, f32 * 3 / 4) << scheme;
    EXPECT_LE(found, file_bytes_ + kSlack) << scheme;
  }
}

}  // namespace
}  // namespace nibble::test
