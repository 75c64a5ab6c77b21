// Which of several files to take.
#include "nibble/report/ranking.h"

#include <gtest/gtest.h>

#include "tests/report/invented_report.h"

namespace nibble {
namespace {

Measurement file_of(const std::string& name, int64_t bytes, double kl) {
  Measurement m = testing::invented_model(name, "int4:g32", 4.5, 0.001, 0.001, kl, 1000);
  m.file_bytes = bytes;
  m.parameters = 1000;
  return m;
}

std::vector<Measurement> files(std::vector<Measurement> others) {
  others.insert(others.begin(), testing::invented_model("source", "f32", 32, 0, 0, 0, 500));
  return others;
}

TEST(Ranking, PutsTheClosestFirst) {
  const auto models =
      files({file_of("a", 600, 0.02), file_of("b", 700, 0.001), file_of("c", 400, 0.3)});
  EXPECT_EQ(ranking(models), (std::vector<size_t>{2, 1, 3}));
}

TEST(Ranking, SaysWhoIsBeatenInBoth) {
  const auto models = files({file_of("a", 600, 0.02), file_of("b", 500, 0.01),
                             file_of("c", 400, 0.3), file_of("d", 500, 0.01)});
  EXPECT_EQ(beaten_by(models[1], models, file_size_of), &models[2]);
  for (const size_t i : {2, 3, 4}) EXPECT_EQ(beaten_by(models[i], models, file_size_of), nullptr);
}

TEST(Ranking, RecommendsTheSmallestThatStaysClose) {
  const auto models = files({file_of("a", 900, 0.0001), file_of("b", 600, 0.008),
                             file_of("c", 400, 0.02), file_of("d", 300, 0.4)});
  EXPECT_EQ(recommended(models), 2u);
  const std::string words = recommendation(models);
  EXPECT_NE(words.find("Take b (600 B, KL 0.0080): the smallest that stays close"),
            std::string::npos)
      << words;
  EXPECT_NE(words.find("Where it must be smaller: c (400 B, KL 0.020)"), std::string::npos)
      << words;
}

TEST(Ranking, RecommendsTheClosestWhereNoneIsClose) {
  const auto models = files({file_of("a", 900, 0.05), file_of("b", 600, 0.08)});
  EXPECT_EQ(recommended(models), 1u);
  EXPECT_NE(recommendation(models).find("none has a KL below 0.01"), std::string::npos);
}

TEST(Ranking, NeedsTwoThatWereMeasured) {
  EXPECT_EQ(recommendation(files({file_of("a", 900, 0.05)})), "");
  auto models = files({file_of("a", 900, 0.05), file_of("b", 600, 0.08)});
  models[2].tokens = 0;
  EXPECT_FALSE(recommended(models).has_value());
  EXPECT_EQ(render_ranking(models, 100), "");
  EXPECT_EQ(beaten_by(models[2], models, file_size_of), nullptr);
}

// What a label says does not count: all bytes over all parameters do.
TEST(Ranking, ShowsTheBitsOfTheFile) {
  const auto models = files({file_of("Q4", 700, 0.004), file_of("Q5", 650, 0.003)});
  const std::string text = render_ranking(models, 100);
  EXPECT_NE(text.find("5.60"), std::string::npos) << text;
  EXPECT_NE(text.find("5.20"), std::string::npos) << text;
  EXPECT_NE(text.find("Q4: beaten by Q5, which is smaller and closer"), std::string::npos) << text;
  EXPECT_NE(text.find("KL 99.9%"), std::string::npos) << text;
}

}  // namespace
}  // namespace nibble
