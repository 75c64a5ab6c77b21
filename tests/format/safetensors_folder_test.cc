#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "nibble/core/error.h"
#include "nibble/core/json.h"
#include "nibble/format/safetensors.h"
#include "tests/support/expect_error.h"
#include "tests/support/shared.h"
#include "tests/support/temp_folder.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;
using test::expect_error;
using test::get_file;
using test::put_file;
using test::TempFolder;

constexpr char kIndex[] = "model.safetensors.index.json";

LazyTensor lazy(const std::string& name, int64_t n, uint8_t fill) {
  return {{name, DType::u8, Shape{n}}, [=] {
            return Tensor::from<uint8_t>(Shape{n},
                                         std::vector<uint8_t>(static_cast<size_t>(n), fill));
          }};
}

class SafetensorsFolder : public testing::Test {
 protected:
  // a and b in the first shard, c in the second, d (too large for any) in the third
  void write_shards() {
    write_safetensors_folder(
        t_.path(), {lazy("a", 60, 1), lazy("b", 40, 2), lazy("c", 1, 3), lazy("d", 500, 4)}, 100);
  }
  void replace_in_index(const std::string& from, const std::string& to) {
    std::string text = get_file(t_ / kIndex);
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos);
    put_file(t_ / kIndex, text.replace(at, from.size(), to));
  }
  void refused(const test::ExpectedKind& kind, std::string_view words) {
    expect_error(kind, words, [&] { open_safetensors_folder(t_.path()); });
  }
  TempFolder t_;
};

TEST_F(SafetensorsFolder, WritesOneFileWhereItFits) {
  write_safetensors_folder(t_.path(), {lazy("a", 60, 1), lazy("b", 40, 2)}, 100);
  EXPECT_EQ(t_.size(), 1u);
  const auto source = open_safetensors_folder(t_.path());
  EXPECT_EQ(source->get("b").data<uint8_t>()[39], 2);
}

TEST_F(SafetensorsFolder, ShardsByExactSize) {
  write_shards();
  EXPECT_EQ(t_.size(), 4u);
  const auto index = JsonFields::parse(get_file(t_ / kIndex));
  EXPECT_EQ(index.integer("metadata.total_size"), 601);
  EXPECT_EQ(index.string("weight_map.b"), "model-00001-of-00003.safetensors");
  EXPECT_EQ(index.string("weight_map.c"), "model-00002-of-00003.safetensors");
  EXPECT_EQ(index.string("weight_map.d"), "model-00003-of-00003.safetensors");
  std::vector<std::string> warnings;
  const auto source = open_safetensors_folder(t_.path(), &warnings);
  EXPECT_TRUE(warnings.empty());
  ASSERT_EQ(source->list().size(), 4u);
  EXPECT_EQ(source->get("c").data<uint8_t>()[0], 3);
  EXPECT_EQ(source->get("d").elements(), 500);
  source->release("d");
  int64_t bytes = 0;
  for (const auto& e : fs::directory_iterator(t_.path()))
    bytes += e.path().extension() == ".safetensors" ? static_cast<int64_t>(e.file_size()) : 0;
  EXPECT_EQ(source->file_bytes(), bytes);
}

TEST_F(SafetensorsFolder, MakesTensorsOnlyWhenTheirTurnComes) {
  int alive = 0, most = 0;
  std::vector<LazyTensor> tensors;
  for (int i = 0; i < 5; ++i) {
    LazyTensor t = lazy("t" + std::to_string(i), 10, 1);
    t.make = [&] {
      most = std::max(most, ++alive);
      auto owner = std::shared_ptr<std::byte[]>(new std::byte[10](), [&](std::byte* p) {
        --alive;
        delete[] p;
      });
      return Tensor(DType::u8, Shape{10}, Storage{owner, owner.get(), 10});
    };
    tensors.push_back(std::move(t));
  }
  write_safetensors_folder(t_.path(), tensors, 20);
  EXPECT_EQ(most, 1);
  EXPECT_EQ(alive, 0);
}

TEST_F(SafetensorsFolder, T8NoPathLeavesTheFolder) {
  write_shards();
  const std::string shard = "\"model-00002-of-00003.safetensors\"";
  const std::string index = get_file(t_ / kIndex);
  TempFolder outside;
  fs::copy(t_ / "model-00002-of-00003.safetensors", outside / "x.safetensors");
  fs::create_symlink(outside / "x.safetensors", t_ / "link.safetensors");
  fs::create_directory(t_ / "dir.safetensors");
  ASSERT_EQ(mkfifo((t_ / "fifo.safetensors").c_str(), 0600), 0);
  fs::create_symlink("/dev/zero", t_ / "zero.safetensors");
  const auto start = std::chrono::steady_clock::now();
  for (const std::string name :
       {"../x.safetensors", "/etc/passwd", "a/../../b.safetensors", "link.safetensors",
        "fifo.safetensors", "zero.safetensors", "dir.safetensors", ".safetensors", "..", "",
        "a\\u0000.safetensors"}) {
    put_file(t_ / kIndex, index);
    replace_in_index(shard, '"' + name + '"');
    refused(ErrorKind::corrupt, "shard ");
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
}

TEST_F(SafetensorsFolder, ASnapshotOfTheHuggingFaceCacheLoads) {
  TempFolder cache;
  write_shards();
  const std::string blobs = cache / "models--a--b/blobs",
                    snapshot = cache / "models--a--b/snapshots/1";
  fs::create_directories(blobs);
  fs::create_directories(snapshot);
  for (const auto& e : fs::directory_iterator(t_.path())) {
    const std::string name = e.path().filename().string();
    fs::copy(e.path(), blobs + "/hash" + name);
    fs::create_symlink("../../blobs/hash" + name, snapshot + '/' + name);
  }
  EXPECT_EQ(open_safetensors_folder(snapshot)->get("d").elements(), 500);
  // Blobs of another repository are none of its business.
  fs::create_directories(cache / "models--c--d/blobs");
  const std::string name = "model-00002-of-00003.safetensors";
  fs::copy(t_ / name, cache / "models--c--d/blobs/x");
  fs::remove(snapshot + '/' + name);
  fs::create_symlink("../../../models--c--d/blobs/x", snapshot + '/' + name);
  expect_error(ErrorKind::corrupt, "leaves the model's folder",
               [&] { open_safetensors_folder(snapshot); });
}

TEST_F(SafetensorsFolder, T9TheIndexAndTheShardsAgree) {
  write_shards();
  const std::string index = get_file(t_ / kIndex);
  replace_in_index("\"c\"", "\"other\"");
  refused(ErrorKind::corrupt,
          "tensor \"other\": the index says it lies in "
          "\"model-00002-of-00003.safetensors\", no shard has it");
  put_file(t_ / kIndex, index);
  replace_in_index("\"a\": \"model-00001", "\"a\": \"model-00002");
  refused(ErrorKind::corrupt,
          "tensor \"a\": the index says it lies in \"model-00002-of-00003.safetensors\", "
          "it lies in \"model-00001-of-00003.safetensors\"");
  put_file(t_ / kIndex, index);
  replace_in_index("\"a\": \"model-00001-of-00003.safetensors\",", "");
  refused(ErrorKind::corrupt,
          "tensor \"a\": lies in \"model-00001-of-00003.safetensors\", the index does");
  put_file(t_ / kIndex, index);
  replace_in_index("601", "600");
  std::vector<std::string> warnings;
  open_safetensors_folder(t_.path(), &warnings);
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("total_size is 600, the tensors have 601"), std::string::npos);
}

TEST_F(SafetensorsFolder, T9ATensorInTwoShards) {
  write_shards();
  fs::copy(t_ / "model-00001-of-00003.safetensors", t_ / "more.safetensors");
  replace_in_index("\"c\": \"model-00002-of-00003", "\"c\": \"more");
  refused(ErrorKind::corrupt, "lies in two shards");
}

TEST_F(SafetensorsFolder, T9AShardIsMissingOrUnnamed) {
  write_shards();
  replace_in_index(",\n    \"d\": \"model-00003-of-00003.safetensors\"", "");
  refused(ErrorKind::corrupt, "shard \"model-00003-of-00003.safetensors\": belongs to the set");
  fs::remove(t_ / "model-00002-of-00003.safetensors");
  refused(ErrorKind::not_found, "model-00002-of-00003.safetensors");
}

TEST_F(SafetensorsFolder, ABadIndexIsRefused) {
  write_shards();
  for (const char* text :
       {"", "[]", "{}", R"({"weight_map":[]})", R"({"weight_map":{}})", R"({"weight_map":{"a":1}})",
        R"({"weight_map":{"a":null}})", R"({"weight_map":{"a":{}}})", R"({"weight_map":"x"})",
        R"({"weight_map":{"a":"x","a":"x"}})"}) {
    put_file(t_ / kIndex, text);
    refused(ErrorKind::corrupt, "model.safetensors.index.json: ");
  }
}

TEST_F(SafetensorsFolder, TakesAnySingleFile) {
  write_safetensors(t_ / "odd.safetensors", {{"a", Tensor(DType::u8, Shape{1})}});
  EXPECT_TRUE(open_safetensors_folder(t_.path())->contains("a"));
  write_safetensors(t_ / "even.safetensors", {{"a", Tensor(DType::u8, Shape{1})}});
  refused(ErrorKind::corrupt, "name the one meant");
}

TEST_F(SafetensorsFolder, SaysWhatItLookedFor) {
  refused(ErrorKind::not_found, "looked for model.safetensors");
  put_file(t_ / "pytorch_model.bin", "x");
  refused(ErrorKind::unsupported, "\"pytorch_model.bin\" but no *.safetensors: convert it");
  expect_error(ErrorKind::not_found, "No such file", [&] { open_safetensors_folder(t_ / "none"); });
  expect_error(ErrorKind::not_found, "not a folder",
               [&] { open_safetensors_folder(t_ / "pytorch_model.bin"); });
}

TEST_F(SafetensorsFolder, OpensRealModels) {
  const std::string folder = "../shared/data/models/stories260k";
  if (test::lacks_shared(folder)) GTEST_SKIP() << folder;
  const auto source = open_safetensors_folder(folder);
  EXPECT_EQ(source->get("model.norm.weight").shape(), (Shape{64}));
}

}  // namespace
}  // namespace nibble
