#include "nibble/eval/free_running.h"

#include <gtest/gtest.h>

#include "tests/support/temp_folder.h"
#include "tests/support/tiny_model.h"

namespace nibble {
namespace {

using Ids = std::vector<int32_t>;
using Shares = std::vector<double>;

TEST(FirstDifference, IsTheFirstTokenOrTheEnd) {
  EXPECT_EQ(first_difference(Ids{1, 2, 3}, Ids{1, 2, 3}), -1);
  EXPECT_EQ(first_difference(Ids{1, 2, 3}, Ids{1, 4, 3}), 1);
  EXPECT_EQ(first_difference(Ids{1, 2}, Ids{1, 2, 3}), 2);
  EXPECT_EQ(first_difference(Ids{}, Ids{1}), 0);
  EXPECT_EQ(first_difference(Ids{}, Ids{}), -1);
}

TEST(PrefixAgreement, CountsTextsThatHaveNotParted) {
  const std::vector<Ids> base = {{1, 2, 3}, {4, 5, 6}, {7, 8, 9}, {1, 1, 1}};
  EXPECT_EQ(prefix_agreement(base, base), (Shares{1, 1, 1}));
  // One parts at once, one at the second token; agreeing again later does not count.
  EXPECT_EQ(prefix_agreement(base, {{1, 2, 3}, {4, 0, 6}, {0, 8, 9}, {1, 1, 1}}),
            (Shares{0.75, 0.5, 0.5}));
  EXPECT_EQ(prefix_agreement({}, {}), Shares{});
}

TEST(PromptsFrom, SpreadsOverTheText) {
  std::vector<ScoredSequence> sequences;
  for (int32_t i = 0; i < 10; ++i) sequences.push_back({Ids(20, i), 1});
  const auto prompts = prompts_from(sequences, 5, 4);
  ASSERT_EQ(prompts.size(), 5u);
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(prompts[i], Ids(4, static_cast<int32_t>(2 * i)));
  EXPECT_EQ(prompts_from({{Ids(5, 1), 1}}, 8, 16), (std::vector<Ids>{Ids(3, 1)}));
  EXPECT_TRUE(prompts_from({}, 8, 16).empty());
}

TEST(Continuations, AreGreedyAndFitTheContext) {
  const test::TempFolder files;
  const Decoder model = load_decoder(open_model(write_tiny_model(files / "m")));
  const std::vector<Ids> prompts = {{1, 2}, Ids(16, 3)};
  const auto made = continuations(model, prompts, 100, DType::f32, Exec{});
  ASSERT_EQ(made.size(), 2u);
  EXPECT_EQ(made[0].size(), 15u);
  EXPECT_EQ(made[1].size(), 1u);
  EXPECT_EQ(made, continuations(model, prompts, 100, DType::f32, Exec{}));
}

}  // namespace
}  // namespace nibble
