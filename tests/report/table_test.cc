#include "nibble/report/table.h"

#include <gtest/gtest.h>

#include <sstream>

#include "nibble/report/classifier_report.h"
#include "nibble/report/demo_report.h"
#include "nibble/report/text.h"
#include "tests/report/invented_report.h"

namespace nibble {
namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) out.push_back(line);
  return out;
}

TEST(TerminalTable, AlignsNamesLeftAndNumbersRight) {
  TerminalTable table({{"model"}, {"loss"}});
  table.add({"f32", "2.1"});
  table.add({"int8:channel", "12.25"});
  EXPECT_EQ(table.render(80),
            "model          loss\n"
            "-------------------\n"
            "f32             2.1\n"
            "int8:channel  12.25\n");
}

TEST(TerminalTable, AlignsByColumnsNotBytes) {
  TerminalTable table({{"name"}, {"n"}});
  table.add({"日本", "1"});
  table.add({"éé", "22"});
  const auto lines = lines_of(table.render(80));
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(display_width(lines[2]), display_width(lines[3]));
}

TEST(TerminalTable, DropsTheLeastImportantColumnsFirst) {
  TerminalTable table({{"name"}, {"keep", 0}, {"later", 1}, {"first", 2}});
  table.add({"x", "1", "2", "3"});
  EXPECT_NE(table.render(24).find("first"), std::string::npos);
  EXPECT_EQ(table.render(23).find("first"), std::string::npos);
  EXPECT_NE(table.render(23).find("later"), std::string::npos);
  EXPECT_EQ(table.render(14).find("later"), std::string::npos);
  EXPECT_NE(table.render(14).find("keep"), std::string::npos);
}

TEST(TerminalTable, PrintsNothingThatSteersATerminal) {
  TerminalTable table({{"name"}, {"n"}});
  table.add({"\x1b]0;owned\x07 \u009b2J\n", "1"});
  const std::string text = table.render(80);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_EQ(text.find('\x07'), std::string::npos);
  EXPECT_EQ(text.find("\u009b"), std::string::npos);
  EXPECT_EQ(lines_of(text).size(), 3u);
}

TEST(DemoTable, IsNeverWiderThanAsked) {
  auto models = testing::invented_models();
  models[3].name = "a very long name 日本語 that goes on and on and on and on";
  for (const int width : {20, 33, 40, 60, 80, 100, 120, 200}) {
    for (const std::string& line : lines_of(render_table(models, width))) {
      EXPECT_LE(display_width(line), width) << line;
    }
  }
}

TEST(DemoTable, ShowsEveryModelAndItsChange) {
  const auto lines = lines_of(render_table(testing::invented_models(), 100));
  ASSERT_EQ(lines.size(), 22u);  // two tables of 10 lines, a gap and a note
  EXPECT_NE(lines[0].find("change"), std::string::npos);
  EXPECT_TRUE(lines[2].starts_with("f32"));
  EXPECT_NE(lines[6].find("+0.0412"), std::string::npos) << lines[6];
  EXPECT_NE(lines[11].find("tokens/s"), std::string::npos) << lines[11];
  EXPECT_NE(lines[17].find("0.64x"), std::string::npos) << lines[17];
}

TEST(DemoTable, SurvivesNothing) {
  EXPECT_EQ(lines_of(render_table(std::vector<Measurement>{}, 100)).size(), 2u);
  EXPECT_EQ(lines_of(render_table(std::vector<Measurement>(2), 0)).size(), 4u);
}

TEST(ClassifierTable, HasADashWhereThereAreNoLabels) {
  ClassifierMeasurement base, q;
  base.name = "f32";
  base.file_bytes = 2'678'824;
  base.accuracy = 0.9612;
  q.name = "int8";
  q.compression_ratio = 3.93;
  q.accuracy = -1;
  q.prediction_agreement = 0.9985;
  const auto lines = lines_of(render_table({base, q}, 100));
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_NE(lines[2].find("96.12%"), std::string::npos);
  EXPECT_NE(lines[3].find("3.93x"), std::string::npos);
  EXPECT_NE(lines[3].find("99.85%"), std::string::npos);
  EXPECT_EQ(lines[3].find("-100"), std::string::npos);
}

}  // namespace
}  // namespace nibble
