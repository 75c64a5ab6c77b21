// The compressed-tensors layout: golden words, round trips, and bundles that do not fit.
#include "nibble/format/compressed_tensors.h"

#include <gtest/gtest.h>

#include <cstring>

#include "nibble/core/error.h"
#include "nibble/core/random.h"
#include "nibble/quant/rtn.h"

namespace nibble {
namespace {

Tensor random_matrix(int64_t n, int64_t k, uint64_t seed) {
  PyRandom random(seed);
  Tensor w(DType::f32, Shape{n, k});
  for (float& v : w.mutable_data<float>()) v = static_cast<float>(random.gauss(0, 1));
  return w;
}

MemorySource source_of(const std::vector<NamedTensor>& tensors) {
  TensorMap map;
  for (const NamedTensor& t : tensors) map.emplace(t.name, t.tensor);
  return MemorySource(std::move(map));
}

bool same_bytes(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

// FORMATS section 8: unsigned codes 0..15 packed to 4 bits are the words 76543210 fedcba98.
TEST(CompressedTensors, PacksTheGoldenWords) {
  QuantizedTensor q;
  q.scheme = parse_scheme("int4");
  q.shape = Shape{1, 16};
  q.codes = Tensor(DType::u8, Shape{1, 8});
  std::vector<uint8_t> codes(16);
  for (size_t i = 0; i < 16; ++i) codes[i] = static_cast<uint8_t>(i);
  pack_codes(codes, 4, q.codes.mutable_data<uint8_t>());
  q.scales = Tensor(DType::f32, Shape{1, 1});
  const auto words = source_of(to_tensors("x.weight", q)).get("x.weight_packed");
  EXPECT_EQ(static_cast<uint32_t>(words.data<int32_t>()[0]), 0x76543210u);
  EXPECT_EQ(static_cast<uint32_t>(words.data<int32_t>()[1]), 0xfedcba98u);
}

// The same section: the dense 3-bit stream of i % 8.
TEST(CompressedTensors, PacksThreeBitsDensely) {
  QuantizedTensor q;
  q.scheme = parse_scheme("int3");
  q.shape = Shape{1, 32};
  q.codes = Tensor(DType::u8, Shape{1, 12});
  std::vector<uint8_t> codes(32);
  for (size_t i = 0; i < 32; ++i) codes[i] = static_cast<uint8_t>(i % 8);
  pack_codes(codes, 3, q.codes.mutable_data<uint8_t>());
  q.scales = Tensor(DType::f32, Shape{1, 1});
  const auto words = source_of(to_tensors("x.weight", q)).get("x.weight_packed");
  const uint32_t expected[] = {0x88fac688u, 0xc688fac6u, 0xfac688fau};
  for (size_t i = 0; i < 3; ++i)
    EXPECT_EQ(static_cast<uint32_t>(words.data<int32_t>()[i]), expected[i]);
}

// Zero points are packed down the output axis: row r of column g lies at bit r * b of that column's
// stream.
TEST(CompressedTensors, PacksZeroPointsDownTheOutputs) {
  const QuantizedTensor q =
      quantize_rtn(random_matrix(19, 32, 1), parse_scheme("int4:g16:asym"), {}, "x");
  const auto packed = source_of(to_tensors("x.weight", q)).get("x.weight_zero_point");
  ASSERT_EQ(packed.shape(), (Shape{3, 2}));
  for (int64_t r = 0; r < 19; ++r) {
    for (int64_t g = 0; g < 2; ++g) {
      const auto word =
          static_cast<uint32_t>(packed.data<int32_t>()[static_cast<size_t>(r / 8 * 2 + g)]);
      EXPECT_EQ((word >> (4 * (r % 8))) & 15u,
                q.zeros->data<uint8_t>()[static_cast<size_t>(r * 2 + g)]);
    }
  }
}

class EveryScheme : public testing::TestWithParam<const char*> {};

TEST_P(EveryScheme, ComesBackBitForBit) {
  const QuantScheme scheme = parse_scheme(GetParam());
  for (const int64_t n : {1, 5, 33}) {
    const QuantizedTensor q =
        quantize_rtn(random_matrix(n, 48, 9), scheme, {}, "layers.0.x.weight");
    const auto tensors = to_tensors("layers.0.x.weight", q);
    const QuantizedTensor back = from_tensors(source_of(tensors), "layers.0.x.weight", scheme);
    EXPECT_EQ(back.scheme, q.scheme);
    EXPECT_EQ(back.shape, q.shape);
    EXPECT_TRUE(same_bytes(dequantize(back), dequantize(q)));
    EXPECT_TRUE(same_bytes(back.codes, q.codes));
    const auto layout = tensor_layout("layers.0.x.weight", scheme, q.shape, q.scales.dtype());
    ASSERT_EQ(layout.size(), tensors.size());
    for (size_t i = 0; i < layout.size(); ++i) {
      EXPECT_EQ(layout[i].name, tensors[i].name);
      EXPECT_EQ(layout[i].dtype, tensors[i].tensor.dtype());
      EXPECT_EQ(layout[i].shape, tensors[i].tensor.shape());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Schemes, EveryScheme,
                         testing::Values("int8", "int8:tensor", "int8:g16", "int8:asym", "int8:a8",
                                         "int8:tensor:a8", "int8:g16:a8", "int8:asym:a8", "int4",
                                         "int4:g16", "int4:g16:asym", "int4:g16:asym:a8",
                                         "int4:tensor:asym", "int3:g16", "int2:g16:asym", "int5",
                                         "int6:g24:asym", "int7"));

TEST(CompressedTensors, ConfigComesBack) {
  SchemeMap schemes{{"a", parse_scheme("int8")},
                    {"b", parse_scheme("int4:g16:asym")},
                    {"c", parse_scheme("int8:a8")},
                    {"d", parse_scheme("int8")}};
  JsonWriter out;
  out.begin_object().key("quantization_config");
  write_quantization_config(schemes, {"head"}, out);
  const std::string text = out.end_object().finish();
  EXPECT_EQ(read_quantization_config(JsonFields::parse(text), {"a", "b", "c", "d", "head"}),
            schemes)
      << text;
}

TEST(CompressedTensors, ClassTargetsMeanEveryModuleNotIgnored) {
  const auto fields =
      JsonFields::parse(R"({"quantization_config": {"quant_method": "compressed-tensors",
    "ignore": ["lm_head"], "config_groups": {"group_0": {"targets": ["Linear"], "weights":
    {"num_bits": 4, "type": "int", "symmetric": true, "strategy": "group", "group_size": 32}}}}})");
  const auto schemes = read_quantization_config(fields, {"q", "lm_head"});
  ASSERT_EQ(schemes.size(), 1u);
  EXPECT_EQ(to_string(schemes.at("q")), "int4:g32");
}

TEST(CompressedTensors, RefusesWhatItCannotRead) {
  const auto read = [](const std::string& weights) {
    const std::string text =
        R"({"quantization_config": {"quant_method": "compressed-tensors", "config_groups": {"g":
      {"targets": ["a"], "weights": )" +
        weights + "}}}}";
    return read_quantization_config(JsonFields::parse(text), {"a"});
  };
  EXPECT_THROW(read(R"({"num_bits": 8, "type": "float"})"), Error);
  EXPECT_THROW(read(R"({"num_bits": 99, "type": "int"})"), Error);
  EXPECT_THROW(read(R"({"num_bits": 4, "type": "int", "strategy": "block"})"), Error);
  EXPECT_THROW(read(R"({"num_bits": 4, "type": "int", "strategy": "group", "group_size": -1})"),
               Error);
  EXPECT_NO_THROW(read(R"({"num_bits": 4, "type": "int", "strategy": "channel"})"));
}

TEST(CompressedTensors, NamesTheTensorThatDoesNotFit) {
  const QuantScheme scheme = parse_scheme("int4:g16:asym");
  const QuantizedTensor q = quantize_rtn(random_matrix(4, 32, 2), scheme, {}, "x.weight");
  const std::vector<NamedTensor> whole = to_tensors("x.weight", q);
  for (size_t missing = 0; missing < whole.size(); ++missing) {
    auto some = whole;
    some.erase(some.begin() + static_cast<ptrdiff_t>(missing));
    try {
      from_tensors(source_of(some), "x.weight", scheme);
      ADD_FAILURE() << whole[missing].name;
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find(whole[missing].name), std::string::npos) << e.what();
    }
    auto other = whole;
    other[missing].tensor = Tensor(DType::f64, Shape{1, 2, 3});
    EXPECT_THROW(from_tensors(source_of(other), "x.weight", scheme), Error) << whole[missing].name;
  }
}

TEST(CompressedTensors, RefusesSchemesTheLayoutCannotSay) {
  EXPECT_THROW(require_expressible(parse_scheme("nf4:g64")), Error);
  EXPECT_THROW(require_expressible(parse_scheme("ternary")), Error);
  EXPECT_NO_THROW(require_expressible(parse_scheme("int3:g16:asym")));
}

}  // namespace
}  // namespace nibble
