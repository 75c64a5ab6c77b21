#include "nibble/format/safetensors.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>

#include "nibble/core/error.h"
#include "tests/format/bad_files.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"

namespace nibble {
namespace {

using namespace std::literals;
using test::entry;
using test::expect_error;
using test::get_file;
using test::le64;
using test::put_file;
using test::safetensors_file;
using test::TempFolder;

class Safetensors : public testing::Test {
 protected:
  std::unique_ptr<TensorSource> load(std::string_view bytes) {
    put_file(path_, bytes);
    return open_safetensors(path_);
  }
  void refused(std::string_view bytes, std::string_view words) {
    expect_error(test::bad_file(), words, [&] { load(bytes); });
  }
  void header_refused(std::string_view header, std::string_view words) {
    refused(safetensors_file(header, std::string(16, 'x')), words);
  }
  TempFolder t_;
  std::string path_ = t_ / "model.safetensors";
};

std::string good_file() {
  return safetensors_file(
      "{" + entry("a", "F32", "[2]", "[0,8]") + "," + entry("b", "U8", "[4]", "[8,12]") + "}",
      std::string(12, 'x'));
}

TEST_F(Safetensors, S1TooSmall) {
  refused("", "header too small (need 8 bytes, have 0)");
  refused("1234567", "header too small (need 8 bytes, have 7)");
}

TEST_F(Safetensors, S2HeaderLengthOverTheLimit) {
  for (const uint64_t n : {uint64_t{1} << 63, UINT64_MAX, uint64_t{100'000'001}})
    refused(le64(n) + "{}", "over the limit 100000000");
}

TEST_F(Safetensors, S3HeaderBehindTheEnd) {
  refused(le64(1000) + std::string(52, ' '), "runs past the end of the file");
}

TEST_F(Safetensors, S4InvalidUtf8) {
  header_refused("\xff", "offset 8: not valid JSON: invalid UTF-8");
  header_refused("{\"\xc0\x80\":1}", "UTF-8");
  header_refused(R"({"\ud800":1})", "surrogate");
}

TEST_F(Safetensors, S5NotAJsonObject) {
  header_refused("", "the header is empty");
  header_refused("{", "offset 9: not valid JSON");
  header_refused("[]", "not a JSON object");
  header_refused("null", "not a JSON object");
  header_refused(std::string(1 << 20, '['), "not a JSON object");
  header_refused("{} x", "not valid JSON");
  header_refused("{}\0"sv, "NUL");
  std::string deep;
  for (int i = 0; i < 100; ++i) deep += R"({"x":)";
  header_refused(R"({"a":{"later":)" + deep, "deeper than 64");
}

TEST_F(Safetensors, S6DuplicateKeys) {
  const std::string a = entry("a", "U8", "[8]", "[0,8]"), b = entry("b", "U8", "[8]", "[8,16]");
  header_refused("{" + a + "," + b + "," + a + "}", "duplicate key \"a\"");
  header_refused(R"({"a":{"dtype":"U8","shape":[16],"shape":[16],"data_offsets":[0,16]}})",
                 "duplicate key \"shape\"");
  header_refused(R"({"__metadata__":{},"__metadata__":{}})", "duplicate key \"__metadata__\"");
}

TEST_F(Safetensors, S7Offsets) {
  const auto one = [&](std::string_view offsets, std::string_view words) {
    header_refused("{" + entry("t", "U8", "[16]", offsets) + "}", words);
  };
  const auto two = [&](std::string_view a, std::string_view b, std::string_view words) {
    header_refused("{" + entry("a", "U8", "[8]", a) + "," + entry("b", "U8", "[8]", b) + "}",
                   words);
  };
  two("[0,8]", "[9,17]", "tensor \"b\": data_offsets [9, 17] leave a hole");
  two("[0,8]", "[4,12]", "tensor \"b\": data_offsets [4, 12] overlap");
  one("[1,17]", "leave a hole");
  one("[16,0]", "before they begin");
  one("[-1,15]", "tensor \"t\": data_offsets: found the number -1");
  one("[0,1e1]", "found the number 1e1");
  one("[0,16.0]", "found the number 16.0");
  one("[0,\"16\"]", "found a string");
  one("[0]", "has 1 numbers, expected 2");
  one("[0,8,16]", "has 3 numbers, expected 2");
  one("16", "data_offsets: found the number 16");
  one("[[0,16]]", "found an array");
  one("null", "found null");
}

TEST_F(Safetensors, S8SizeOverflow) {
  const auto shape = [&](std::string_view s, std::string_view words) {
    header_refused("{" + entry("t", "U8", s, "[0,16]") + "}", words);
  };
  shape("[2,18446744073709551614]", "tensor \"t\": size overflow");
  shape("[2,9223372036854775807]", "size overflow");
  shape("[4294967296,4294967296]", "size overflow");
  shape("[36893488147419103232]", "found the number 36893488147419103232");
  shape("[-1,-16]", "found the number -1");
  std::string many = "[1";
  for (int i = 0; i < 9999; ++i) many += ",1";
  shape(many + "]", "more than 8 dimensions");
}

TEST_F(Safetensors, S9SizeMismatch) {
  header_refused("{" + entry("t", "F32", "[3]", "[0,16]") + "}",
                 "need 12 bytes, data_offsets [0, 16] give it 16");
  header_refused("{" + entry("t", "U8", "[0,9]", "[0,16]") + "}", "need 0 bytes");
}

TEST_F(Safetensors, S10Dtype) {
  header_refused("{" + entry("t", "F12", "[16]", "[0,16]") + "}",
                 "tensor \"t\": dtype \"F12\" is not supported");
  header_refused("{" + entry("t", "F4", "[3]", "[0,2]") + "}", "dtype \"F4\" is not supported");
  header_refused(R"({"t":{"dtype":3,"shape":[16],"data_offsets":[0,16]}})", "dtype: found");
  header_refused(R"({"t":{"shape":[16],"data_offsets":[0,16]}})", "dtype is missing");
  header_refused(R"({"t":{"dtype":"U8","data_offsets":[0,16]}})", "shape is missing");
  header_refused(R"({"t":{"dtype":"U8","shape":[16]}})", "data_offsets is missing");
  header_refused(R"({"t":[]})", "tensor \"t\": is an array, expected an object");
}

TEST_F(Safetensors, S11TrailingOrMissingBytes) {
  refused(good_file() + std::string(34, 'x'), "34 extra bytes");
  refused(good_file().substr(0, good_file().size() - 2), "2 bytes missing (incomplete download?)");
  refused(safetensors_file("{}", "x"), "1 extra bytes");
}

// S12: a million tensors that all own the same bytes, refused fast and in little memory.
TEST_F(Safetensors, S12AMillionOverlaps) {
  std::string header = "{";
  for (int i = 0; i < 1'000'000; ++i) {
    const std::string n = std::to_string(10'000'000 + i);
    header += (i == 0 ? "" : ",") + entry("model.layers." + n + ".mlp", "F32", "[4]", "[0,16]");
  }
  [[maybe_unused]] const size_t size = header.size() + 1 + 16 + 8;
  put_file(path_, safetensors_file(header + "}", std::string(16, 'x')));
  header = {};
  // In a process of its own, whose memory nobody else has filled before.
  const auto start = std::chrono::steady_clock::now();
  FILE* child = popen((NIBBLE_OPEN_SAFETENSORS " " + path_).c_str(), "r");
  ASSERT_NE(child, nullptr);
  char kind[32] = "";
  long peak_kib = 0;
  ASSERT_EQ(fscanf(child, "%31s %ld", kind, &peak_kib), 2);
  ASSERT_EQ(pclose(child), 0);
  EXPECT_STREQ(kind, "corrupt");
#ifndef __SANITIZE_ADDRESS__  // which keeps memory of its own
  EXPECT_GT(peak_kib, 0);
  EXPECT_LE(static_cast<size_t>(peak_kib) * 1024, 2 * size + (64 << 20));
#endif
  // Generous: this also runs under sanitizers, on busy machines. O(n^2) would take an hour.
  EXPECT_LT(std::chrono::steady_clock::now() - start, 30s);
}

TEST_F(Safetensors, S13MetadataHoldsStringsOnly) {
  header_refused(R"({"__metadata__":{"a":1}})", "nothing but strings");
  header_refused(R"({"__metadata__":{"a":{"b":"c"}}})", "nothing but strings");
  header_refused(R"({"__metadata__":["a"]})", "expected an object");
  header_refused(R"({"__metadata__":"a"})", "expected an object");
}

TEST_F(Safetensors, S14Names) {
  const auto named = [](std::string_view name) {
    return "{" + entry(name, "U8", "[16]", "[0,16]") + "}";
  };
  header_refused(named(""), "name is empty");
  header_refused(named(R"(a\u0000b)"), "holds a NUL");
  header_refused(named(std::string(1 << 20, 'n')), "a name of 1048576 bytes, limit 4096");
  const auto odd = load(safetensors_file(named(R"(../x\n\u001b)"), std::string(16, 'x')));
  EXPECT_EQ(odd->list()[0].name, "../x\n\x1b");
  header_refused("{" + entry(R"(\n\u001b)", "U8", "[1]", "[0,16]") + "}", R"(tensor "\x0a\x1b")");
}

TEST_F(Safetensors, S15LegalOddities) {
  // Rank 0, an empty shape, blanks before and behind, data at an odd address, another order of keys
  // and of tensors, a field of the future.
  const std::string header =
      " \n{" + entry("late", "F32", "[1]", "[5,9]") +
      R"(,"scalar":{"data_offsets":[1,5],"shape":[],)" +
      R"("dtype":"F32","later":{"x":[1,{"y":null}]}},)" + entry("none", "F64", "[0,3]", "[9,9]") +
      "," + entry("byte", "BOOL", "[1]", "[0,1]") + R"(,"__metadata__":{"format":"pt"}}   )";
  std::string data = "\x01";
  for (const float v : {2.5f, -1.0f}) {
    char bytes[4];
    std::memcpy(bytes, &v, 4);
    data.append(bytes, 4);
  }
  const auto source = load(safetensors_file(header, data));
  ASSERT_EQ(source->list().size(), 4u);
  EXPECT_EQ(source->list()[0].name, "byte");  // file order
  EXPECT_EQ(source->list()[3].name, "none");
  EXPECT_EQ(source->get("scalar").shape(), Shape{});
  EXPECT_EQ(source->get("scalar").data<float>()[0], 2.5f);
  EXPECT_EQ(source->get("late").data<float>()[0], -1.0f);
  EXPECT_EQ(source->get("none").elements(), 0);
  EXPECT_EQ(source->file_bytes(), static_cast<int64_t>(get_file(path_).size()));
  EXPECT_EQ(load(safetensors_file("{}"))->list().size(), 0u);
}

TEST_F(Safetensors, S16AndX1OtherFilesAreCalledByTheirName) {
  refused("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS pointer");
  refused("<!DOCTYPE html><html>", "HTML page");
  refused("\n <HTML><body>404</body>", "HTML page");
  refused("PK\x03\x04\x14\0\0\0\0\0"sv, "zip container");
  refused("\x80\x02}q\0X\4\0\0\0"sv, "Python pickle");
  refused("\x1f\x8b\x08\0\0\0\0\0\0\3"sv, "gzip");
  refused("\x89HDF\r\n\x1a\n0000", "HDF5");
  refused("GGUF\3\0\0\0\0\0\0\0"sv, "GGUF");
  refused("\x08\x07\x12\x07pytorch\x1a\x05", "ONNX");
  refused("{\"a\": 1, \"b\": 2}", "JSON document");
  expect_error(ErrorKind::not_found, "is a folder", [&] { open_safetensors(t_.path()); });
  expect_error(ErrorKind::not_found, "none", [&] { open_safetensors(t_ / "none"); });
}

TEST_F(Safetensors, ATruncatedFileIsNotTakenForAPickle) {
  std::string header = "{" + entry("a", "U8", "[8]", "[0,8]") + "}";
  header.resize(0x280, ' ');  // its length begins as a pickle does
  refused(le64(header.size()) + header.substr(0, 100), "runs past the end");
}

TEST_F(Safetensors, EveryTruncationIsRefused) {
  const std::string good = good_file();
  EXPECT_NO_THROW(load(good));
  for (size_t n = 0; n < good.size(); ++n) refused(good.substr(0, n), path_);
}

TEST_F(Safetensors, EveryBitFlipLoadsOrIsRefused) {
  const std::string good = good_file();
  int refusals = 0;
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    try {
      const auto source = load(bad);
      for (const TensorInfo& info : source->list())
        EXPECT_EQ(source->get(info.name).shape(), info.shape);
    } catch (const Error& e) {
      EXPECT_TRUE(test::bad_file().fits(e)) << e.what();
      ++refusals;
    }
  }
  EXPECT_GT(refusals, 500);
}

TEST_F(Safetensors, NamesTheTensorThatIsAbsent) {
  const auto source = load(good_file());
  EXPECT_TRUE(source->contains("a"));
  EXPECT_FALSE(source->contains("c"));
  expect_error(ErrorKind::not_found, "tensor \"c\": no such tensor", [&] { source->get("c"); });
}

TEST_F(Safetensors, TellsThatTheFileChanged) {  // O10
  const auto source = load(good_file());
  put_file(path_, good_file() + "more");
  expect_error(ErrorKind::io, "changed while it was being read", [&] { source->get("a"); });
  expect_error(ErrorKind::io, "changed while it was being read", [&] { source->release("a"); });
}

TEST_F(Safetensors, WritesWhatItReads) {
  const std::vector<int64_t> ints = {1, -2};
  const std::vector<NamedTensor> tensors = {
      {"b\"\n\xc3\xa9", Tensor::from<uint8_t>(Shape{3}, std::vector<uint8_t>{1, 2, 3})},
      {"a", Tensor::from<int64_t>(Shape{1, 2}, ints)},
      {"empty", Tensor(DType::bf16, Shape{0, 4})},
      {"scalar", Tensor(DType::f16, Shape{})}};
  write_safetensors(path_, tensors, {{"made by", "a test"}});
  const std::string bytes = get_file(path_);
  uint64_t header = 0;
  std::memcpy(&header, bytes.data(), 8);
  EXPECT_EQ(header % 8, 0u);
  EXPECT_NE(bytes.find(R"({"__metadata__":{"format":"pt","made by":"a test"},)"),
            std::string::npos);
  const auto source = open_safetensors(path_);
  ASSERT_EQ(source->list().size(), 4u);
  for (const NamedTensor& t : tensors) {
    const Tensor back = source->get(t.name);
    EXPECT_EQ(back.dtype(), t.tensor.dtype());
    EXPECT_EQ(back.shape(), t.tensor.shape());
    EXPECT_TRUE(std::equal(back.raw(), back.raw() + back.bytes(), t.tensor.raw()));
  }
  EXPECT_EQ(t_.size(), 1u);
}

TEST_F(Safetensors, WritesNothingThatItWouldRefuse) {
  const Tensor x(DType::u8, Shape{1});
  for (const std::string& name : {""s, "a\0b"s, "__metadata__"s, "\xff"s, std::string(5000, 'n')}) {
    expect_error(ErrorKind::invalid_argument, "", [&] { write_safetensors(path_, {{name, x}}); });
  }
  expect_error(ErrorKind::invalid_argument, "two tensors", [&] {
    write_safetensors(path_, {{"a", x}, {"a", x}});
  });
  expect_error(ErrorKind::invalid_argument, "9 dimensions", [&] {
    write_safetensors(path_, {{"a", Tensor(DType::u8, Shape{1, 1, 1, 1, 1, 1, 1, 1, 1})}});
  });
  EXPECT_EQ(t_.size(), 0u);
}

TEST_F(Safetensors, RefusesToWriteAHeaderOverTheLimit) {
  const Tensor x(DType::u8, Shape{1});
  std::vector<NamedTensor> tensors;
  for (int i = 0; i < 25'000; ++i)
    tensors.push_back({std::string(4080, 'n') + std::to_string(i), x});
  expect_error(ErrorKind::invalid_argument, "limit is 100000000",
               [&] { write_safetensors(path_, tensors); });
  EXPECT_EQ(t_.size(), 0u);
}

RC_GTEST_FIXTURE_PROP(Safetensors, AnyTensorsReadBackTheSame,
                      (const std::vector<std::pair<uint8_t, std::vector<uint8_t>>>& drawn)) {
  std::vector<NamedTensor> tensors;
  for (size_t i = 0; i < drawn.size(); ++i) {
    const auto dtype = static_cast<DType>(drawn[i].first % 15);
    const auto n = static_cast<int64_t>(drawn[i].second.size()) / size_of(dtype);
    Tensor x(dtype, Shape{n, 1});
    if (n > 0) std::memcpy(x.mutable_raw(), drawn[i].second.data(), x.bytes());
    tensors.push_back({"t" + std::to_string(i), std::move(x)});
  }
  write_safetensors(path_, tensors);
  const auto source = open_safetensors(path_);
  RC_ASSERT(source->list().size() == tensors.size());
  for (const NamedTensor& t : tensors) {
    const Tensor back = source->get(t.name);
    RC_ASSERT(back.dtype() == t.tensor.dtype() && back.shape() == t.tensor.shape());
    RC_ASSERT(std::equal(back.raw(), back.raw() + back.bytes(), t.tensor.raw()));
  }
}

// Whatever the bytes: an Error or a source, nothing else.
RC_GTEST_FIXTURE_PROP(Safetensors, AnyHeaderLoadsOrIsRefused, (const std::string& noise)) {
  try {
    load(safetensors_file("{" + noise));
  } catch (const Error& e) {
    RC_ASSERT(test::bad_file().fits(e));
  }
}

}  // namespace
}  // namespace nibble
