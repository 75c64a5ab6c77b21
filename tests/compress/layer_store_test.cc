// Finished layers in OUT.resume: what was put there is what comes back, or it is done again.
#include "nibble/compress/layer_store.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "nibble/core/error.h"
#include "nibble/core/random.h"
#include "nibble/quant/rtn.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

const std::string kFingerprint = "{\"nibble_version\": \"0.1.0\"}\n";

FinishedWeight finished(const std::string& name, uint64_t seed) {
  PyRandom random(seed);
  std::vector<float> values(8 * 32);
  for (float& v : values) v = static_cast<float>(random.gauss(0, 1));
  const Tensor w = Tensor::from<float>(Shape{8, 32}, values);
  LayerReport report{
      name, 0.1 + static_cast<double>(seed), 1.0 / 3, 0.01, seed == 2, "a \"note\"\x1b"};
  return {name, quantize_rtn(w, parse_scheme("int4:g16"), {}, name), report};
}

bool same_bytes(const Tensor& a, const Tensor& b) {
  return a.bytes() == b.bytes() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

class Layers : public testing::Test {
 protected:
  // Two layers of two weights each.
  void SetUp() override {
    std::vector<std::string> warnings;
    FolderStore store(path(), kFingerprint, false, warnings);
    for (int layer = 0; layer < 2; ++layer) {
      const auto seed = static_cast<uint64_t>(2 * layer);
      store.put(layer, {finished("a", seed), finished("b", seed + 1)});
    }
    reports_ = store.reports();
  }

  // The layers that a second run goes on from.
  int64_t found(const std::string& words = "") {
    std::vector<std::string> warnings;
    const FolderStore store(path(), kFingerprint, true, warnings);
    if (words.empty()) {
      EXPECT_TRUE(warnings.empty()) << warnings.front();
    } else {
      EXPECT_EQ(warnings.size(), 1u);
      EXPECT_NE(warnings.at(0).find(words), std::string::npos) << warnings.at(0);
    }
    return store.layers_found();
  }

  std::string path() const { return folder_ / "out.resume"; }
  std::string file(int layer, const std::string& end) const {
    return path() + "/layer-0000" + std::to_string(layer) + end;
  }

  test::TempFolder folder_;
  std::vector<LayerReport> reports_;
};

TEST_F(Layers, ComeBackAsTheyWere) {
  EXPECT_EQ(found(), 2);
  std::vector<std::string> warnings;
  const FolderStore store(path(), kFingerprint, true, warnings);
  EXPECT_EQ(store.reports(), reports_);
  const QuantizedTensor q = store.get(1, "b", parse_scheme("int4:g16"));
  EXPECT_TRUE(same_bytes(q.codes, finished("b", 3).weight.codes));
  EXPECT_TRUE(same_bytes(q.scales, finished("b", 3).weight.scales));
}

TEST_F(Layers, EveryFlippedByteOfATensorFileIsNoticed) {
  const std::string good = test::get_file(file(1, ".safetensors"));
  for (size_t at = 0; at < good.size(); at += 7) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x04);
    test::put_file(file(1, ".safetensors"), bad);
    std::vector<std::string> warnings;
    const FolderStore store(path(), kFingerprint, true, warnings);
    if (store.layers_found() == 1) {
      ASSERT_EQ(warnings.size(), 1u);
      EXPECT_NE(warnings[0].find("going on from layer 1"), std::string::npos) << warnings[0];
      continue;
    }
    // What stands in the header's spaces or metadata decides nothing.
    const QuantizedTensor q = store.get(1, "b", parse_scheme("int4:g16"));
    EXPECT_TRUE(same_bytes(q.codes, finished("b", 3).weight.codes)) << at;
  }
}

TEST_F(Layers, AChangedReportIsNoticed) {
  const std::string good = test::get_file(file(0, ".json"));
  std::string bad = good;
  bad.replace(bad.find("0.1"), 3, "0.2");
  test::put_file(file(0, ".json"), bad);
  EXPECT_EQ(found("the checksum of this layer does not match"), 0);
}

TEST_F(Layers, LayersThatChangedPlacesAreNoticed) {
  for (const char* end : {".json", ".safetensors"}) {
    fs::rename(file(0, end), folder_ / "aside");
    fs::rename(file(1, end), file(0, end));
    fs::rename(folder_ / "aside", file(1, end));
  }
  EXPECT_EQ(found("the checksum of this layer does not match"), 0);
}

TEST_F(Layers, TensorsOfAnotherLayerAreNoticed) {
  fs::copy_file(file(1, ".safetensors"), file(0, ".safetensors"),
                fs::copy_options::overwrite_existing);
  EXPECT_EQ(found("the checksum of this layer does not match"), 0);
}

TEST_F(Layers, AReportWithoutChecksumIsNotBelieved) {
  std::string bad = test::get_file(file(0, ".json"));
  const size_t begin = bad.find("\"hash\""), end = bad.find('\n', begin);
  test::put_file(file(0, ".json"), bad.erase(begin, end - begin));
  EXPECT_EQ(found("the checksum of this layer does not match"), 0);
}

TEST_F(Layers, OnlyWhatARunPutThereIsRemoved) {
  test::put_file(path() + "/notes.txt", "mine");
  std::vector<std::string> warnings;
  FolderStore store(path(), kFingerprint, true, warnings);
  store.remove();
  EXPECT_EQ(test::get_file(path() + "/notes.txt"), "mine");
  EXPECT_EQ(std::distance(fs::directory_iterator(path()), {}), 1);
}

TEST(ForeignResume, IsRefused) {
  const test::TempFolder folder;
  const std::string path = folder / "out.resume";
  const auto refused = [&] {
    std::vector<std::string> warnings;
    test::expect_error(IoCause::cannot_create, "out.resume",
                       [&] { FolderStore(path, kFingerprint, false, warnings); });
  };
  test::put_file(path, "mine");
  refused();
  fs::remove(path);
  fs::create_symlink(folder.path(), path);
  refused();
  fs::remove(path);
  fs::create_directory(path);
  EXPECT_NO_THROW(FolderStore::refuse_foreign(path)) << "empty";
  test::put_file(path + "/fingerprint.txt.nibble.tmp.7", "");
  EXPECT_NO_THROW(FolderStore::refuse_foreign(path)) << "killed as it began";
  test::put_file(path + "/thesis.txt", "mine");
  refused();
  test::put_file(path + "/fingerprint.txt", kFingerprint);
  EXPECT_NO_THROW(FolderStore::refuse_foreign(path)) << "known by its fingerprint";
  test::put_file(path + "/fingerprint.txt", "whorls and loops");
  refused();
}

}  // namespace
}  // namespace nibble
