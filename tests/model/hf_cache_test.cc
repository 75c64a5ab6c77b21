#include "nibble/model/hf_cache.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <optional>

#include "nibble/core/error.h"
#include "nibble/model/model.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_model.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;
using test::expect_error;

// Sets an environment variable (or unsets it) for the life of a test.
class Variable {
 public:
  Variable(const char* name, const std::optional<std::string>& value) : name_(name) {
    if (const char* now = getenv(name)) before_ = now;
    set(value);
  }
  ~Variable() { set(before_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  void set(const std::optional<std::string>& value) {
    value ? setenv(name_, value->c_str(), 1) : unsetenv(name_);
  }
  const char* name_;
  std::optional<std::string> before_;
};

class HfCache : public testing::Test {
 protected:
  // models--FOLDER with one commit; refs/main says it.
  std::string add(const std::string& model, const std::string& commit) {
    const fs::path folder = fs::path(cache_.path()) / model;
    fs::create_directories(folder / "snapshots" / commit);
    fs::create_directories(folder / "refs");
    test::put_file(folder / "refs/main", commit);
    return folder / "snapshots" / commit;
  }
  test::TempFolder cache_;
  Variable hub_{"HF_HUB_CACHE", cache_.path()};
};

TEST_F(HfCache, FindsASnapshotByName) {
  const std::string gpt2 = add("models--gpt2", "0123abcd");
  const std::string qwen = add("models--Qwen--Qwen2-0.5B", "77ff");
  EXPECT_EQ(resolve_model("gpt2"), gpt2);
  EXPECT_EQ(resolve_model("Qwen/Qwen2-0.5B"), qwen);
  EXPECT_EQ(resolve_model("Qwen/Qwen2-0.5B@77ff"), qwen);
  EXPECT_EQ(resolve_model("Qwen/Qwen2-0.5B@main"), qwen);
}

TEST_F(HfCache, APathComesFirst) {
  add("models--gpt2", "0123abcd");
  EXPECT_EQ(resolve_model(cache_.path()), cache_.path());
}

TEST_F(HfCache, OpensAModelWhoseFilesAreLinksToBlobs) {
  const fs::path snapshot = add("models--a--b", "c0ffee");
  const fs::path blobs = snapshot.parent_path().parent_path() / "blobs";
  write_tiny_model(blobs);
  for (const auto& file : fs::directory_iterator(blobs))
    fs::create_symlink("../../blobs" / file.path().filename(), snapshot / file.path().filename());
  EXPECT_EQ(open_model(resolve_model("a/b")).decoder_config().architecture, "micro_gpt");
}

TEST_F(HfCache, SaysWhereItLooked) {
  expect_error(ErrorKind::not_found, cache_.path(), [] { resolve_model("no/such"); });
  expect_error(ErrorKind::not_found, "no such file", [] { resolve_model("/no/such/folder"); });
  add("models--gpt2", "0123abcd");
  expect_error(ErrorKind::not_found, "revision \"v9\"", [] { resolve_model("gpt2@v9"); });
}

TEST_F(HfCache, NamesThatLeaveTheCacheAreNoNames) {
  // A name that no folder beside the checkout has: what exists is a path, not a name.
  fs::create_directories(cache_ / "models--unheard-of/snapshots");
  for (const char* name : {"../unheard-of", "a/../../unheard-of", "unheard-of@..",
                           "unheard-of@../../y", "a/b/c", "@main", "-unheard-of"})
    expect_error(ErrorKind::not_found, "no such file", [&] { resolve_model(name); });
  expect_error(ErrorKind::invalid_argument, "the name of a model is empty",
               [] { resolve_model(""); });
  add("models--gpt2", "0123abcd");
  test::put_file(cache_ / "models--gpt2/refs/main", "../../../etc");
  expect_error(ErrorKind::corrupt, "commit", [] { resolve_model("gpt2"); });
}

TEST(HfCacheFolder, FollowsTheVariables) {
  const Variable hub("HF_HUB_CACHE", std::nullopt), old("HUGGINGFACE_HUB_CACHE", std::nullopt),
      home("HF_HOME", "/h"), xdg("XDG_CACHE_HOME", "/x"), user("HOME", "/u");
  EXPECT_EQ(hf_cache_folder(), "/h/hub");
  {
    const Variable most("HF_HUB_CACHE", "/c");
    EXPECT_EQ(hf_cache_folder(), "/c");
  }
  {
    const Variable old_name("HUGGINGFACE_HUB_CACHE", "/o");
    EXPECT_EQ(hf_cache_folder(), "/o");
    const Variable most("HF_HUB_CACHE", "/c");
    EXPECT_EQ(hf_cache_folder(), "/c");
  }
  const Variable no_home("HF_HOME", std::nullopt);
  EXPECT_EQ(hf_cache_folder(), "/x/huggingface/hub");
  const Variable no_xdg("XDG_CACHE_HOME", std::nullopt);
  EXPECT_EQ(hf_cache_folder(), "/u/.cache/huggingface/hub");
}

}  // namespace
}  // namespace nibble
