// What a new folder takes over from the one it was made of.
#include "nibble/model/carry_over.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"

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
      R"({"quantization_config": {"a": [1, {"b": 2}]}, "quantization": {"bits": 4}, "tied": true,
          "x": {"tied": 1, "quantization": 1}})",
      "tied");
  EXPECT_EQ(JsonFields::parse(text).keys(""), (std::vector<std::string>{"x", "added"}));
  EXPECT_EQ(JsonFields::parse(text).integer("x.tied"), 1);
  test::expect_error(ErrorKind::corrupt, "JSON object", [] { carried("[1]"); });
}

namespace fs = std::filesystem;

TEST(CarryFiles, LeavesOutLinksThatLeaveTheFolder) {
  const test::TempFolder t;
  fs::create_directories(t / "model/more");
  fs::create_directories(t / "out");
  test::put_file(t / "secret", "SECRET");
  test::put_file(t / "model/tokenizer.json", "{}");
  test::put_file(t / "model/more/licence", "free");
  fs::create_symlink("../secret", t / "model/LICENSE");
  fs::create_symlink(t / "secret", t / "model/NOTICE");
  fs::create_symlink("NOTICE", t / "model/vocab.json");  // a link to a link that leaves it
  fs::create_symlink("more/licence", t / "model/LICENSE.md");
  fs::create_symlink("nowhere", t / "model/merges.txt");
  fs::create_symlink("model", t / "by-link");
  for (const char* folder : {"model", "by-link", "model/../model"}) {
    const std::vector<std::string> left = carry_files(t / folder, t / "out");
    ASSERT_EQ(left.size(), 3u) << folder;
    for (const std::string& line : left)
      EXPECT_NE(line.find("is a link that leaves the model's folder"), std::string::npos) << line;
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(t / "out"))
      names.insert(entry.path().filename().string());
    EXPECT_EQ(names, (std::set<std::string>{"tokenizer.json", "LICENSE.md"}));
    EXPECT_EQ(test::get_file(t / "out/LICENSE.md"), "free");
  }
}

TEST(CarryFiles, FollowsLinksOfTheHuggingFaceCache) {
  const test::TempFolder t;
  const std::string model = t / "models--org--name", snapshot = model + "/snapshots/c0ffee";
  fs::create_directories(snapshot);
  fs::create_directories(model + "/blobs");
  fs::create_directories(t / "models--org--other/blobs");
  fs::create_directories(t / "out");
  test::put_file(model + "/blobs/11", "mine");
  test::put_file(t / "models--org--other/blobs/22", "another's");
  fs::create_symlink("../../blobs/11", snapshot + "/tokenizer.json");
  fs::create_symlink("../../../models--org--other/blobs/22", snapshot + "/LICENSE");
  const std::vector<std::string> left = carry_files(snapshot, t / "out");
  ASSERT_EQ(left.size(), 1u);
  EXPECT_NE(left[0].find("LICENSE"), std::string::npos) << left[0];
  EXPECT_EQ(test::get_file(t / "out/tokenizer.json"), "mine");
  EXPECT_FALSE(fs::exists(t / "out/LICENSE"));
}

TEST(CarryFiles, TakesChatTemplatesInFilesOfTheirOwn) {
  const test::TempFolder t;
  const std::string folder = "/additional_chat_templates";
  fs::create_directories(t / ("model" + folder));
  fs::create_directories(t / "out");
  test::put_file(t / "secret.jinja", "SECRET");
  test::put_file(t / ("model" + folder + "/tool_use.jinja"), "tools");
  test::put_file(t / ("model" + folder + "/notes.txt"), "no template");
  fs::create_symlink("../../secret.jinja", t / ("model" + folder + "/rag.jinja"));
  const std::vector<std::string> left = carry_files(t / "model", t / "out");
  ASSERT_EQ(left.size(), 1u);
  EXPECT_NE(left[0].find("rag.jinja"), std::string::npos) << left[0];
  EXPECT_EQ(test::get_file(t / ("out" + folder + "/tool_use.jinja")), "tools");
  EXPECT_EQ(std::distance(fs::directory_iterator(t / ("out" + folder)), {}), 1);
}

}  // namespace
}  // namespace nibble
