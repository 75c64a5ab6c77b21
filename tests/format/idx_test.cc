#include "nibble/format/idx.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <filesystem>

#include "nibble/core/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/shared.h"
#include "tests/support/temp_folder.h"

namespace nibble {
namespace {

using namespace std::literals;
using test::expect_error;
using test::put_file;
using test::TempFolder;

std::string gzipped(std::string_view text) {
  z_stream s = {};
  EXPECT_EQ(deflateInit2(&s, 9, Z_DEFLATED, 16 + MAX_WBITS, 9, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&s, text.size()) + 64, '\0');
  s.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  s.avail_in = static_cast<uInt>(text.size());
  s.next_out = reinterpret_cast<Bytef*>(out.data());
  s.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&s, Z_FINISH), Z_STREAM_END);
  out.resize(s.total_out);
  deflateEnd(&s);
  return out;
}

std::string be32(uint32_t v) {
  return {static_cast<char>(v >> 24), static_cast<char>(v >> 16), static_cast<char>(v >> 8),
          static_cast<char>(v)};
}

std::string idx(std::vector<uint32_t> dims, std::string_view data) {
  std::string out = be32(0x0800 | static_cast<uint32_t>(dims.size()));
  for (const uint32_t d : dims) out += be32(d);
  return out + std::string(data);
}

class Idx : public testing::Test {
 protected:
  IdxData load(std::string_view bytes) {
    put_file(t_ / "x", bytes);
    return read_idx(t_ / "x");
  }
  void refused(std::string_view bytes, std::string_view words) {
    expect_error(test::bad_file(), words, [&] { load(bytes); });
  }
  TempFolder t_;
};

TEST_F(Idx, ReadsPlainAndGzipped) {
  const std::string file = idx({2, 3}, "abcdef");
  for (const std::string& bytes : {file, gzipped(file)}) {
    const IdxData x = load(bytes);
    EXPECT_EQ(x.shape, (Shape{2, 3}));
    EXPECT_EQ(std::string(x.values.begin(), x.values.end()), "abcdef");
  }
  EXPECT_EQ(load(idx({0, 28, 28}, "")).values.size(), 0u);
  EXPECT_EQ(load(gzipped(idx({0}, ""))).values.size(), 0u);
}

TEST_F(Idx, EveryTruncationAndExtensionIsRefused) {
  for (const std::string& good : {idx({2, 3}, "abcdef"), gzipped(idx({2, 3}, "abcdef"))}) {
    for (size_t n = 0; n < good.size(); ++n) refused(good.substr(0, n), "/x: ");
    refused(good + "x", "/x: ");
  }
  refused(gzipped(idx({2, 3}, "abcdefg")), "the file has more");
  refused(gzipped(idx({2, 3}, "abcde")), "needs 6 bytes of data, the file has 5");
}

TEST_F(Idx, EveryBitFlipOfTheGzipStreamLoadsOrIsRefused) {
  const std::string good = gzipped(idx({2, 3}, "abcdef"));
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    try {
      EXPECT_EQ(load(bad).values.size(), 6u);
    } catch (const Error& e) {
      EXPECT_TRUE(test::bad_file().fits(e)) << e.what();
    }
  }
}

TEST_F(Idx, RefusesWhatIsNotIdx) {
  refused("", "offset 0: the magic number");
  refused("\0\0\x0d\1\0\0\0\1\0\0\0\0"sv, "type 0x0d");
  refused("\0\0\x08\0"sv, "0 dimensions");
  refused("\0\0\x08\x09"sv, "9 dimensions");
  refused("\0\1\x08\1"sv, "not an IDX file");
  refused("<html></html>", "HTML page");
  refused(gzipped("nothing of the kind"), "not an IDX file");
}

TEST_F(Idx, AllocatesNothingForALie) {
  const uint32_t most = UINT32_MAX;
  refused(idx({most, most, most}, "x"), "more elements than 64 bits");
  refused(idx({most, most / 2}, "x"), "the file has 1");
  refused(gzipped(idx({most, most / 2}, "x")), "compressed");
}

TEST_F(Idx, ABombStaysSmall) {
  // 64 MiB of zeros that the header does not announce
  refused(gzipped(idx({10}, std::string(64 << 20, '\0'))), "the file has more");
}

TEST_F(Idx, FindsMnist) {
  const auto touch = [&](const char* name) { put_file(t_ / name, ""); };
  expect_error(ErrorKind::not_found, "looked for train-images-idx3-ubyte",
               [&] { find_mnist(t_.path()); });
  touch("t10k-images-idx3-ubyte.gz");
  touch("train-images-idx3-ubyte");
  expect_error(ErrorKind::not_found, "found no such pair", [&] { find_mnist(t_.path()); });
  touch("t10k-labels.idx1-ubyte");
  EXPECT_EQ(find_mnist(t_.path()).images, t_ / "t10k-images-idx3-ubyte.gz");
  EXPECT_EQ(find_mnist(t_.path()).labels, t_ / "t10k-labels.idx1-ubyte");
  touch("train-labels-idx1-ubyte.gz");
  EXPECT_EQ(find_mnist(t_.path()).images, t_ / "train-images-idx3-ubyte");
  expect_error(ErrorKind::not_found, "none", [&] { find_mnist(t_ / "none"); });
}

TEST_F(Idx, ReadsMnistItself) {
  const std::string folder = "../shared/data/mnist";
  if (test::lacks_shared(folder)) GTEST_SKIP() << folder;
  const MnistPaths paths = find_mnist(folder);
  const IdxData images = read_idx(paths.images), labels = read_idx(paths.labels);
  EXPECT_EQ(images.shape, (Shape{10000, 28, 28}));
  EXPECT_EQ(labels.shape, (Shape{10000}));
  EXPECT_EQ(std::vector<uint8_t>(labels.values.begin(), labels.values.begin() + 4),
            (std::vector<uint8_t>{7, 2, 1, 0}));
}

}  // namespace
}  // namespace nibble
