// GGUF files cut anywhere and with any bit of the header flipped (BAD_INPUTS G13, G14): an Error or
// what still makes sense, never a crash.
#include <gtest/gtest.h>

#include "nibble/format/gguf_file.h"
#include "tests/support/expect_error.h"
#include "tests/support/gguf_bytes.h"
#include "tests/support/temp_folder.h"

namespace nibble {
namespace {

using test::GgufBytes;
using test::little;

// A value of every type and arrays of some; tensors plain, in blocks, empty and without extents.
GgufBytes varied() {
  GgufBytes out;
  out.string("general.architecture", "llama").u32("general.alignment", 32);
  out.raw("u8", 0, "\1").raw("i8", 1, "\xFF").raw("u16", 2, little(uint16_t{1}));
  out.raw("i16", 3, little(int16_t{-1})).raw("i32", 5, little(-1)).f32("f32", 0.5f);
  out.boolean("bool", true).raw("u64", 10, little(uint64_t{1})).raw("i64", 11, little(int64_t{-1}));
  out.raw("f64", 12, little(0.5)).strings("tokens", {"a", "", "bc"}).f32s("scores", {1, 2});
  out.i32s("types", {1, 2, 3}).array("none", 8, 0, "").array("flags", 7, 2, "\1\1");
  out.f32_tensor("plain", {3, 2}, {1, 2, 3, 4, 5, 6})
      .tensor("half", {2}, 1, std::string("\0<\0<", 4));
  out.tensor("q8", {32, 2}, 8, std::string(68, '\1'))
      .tensor("k4", {256, 1}, 12, std::string(144, '\1'));
  out.tensor("whole", {4}, 24, "abcd").f32_tensor("empty", {0}, {}).f32_tensor("one", {}, {1});
  out.tensor("codebook", {256, 1}, 17, std::string(74, '\1'))
      .tensor("unread", {256}, 15, std::string(292, '\1'))
      .f32_tensor("cube", {2, 1, 2}, {1, 2, 3, 4});
  return out;
}

// Everything that can be asked of a file.
void read_all(const std::string& path) {
  const GgufFile file = GgufFile::open(path);
  for (const auto& [key, value] : file.metadata().list()) (void)for_people(value);
  (void)file.metadata().string("general.architecture");
  (void)file.metadata().strings("tokens");
  (void)file.metadata().floats("scores");
  (void)file.metadata().integers("types");
  file.require_data();
  for (const GgufTensor& t : file.tensors()) {
    if (!t.type->is_readable() || t.shape.elements() == 0) continue;
    const int64_t columns = t.shape.rank() == 0 ? 1 : t.shape[t.shape.rank() - 1];
    const Weight w = gguf_weight(t, {0, t.shape.elements() / columns});
    if (w.is_quantized()) (void)w.values();
  }
}

class GgufDamage : public testing::Test {
 protected:
  std::string kind_of(const std::string& bytes) {
    test::put_file(path_, bytes);
    return test::kind_of([&] { read_all(path_); });
  }
  test::TempFolder folder_;
  std::string path_ = folder_ / "model.gguf";
};

TEST_F(GgufDamage, G13CutAnywhereIsRefused) {
  const std::string whole = varied().bytes();
  EXPECT_EQ(kind_of(whole), "");
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_NE(kind_of(whole.substr(0, size)), "") << size << " of " << whole.size();
}

TEST_F(GgufDamage, G14AnyBitFlippedIsRefusedOrRead) {
  std::string bytes = varied().bytes();
  const size_t header = varied().header().size();
  int refused = 0;
  for (size_t i = 0; i < 8 * header; ++i) {
    const char bit = static_cast<char>(1 << (i % 8));
    bytes[i / 8] ^= bit;
    if (const std::string kind = kind_of(bytes); !kind.empty()) {
      EXPECT_TRUE(kind == "corrupt" || kind == "unsupported") << kind << " for bit " << i;
      ++refused;
    }
    bytes[i / 8] ^= bit;
  }
  EXPECT_GT(refused, static_cast<int>(header));
}

}  // namespace
}  // namespace nibble
