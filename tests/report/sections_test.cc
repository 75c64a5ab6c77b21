// Parts of a page by their numbers: the roofline, and how agreement goes with length.
#include "nibble/report/sections.h"

#include <gtest/gtest.h>

#include "tests/report/invented_report.h"
#include "tests/report/markup.h"

namespace nibble {
namespace {

// Two models of 1e6 bytes a token: decode does 2e6 operations a token, 2 a byte.
std::vector<Measurement> measured() {
  std::vector<Measurement> models = {testing::invented_model("f32", "f32", 32, 0, 0, 0, 1000),
                                     testing::invented_model("int8", "int8:a8", 8, 0, 0, 0, 2000)};
  for (Measurement& m : models) {
    m.weight_bytes = 1'000'000;
    m.throughput.prefill_tokens = 100;
    m.throughput.prefill_multiplications = 100'000'000;
    m.throughput.decode_multiplications = 1'000'000;
    m.throughput.prefill_tokens_per_second = 10'000;
    m.throughput.decode_tokens_per_second = 5000;
  }
  return models;
}

TEST(Roofline, TellsTheShareOfWhatTheMachineAllows) {
  // Decode: 2 operations a byte of 10 GB/s allow 20 G a second; 10 G are 50 %. Prefill: 200 a byte
  // hit the ceiling of the number format: 20 G are 40 % of 50 G in f32, 10 % of 200 G in int8.
  const std::string html = roofline(measured(), {10e9, 200e9, 50e9});
  EXPECT_EQ(testing::markup_fault(html), "");
  const auto row = [&](const std::string& share) {
    size_t count = 0;
    for (size_t at = html.find(">" + share + "<"); at != std::string::npos;
         at = html.find(">" + share + "<", at + 1))
      ++count;
    return count;
  };
  EXPECT_EQ(row("50%"), 2u) << html;
  EXPECT_EQ(row("40%"), 1u) << html;
  EXPECT_EQ(row("10%"), 1u) << html;
}

TEST(Roofline, SaysWhereMemoryCouldNotBeMeasured) {
  const std::string html = roofline(measured(), {0, 200e9, 50e9});
  EXPECT_NE(html.find("could not be measured"), std::string::npos);
  EXPECT_EQ(html.find("<svg"), std::string::npos);
  EXPECT_EQ(testing::markup_fault(html), "");
}

TEST(Roofline, IsLeftOutWhereNothingWasMeasured) {
  EXPECT_EQ(roofline(measured(), {}), "");
  EXPECT_EQ(roofline({}, {10e9, 200e9, 50e9}), "");
  std::vector<Measurement> untimed = measured();
  for (Measurement& m : untimed) m.throughput = {};
  EXPECT_EQ(roofline(untimed, {10e9, 200e9, 50e9}), "");
}

std::vector<Measurement> with_positions(double early, double late, int64_t tokens) {
  std::vector<Measurement> models = measured();
  for (int64_t i = 0; i < 9; ++i)
    models[1].divergence.by_position.push_back(
        {1 + 10 * i, 10 + 10 * i, tokens, i < 3 ? early : late, 0.01});
  models[1].text.continuations = 8;
  models[1].text.prefix_agreement = {1, 0.75, 0.5, 0.25};
  return models;
}

TEST(Growth, ComparesTheFirstThirdWithTheLast) {
  EXPECT_NE(growth(with_positions(0.9, 0.8, 10'000)).find("less with length"), std::string::npos);
  EXPECT_NE(growth(with_positions(0.8, 0.9, 10'000)).find("more with length"), std::string::npos);
}

// 90 % and 80 % of 30 tokens each: the difference is 1.1 standard errors.
TEST(Growth, DoesNotTakeChanceForAChange) {
  const std::string html = growth(with_positions(0.9, 0.8, 10));
  EXPECT_NE(html.find("90.0% in the first third, 80.0% in the last: no measurable change"),
            std::string::npos)
      << html;
}

TEST(Growth, TellsHowLongTextsStayTheSame) {
  const std::string html = growth(with_positions(0.9, 0.9, 100));
  EXPECT_NE(html.find("25% still the same after 4 tokens"), std::string::npos) << html;
  EXPECT_EQ(testing::markup_fault(html), "");
}

TEST(Growth, IsLeftOutWhereNothingWasWritten) {
  EXPECT_EQ(growth(measured()), "");
  EXPECT_EQ(growth({with_positions(0.9, 0.8, 10)[1]}), "") << "a model alone";
}

}  // namespace
}  // namespace nibble
