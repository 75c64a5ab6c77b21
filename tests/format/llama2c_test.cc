// Headers that lie (BAD_INPUTS L1 to L3); whole models are tests/model/llama2c_model_test.cc.
#include "nibble/format/llama2c.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "nibble/core/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"

namespace nibble {
namespace {

using test::expect_error;

constexpr int32_t kLowest = std::numeric_limits<int32_t>::min();
constexpr int32_t kHighest = std::numeric_limits<int32_t>::max();

// dim 8, hidden 12, 2 layers, 2 heads, 1 kv head, vocabulary 5, context 4.
struct Header {
  int32_t sizes[7] = {8, 12, 2, 2, 1, 5, 4};
  int version = 0;
  uint8_t tied = 1;
  int32_t group = 4;

  // Weights of zero behind it.
  std::string file(int64_t missing = 0) const {
    std::string out;
    const auto put = [&](auto v) { out.append(reinterpret_cast<const char*>(&v), sizeof v); };
    if (version != 0) put(uint32_t{0x616b3432}), put(int32_t{version});
    for (const int32_t s : sizes) put(s);
    if (version != 0) {
      put(tied);
      if (version == 2) put(group);
      out.resize(256);
    }
    const int64_t norms = 8 * (2 * 2 + 1), matrices = 5 * 8 + 2 * (8 * 8 * 2 + 4 * 8 * 2 + 3 * 96);
    const int64_t head = tied == 1 && sizes[5] > 0 ? 0 : 40;
    int64_t bytes = 4 * (norms + matrices + head);
    if (version == 0) bytes += 4 * 4 * 4;
    if (version == 2) bytes = 4 * norms + (matrices + head) + (matrices + head) / 4 * 4;
    out.resize(out.size() + static_cast<size_t>(bytes - missing));
    return out;
  }
};

class Llama2c : public testing::Test {
 protected:
  std::string put(const std::string& bytes) {
    const std::string path = folder_ / "model.bin";
    test::put_file(path, bytes);
    return path;
  }
  void refuses(std::string_view words, const std::string& bytes) {
    const std::string path = put(bytes);
    expect_error(test::bad_file(), words, [&] { open_llama2c(path); });
  }
  test::TempFolder folder_;
};

TEST_F(Llama2c, OpensEveryVersion) {
  for (const int version : {0, 1, 2}) {
    Header h;
    h.version = version;
    const Llama2cFile file = open_llama2c(put(h.file()));
    EXPECT_EQ(file.header.version, version);
    EXPECT_EQ(file.header.vocab_size, 5);
    EXPECT_TRUE(file.header.tied);
    EXPECT_EQ(file.header.group, version == 2 ? 4 : 0);
    for (const std::string name : {"model.layers.1.mlp.up_proj.weight", "model.norm.weight"}) {
      const StoredAs stored = file.weights->stored_as(name);
      const Weight w = file.weights->get(name);
      EXPECT_EQ(w.is_quantized(), version == 2 && name.starts_with("model.layers"));
      EXPECT_EQ(stored.scheme.has_value(), w.is_quantized());
      EXPECT_EQ(w.shape(), w.shape().rank() == 1 ? Shape{8} : Shape({12, 8})) << name;
      file.weights->release(name);
    }
    expect_error(ErrorKind::not_found, "no such tensor", [&] { file.weights->get("x"); });
  }
  Header untied;
  untied.sizes[5] = -5;
  EXPECT_FALSE(open_llama2c(put(untied.file())).header.tied);
}

TEST_F(Llama2c, RefusesSizesNoModelHas) {
  for (const int version : {0, 1, 2}) {
    for (int field = 0; field < 7; ++field) {
      for (const int32_t value : {0, -1, kHighest, kLowest}) {
        if (version == 0 && field == 5 && value == -1) continue;  // one token, untied
        Header h;
        h.version = version;
        const std::string good = h.file();
        h.sizes[field] = value;
        std::string bad = h.file();
        bad.resize(good.size());
        refuses("header field", bad);
      }
    }
  }
}

TEST_F(Llama2c, RefusesHeadsThatDoNotDivide) {
  Header h;
  h.sizes[3] = 3;
  refuses("3 heads", h.file());
  h.sizes[3] = 8;  // one element a head: no pairs
  refuses("8 heads", h.file());
  h.sizes[3] = 4, h.sizes[4] = 3;
  refuses("3 key/value heads", h.file());
  h.sizes[4] = 5;
  refuses("n_kv_heads", h.file());
}

TEST_F(Llama2c, SaysHowLongTheFileShouldBe) {
  for (const int version : {0, 1, 2}) {
    Header h;
    h.version = version;
    const size_t right = h.file().size();
    const std::string expected = "expected " + std::to_string(right) + " bytes";
    refuses(expected, h.file(4));
    refuses(expected, h.file(-4));
    refuses(std::to_string(right + 4), h.file(-4));
  }
}

TEST_F(Llama2c, RefusesOddHeaders) {
  Header h;
  h.version = 3;
  refuses("version 3", h.file());
  h.version = 2;
  for (const int32_t group : {0, -4, 3, 8, kLowest}) {  // 8 divides 8, but not 12
    h.group = group;
    refuses("group", h.file());
  }
  h.group = 4;
  h.tied = 7;
  refuses("shared_classifier", h.file());
  refuses("", "");
  refuses("", std::string("\x08\0\0", 3));
}

TEST_F(Llama2c, CutAnywhereIsRefused) {
  for (const int version : {0, 1, 2}) {
    Header h;
    h.version = version;
    const std::string whole = h.file();
    for (size_t size = 0; size < whole.size(); size += size < 300 ? 1 : 61)
      refuses("", whole.substr(0, size));
  }
}

TEST_F(Llama2c, KnowsOtherContainers) {
  refuses("zip", std::string("PK\x03\x04") + std::string(100, 'x'));
  refuses("pickle", std::string("\x80\x02}q\x01") + std::string(100, 'x'));
}

}  // namespace
}  // namespace nibble
