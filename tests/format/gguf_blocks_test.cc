// Blocks of GGUF's types: what they decode to, by gguf-py and by hand, and that taking one apart
// loses nothing.
#include "tests/support/gguf_blocks.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "nibble/format/gguf_file.h"
#include "nibble/format/gguf_type.h"
#include "nibble/format/gguf_write.h"
#include "nibble/quant/number.h"
#include "tests/quant/float_goldens.h"
#include "tests/support/expect_error.h"
#include "tests/support/gguf_bytes.h"
#include "tests/support/temp_folder.h"

namespace nibble {
namespace {

using test::expect_error;

std::vector<const GgufType*> types_in_blocks() {
  std::vector<const GgufType*> out;
  for (const GgufType& t : gguf_types()) {
    if (t.unpack != nullptr) out.push_back(&t);
  }
  return out;
}

// What a file holds under these bytes, as one row.
Weight weight_of(const GgufType& type, const std::vector<uint8_t>& blocks) {
  const test::TempFolder folder;
  const uint64_t columns =
      blocks.size() / static_cast<size_t>(type.bytes) * static_cast<uint64_t>(type.elements);
  test::GgufBytes file;
  file.tensor("x", {columns, 1}, type.id, {blocks.begin(), blocks.end()});
  test::put_file(folder / "x.gguf", file.bytes());
  const GgufFile opened = GgufFile::open(folder / "x.gguf");
  return gguf_weight(opened.require("x"), {0, 1});
}

const std::vector<size_t>& halves_of(const GgufType& type) {
  for (const test::GgufBlockRow& row : test::gguf_block_rows()) {
    if (row.type == type.name) return row.halves;
  }
  throw std::runtime_error("no row for " + std::string(type.name));
}

std::vector<float> decoded(const GgufType& type, const std::vector<uint8_t>& blocks) {
  const Weight w = weight_of(type, blocks);
  const Tensor values = dequantize(w.quantized());
  const auto v = values.data<float>();
  return {v.begin(), v.end()};
}

TEST(GgufBlocks, DecodeAsGgufPyDoes) {
  std::ifstream in("tests/golden/format/gguf_blocks.json");
  ASSERT_TRUE(in) << "run the tests from the repository root";
  const auto golden = nlohmann::json::parse(in);
  EXPECT_EQ(golden.size(), types_in_blocks().size());
  for (const auto& [name, of] : golden.items()) {
    SCOPED_TRACE(name);
    const GgufType* type = find_gguf_type(name);
    ASSERT_NE(type, nullptr);
    EXPECT_EQ(type->id, of.at("id"));
    EXPECT_EQ(type->elements, of.at("elements"));
    EXPECT_EQ(type->bytes, of.at("bytes"));
    const auto found = decoded(*type, test::bytes_of(of.at("blocks"))),
               expected = test::floats_of(of.at("values"));
    EXPECT_EQ(found, expected);
    // E2M1 has a zero with a sign, which gguf-py's table of whole numbers has not; what is read as
    // (2 - q) (-d) has zeros of the other sign.
    if (name.ends_with("FP4") || name == "TQ2_0" || name == "Q2_0") continue;
    EXPECT_EQ(test::bits_of(found), test::bits_of(expected));
  }
}

// Every row of the codebooks, in some order, with all patterns of signs: FNV-1a of the values'
// bits.
TEST(GgufBlocks, CodebooksAreThoseOfGgufPy) {
  std::ifstream in("tests/golden/format/gguf_codebooks.json");
  ASSERT_TRUE(in) << "run the tests from the repository root";
  const auto golden = nlohmann::json::parse(in);
  EXPECT_EQ(golden.size(), 7u);
  for (const auto& [name, of] : golden.items()) {
    uint64_t hash = 0xCBF29CE484222325;
    for (const uint32_t bits :
         test::bits_of(decoded(*find_gguf_type(name), test::bytes_of(of.at("blocks"))))) {
      for (int byte = 0; byte < 4; ++byte)
        hash = (hash ^ (bits >> (8 * byte) & 0xFF)) * 0x100000001B3;
    }
    EXPECT_EQ(fmt::format("{:016x}", hash), of.at("fnv1a")) << name;
  }
}

// FORMATS section 8: B[i] = (7 i + 3) & 255 with every f16 0.0625, MXFP4's scale 125; y[0], y[1],
// y[16], y[half], y[last], the sum.
struct DecodedRow {
  const char* type;
  std::array<double, 6> y;
};
const DecodedRow kDecoded[] = {
    {"Q4_K", {2.125, 15.6875, 2.125, 1.0, 9.125, 2866.0}},
    {"Q5_K", {33.125, 15.6875, 33.125, 8.0, 7.625, 6156.0}},
    {"Q6_K", {79.5625, 41.875, 87.875, 146.0625, 131.25, -1944.0}},
    {"Q2_K", {.5625, .375, 1.875, 1.875, -.375, 137.75}},
    {"Q3_K", {3.5625, -2.375, 1.875, .375, 3.625, -132.0}},
    {"IQ4_XS", {-2.375, 5.1875, 4.0625, -45.125, -68.875, 264.1875}},
    {"IQ4_NL", {-6.5, .0625, -6.5, -6.5, -.625, -60.5625}},
    {"MXFP4", {-.25, .125, 0, 0, 1.5, 8.375}},
};

TEST(GgufBlocks, DecodeTheVectorsOfTheReference) {
  for (const DecodedRow& row : kDecoded) {
    SCOPED_TRACE(row.type);
    const GgufType& type = *find_gguf_type(row.type);
    std::vector<uint8_t> block(static_cast<size_t>(type.bytes));
    for (size_t i = 0; i < block.size(); ++i) block[i] = static_cast<uint8_t>(7 * i + 3);
    if (type.name == "MXFP4") block[0] = 125;
    constexpr uint16_t kSixteenth = 0x2C00;
    for (const size_t at : halves_of(type)) std::memcpy(&block[at], &kSixteenth, 2);
    const std::vector<float> y = decoded(type, block);
    const double sum = std::accumulate(y.begin(), y.end(), 0.0);
    const std::array<double, 6> found{y[0], y[1], y[16], y[y.size() / 2], y.back(), sum};
    EXPECT_EQ(found, row.y);
  }
}

// FORMATS section 8: x[i] = (((i * 37) % 64) - 31) / 16 as gguf-py encodes it; no value can be
// further off than half a step, but at the end that a scale by one extreme cannot reach.
struct EncodedRow {
  const char *type, *block;
  double farthest;  // from x
};
const EncodedRow kEncoded[] = {
    {"Q8_0", "08248518ad40d467fc9124b94be073089d30c457ec7f14a93cd063f88d20b547dc6f", 0.008},
    {"Q4_0", "00b4cf379d047be248bf269df36ad148ae15", 0.26},
    {"Q4_1", "3334c0bf40d962fb952eb751da730c953ec851ea", 0.132},
    {"Q5_0", "00b0d54aa5568f5d3b08e6b3916e4c19f7c4a27f5d2a", 0.13},
    {"Q5_1", "1130c0bf2ab55aa980a2d5f72a4c7f91c4e6193b6e80b3d5", 0.066},
    {"MXFP4", "7ece519d641bd540bd520ce42ac640ad53", 0.26},
};

TEST(GgufBlocks, DecodeWhatGgufPyEncoded) {
  for (const EncodedRow& row : kEncoded) {
    SCOPED_TRACE(row.type);
    const std::vector<float> y = decoded(*find_gguf_type(row.type), test::bytes_of(row.block));
    ASSERT_EQ(y.size(), 32u);
    for (int i = 0; i < 32; ++i)
      EXPECT_LE(std::fabs(y[static_cast<size_t>(i)] - (i * 37 % 64 - 31) / 16.0), row.farthest)
          << i;
  }
}

// f16 that are no numbers become quiet, and NVFP4's scales have no sign: nothing else is lost.
bool is_spare(const GgufType& type, const std::vector<uint8_t>& block) {
  if (type.name == "NVFP4")
    return std::any_of(block.begin(), block.begin() + 4, [](uint8_t s) { return s >= 0x7F; });
  GgufBlock parts;
  type.unpack(block.data(), parts);
  return type.scale_dtype == DType::i8 &&
         (std::isnan(parts.super_scale) || std::isnan(parts.super_offset));
}

RC_GTEST_PROP(GgufBlocks, TakenApartAndPutTogetherAreTheSameBytes, ()) {
  std::vector<const GgufType*> written = types_in_blocks();
  std::erase_if(written, [](const GgufType* t) { return t->pack == nullptr; });
  const GgufType& type = **rc::gen::elementOf(written);
  const auto block = *rc::gen::container<std::vector<uint8_t>>(static_cast<size_t>(type.bytes),
                                                               rc::gen::arbitrary<uint8_t>());
  RC_PRE(!is_spare(type, block));
  GgufBlock parts;
  type.unpack(block.data(), parts);
  std::vector<uint8_t> back(block.size(), 0xAA);
  type.pack(parts, back.data());
  RC_ASSERT(back == block);
}

// Whatever the bytes, values are finite or the tensor is refused; sanitizers see what is read
// behind a block.
RC_GTEST_PROP(GgufBlocks, AnyBytesAreValuesOrRefused, ()) {
  const GgufType& type = **rc::gen::elementOf(types_in_blocks());
  const auto block = *rc::gen::container<std::vector<uint8_t>>(static_cast<size_t>(type.bytes),
                                                               rc::gen::arbitrary<uint8_t>());
  GgufBlock parts{};
  type.unpack(block.data(), parts);
  for (int64_t i = 0; i < type.elements; ++i) RC_ASSERT(parts.codes[i] >> type.scheme->bits() == 0);
  try {
    const std::vector<float> values = decoded(type, block);
    RC_ASSERT(std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); }));
  } catch (const Error& e) {
    RC_ASSERT(e.kind() == ErrorKind::corrupt);
  }
}

TEST(GgufBlocks, EveryTypeOfTheListIsFoundByNumberAndName) {
  for (const GgufType& t : gguf_types()) {
    EXPECT_EQ(find_gguf_type(t.id), &t);
    EXPECT_EQ(find_gguf_type(t.name), &t);
    EXPECT_GT(t.bytes, 0) << t.name;
    EXPECT_EQ(t.is_readable(), t.plain.has_value() || t.scheme.has_value()) << t.name;
    EXPECT_TRUE(t.unpack != nullptr || t.pack == nullptr) << t.name;
    EXPECT_TRUE(!t.scheme || !number(*t.scheme).only_read || t.pack == nullptr) << t.name;
    EXPECT_LE(t.elements, kLargestGgufBlock) << t.name;
  }
  EXPECT_EQ(find_gguf_type("q4_k"), find_gguf_type(12u));
  for (const uint32_t id : {4u, 5u, 31u, 32u, 33u, 36u, 37u, 38u, 43u, ~0u})
    EXPECT_EQ(find_gguf_type(id), nullptr) << id;
  EXPECT_EQ(find_gguf_type(""), nullptr);
  EXPECT_EQ(find_gguf_type("Q4_K_M"), nullptr);
}

// BAD_INPUTS G19: scales that are no numbers.
TEST(GgufBlocks, ScalesThatAreNotFiniteAreRefusedByName) {
  for (const test::GgufBlockRow& row : test::gguf_block_rows()) {
    SCOPED_TRACE(row.type);
    const GgufType& type = *find_gguf_type(row.type);
    const auto size = static_cast<size_t>(type.bytes);
    const auto refuses = [&](size_t at, const std::string& bytes) {
      std::vector<uint8_t> blocks(2 * size, 1);
      std::copy(bytes.begin(), bytes.end(), blocks.begin() + static_cast<int64_t>(size + at));
      expect_error(ErrorKind::corrupt, "tensor \"x\": ", [&] { weight_of(type, blocks); });
    };
    for (const size_t at : row.halves) {
      for (const uint16_t half : {0x7C00, 0xFC00, 0x7E00, 0x7C01, 0xFFFF})
        refuses(at, test::little(half));
    }
    if (row.type == "MXFP4") refuses(0, "\xFF");
    // Its f16 lies in the upper bits of four words.
    if (row.type == "IQ1_M") refuses(49, std::string(7, '\xFF'));
  }
}

TEST(GgufBlocks, SchemesThatAreOnlyReadAreNotWritten) {
  for (const NamedNumber& n : numbers()) {
    if (!n.traits.only_read) continue;
    const QuantScheme scheme = parse_any_scheme(n.traits.name);
    EXPECT_EQ(gguf_type_of(scheme), nullptr);
    expect_error(ErrorKind::invalid_argument, "is read from files and not made",
                 [&] { require_gguf_type(scheme); });
  }
}

TEST(GgufBlocks, TypesThatAreOnlyKnownByNameAreRefused) {
  for (const GgufType& t : gguf_types()) {
    if (t.is_readable()) continue;
    expect_error(ErrorKind::unsupported, std::string(t.name),
                 [&] { weight_of(t, std::vector<uint8_t>(static_cast<size_t>(t.bytes), 0)); });
  }
}

// The same size is said where numbers are described and where files are.
TEST(GgufTypes, AreAsLargeAsTheNumbersTheyHold) {
  for (const GgufType& t : gguf_types()) {
    if (!t.scheme || number(*t.scheme).kind != NumberKind::blocks) continue;
    EXPECT_EQ(t.elements, number(*t.scheme).block.elements) << t.name;
    EXPECT_EQ(t.bytes, number(*t.scheme).block.bytes) << t.name;
  }
}

}  // namespace
}  // namespace nibble
