// The compressed-tensors layout: golden words, round trips, and bundles that do not fit.
#include "nibble/format/compressed_tensors.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "nibble/core/error.h"
#include "nibble/core/float_formats.h"
#include "nibble/core/random.h"
#include "nibble/format/quantized_layout.h"
#include "nibble/quant/rtn.h"
#include "tests/quant/float_goldens.h"

namespace nibble {
namespace {

Tensor drawn_matrix(int64_t n, int64_t k, uint64_t seed) {
  PyRandom random(seed);
  Tensor w(DType::f32, Shape{n, k});
  for (float& v : w.mutable_data<float>()) v = static_cast<float>(random.gauss(0, 1));
  return w;
}

SchemeMap read(const JsonFields& fields, const std::vector<std::string>& names) {
  std::vector<MatrixModule> modules;
  for (const std::string& name : names) modules.push_back({name, "Linear"});
  return read_quantization_config(fields, modules, MemorySource({})).schemes;
}

MemorySource source_of(const std::vector<NamedTensor>& tensors) {
  TensorMap map;
  for (const NamedTensor& t : tensors) map.emplace(t.name, t.tensor);
  return MemorySource(std::move(map));
}

bool equal_bytes(const Tensor& a, const Tensor& b) {
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
      quantize_rtn(drawn_matrix(19, 32, 1), parse_scheme("int4:g16:asym"), {}, "x");
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

bool same_part(const std::optional<Tensor>& a, const std::optional<Tensor>& b) {
  return a.has_value() == b.has_value() && (!a || equal_bytes(*a, *b));
}

class EveryScheme : public testing::TestWithParam<const char*> {};

TEST_P(EveryScheme, ComesBackBitForBit) {
  const QuantScheme scheme = parse_scheme(GetParam());
  for (const int64_t n : {1, 5, 33}) {
    const QuantizedTensor q = quantize_rtn(drawn_matrix(n, 96, 9), scheme, {}, "layers.0.x.weight");
    const auto tensors = to_tensors("layers.0.x.weight", q);
    const QuantizedTensor back = from_tensors(source_of(tensors), "layers.0.x.weight", scheme);
    EXPECT_EQ(back.scheme, q.scheme);
    EXPECT_EQ(back.shape, q.shape);
    EXPECT_TRUE(equal_bytes(dequantize(back), dequantize(q)));
    EXPECT_TRUE(equal_bytes(back.codes, q.codes));
    EXPECT_TRUE(equal_bytes(back.scales, q.scales));
    EXPECT_TRUE(same_part(back.zeros, q.zeros));
    EXPECT_TRUE(same_part(back.super_scales, q.super_scales));
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
                                         "int6:g24:asym", "int7", "int8:a8full", "fp8_e4m3",
                                         "fp8_e4m3:afp8", "fp8_e4m3:tensor", "mxfp4", "nvfp4"));

TEST(CompressedTensors, ConfigComesBack) {
  SchemeMap schemes{{"a", parse_scheme("int8")},          {"b", parse_scheme("int4:g16:asym")},
                    {"c", parse_scheme("int8:a8")},       {"d", parse_scheme("int8")},
                    {"e", parse_scheme("fp8_e4m3")},      {"f", parse_scheme("fp8_e4m3:tensor")},
                    {"g", parse_scheme("mxfp4")},         {"h", parse_scheme("nvfp4")},
                    {"i", parse_scheme("fp8_e4m3:afp8")}, {"j", parse_scheme("int8:a8full")}};
  JsonWriter out;
  out.begin_object().key("quantization_config");
  write_quantization_config(schemes, {"head"}, layout_that_says(schemes), out);
  const std::string text = out.end_object().finish();
  EXPECT_EQ(
      read(JsonFields::parse(text), {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "head"}),
      schemes)
      << text;
}

// Every group says its format itself: readers would infer another one.
TEST(CompressedTensors, ConfigSaysTheFormatOfEveryGroup) {
  const auto format = [](const char* scheme) {
    JsonWriter out;
    out.begin_object().key("quantization_config");
    const SchemeMap schemes{{"a", parse_scheme(scheme)}};
    write_quantization_config(schemes, {}, layout_that_says(schemes), out);
    const auto f = JsonFields::parse(out.end_object().finish());
    EXPECT_EQ(f.string("quantization_config.format"),
              f.string("quantization_config.config_groups.group_0.format"));
    return f.string("quantization_config.config_groups.group_0.format");
  };
  EXPECT_EQ(format("int4:g32"), "pack-quantized");
  EXPECT_EQ(format("int4:g32:a8"), "pack-quantized");
  EXPECT_EQ(format("int8:a8"), "int-quantized");
  EXPECT_EQ(format("fp8_e4m3"), "float-quantized");
  EXPECT_EQ(format("mxfp4"), "mxfp4-pack-quantized");
  EXPECT_EQ(format("nvfp4"), "nvfp4-pack-quantized");
}

// What compressed-tensors itself packs (tests/golden/make_float_formats.py).
TEST(CompressedTensors, ReadsTheFp4TensorsOfCompressedTensors) {
  int cases = 0;
  for (const auto& c : test::float_goldens().at("compressed_tensors")) {
    const std::string kind = c.at("type");
    if (kind == "fp8_e4m3") continue;
    const int64_t n = 6, k = 128, groups = kind == "nvfp4" ? 8 : 4;
    const std::vector<float> scales = test::floats_of(c.at("scales"));
    Tensor stored(kind == "nvfp4" ? DType::f8_e4m3 : DType::u8, Shape{n, groups});
    for (size_t i = 0; i < scales.size(); ++i) {
      const uint8_t code = kind == "nvfp4" ? f32_to_e4m3(scales[i])
                                           : static_cast<uint8_t>(std::ilogb(scales[i]) + 127);
      stored.mutable_raw()[i] = static_cast<std::byte>(code);
    }
    TensorMap map;
    map.emplace("x.weight_packed",
                Tensor::from<uint8_t>(Shape{n, k / 2}, test::bytes_of(c.at("packed"))));
    map.emplace("x.weight_scale", stored);
    if (kind == "nvfp4") {
      map.emplace("x.weight_global_scale",
                  Tensor::from<float>(Shape{1}, test::floats_of(c.at("global"))));
    }
    const auto q = from_tensors(MemorySource(std::move(map)), "x.weight", parse_scheme(kind));
    const Tensor values = dequantize(q);
    EXPECT_EQ(std::vector<float>(values.data<float>().begin(), values.data<float>().end()),
              test::floats_of(c.at("values")))
        << kind;
    ++cases;
  }
  EXPECT_EQ(cases, 2);
}

TEST(CompressedTensors, RefusesWhatItCannotRead) {
  const auto read_group = [](const std::string& weights, const std::string& activations = "null") {
    const std::string text =
        R"({"quantization_config": {"quant_method": "compressed-tensors", "config_groups": {"g":
      {"targets": ["a"], "input_activations": )" +
        activations + R"(, "weights": )" + weights + "}}}}";
    return read(JsonFields::parse(text), {"a"});
  };
  EXPECT_THROW(read_group(R"({"num_bits": 99, "type": "int"})"), Error);
  EXPECT_THROW(read_group(R"({"num_bits": 4, "type": "int", "strategy": "block"})"), Error);
  EXPECT_THROW(
      read_group(R"({"num_bits": 4, "type": "int", "strategy": "group", "group_size": -1})"),
      Error);
  EXPECT_THROW(read_group(R"({"num_bits": 8, "type": "float", "strategy": "block"})"), Error);
  EXPECT_THROW(read_group(R"({"num_bits": 8, "type": "float", "strategy": "group",
                              "group_size": 32})"),
               Error);
  EXPECT_THROW(read_group(R"({"num_bits": 4, "type": "float", "strategy": "group",
                              "group_size": 16})"),
               Error);
  EXPECT_THROW(read_group(R"({"num_bits": 4, "type": "float", "strategy": "tensor_group"})"),
               Error);
  EXPECT_THROW(read_group(R"({"num_bits": 8, "type": "float", "symmetric": false})"), Error);
  EXPECT_THROW(read_group(R"({"num_bits": 8, "type": "complex"})"), Error);
  EXPECT_THROW(read_group(R"({"num_bits": 8, "type": "float", "strategy": "tensor"})",
                          R"({"num_bits": 8, "type": "float", "strategy": "tensor"})"),
               Error);
  EXPECT_THROW(read_group(R"({"num_bits": 4, "type": "float", "strategy": "tensor_group",
                              "group_size": 16})",
                          R"({"num_bits": 4, "type": "float", "dynamic": "local"})"),
               Error);
  EXPECT_EQ(to_string(read_group(R"({"num_bits": 8, "type": "float", "strategy": "channel"})",
                                 R"({"num_bits": 8, "type": "float", "strategy": "token",
                                     "dynamic": true})")
                          .at("a")),
            "fp8_e4m3:afp8");
  EXPECT_NO_THROW(read_group(R"({"num_bits": 4, "type": "int", "strategy": "channel"})"));
}

TEST(CompressedTensors, NamesTheTensorThatDoesNotFit) {
  for (const char* spelling : {"int4:g16:asym", "int8:a8", "fp8_e4m3", "mxfp4", "nvfp4"}) {
    const QuantScheme scheme = parse_scheme(spelling);
    const QuantizedTensor q = quantize_rtn(drawn_matrix(4, 32, 2), scheme, {}, "x.weight");
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
      for (const DType dtype : {DType::f64, DType::u8, DType::f16, DType::f8_e4m3}) {
        for (const Shape& shape : {Shape{1, 2, 3}, Shape{}, Shape{0}, Shape{4, 0}, Shape{3, 5}}) {
          auto other = whole;
          other[missing].tensor = Tensor(dtype, shape);
          EXPECT_THROW(from_tensors(source_of(other), "x.weight", scheme), Error)
              << spelling << " " << whole[missing].name << to_string(dtype) << shape.to_string();
        }
      }
    }
  }
}

// Codes and scales that are no numbers are refused when read, with the tensor's name.
TEST(CompressedTensors, RefusesCodesAndScalesThatAreNoNumbers) {
  const auto refuse = [](const char* spelling, const char* part, uint8_t byte) {
    const QuantScheme scheme = parse_scheme(spelling);
    auto tensors =
        to_tensors("x.weight", quantize_rtn(drawn_matrix(4, 32, 2), scheme, {}, "x.weight"));
    for (NamedTensor& t : tensors) {
      if (t.name != std::string("x.") + part) continue;
      t.tensor = t.tensor.clone();
      std::memset(t.tensor.mutable_raw(), byte, t.tensor.bytes());
    }
    try {
      from_tensors(source_of(tensors), "x.weight", scheme);
      ADD_FAILURE() << spelling << " " << part;
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::corrupt);
      EXPECT_NE(std::string(e.what()).find("x.weight"), std::string::npos) << e.what();
    }
  };
  refuse("fp8_e4m3", "weight", 0x7F);
  refuse("fp8_e4m3", "weight", 0xFF);
  refuse("fp8_e4m3", "weight_scale", 0x7C);
  refuse("mxfp4", "weight_scale", 0xFF);
  refuse("nvfp4", "weight_scale", 0x7F);
  refuse("nvfp4", "weight_global_scale", 0);
  refuse("nvfp4", "weight_global_scale", 0xFF);
}

TEST(CompressedTensors, RefusesSchemesTheLayoutCannotSay) {
  for (const char* no :
       {"nf4:g16", "nf4:g96", "fp4:g8192", "ternary", "fp8_e5m2", "fp8_e5m2:afp8", "int4:afp8"}) {
    try {
      require_expressible(parse_scheme(no));
      ADD_FAILURE() << no;
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::unsupported);
      EXPECT_NE(std::string(e.what()).find("these can"), std::string::npos) << e.what();
    }
  }
  for (const char* yes : {"nf4", "fp4:g128", "fp8_e4m3", "fp8_e4m3:tensor", "mxfp4", "nvfp4",
                          "fp8_e4m3:afp8", "int8:a8static", "int8:a8outlier"})
    EXPECT_NO_THROW(require_expressible(parse_scheme(yes))) << yes;
  EXPECT_NO_THROW(require_expressible(parse_scheme("int3:g16:asym")));
}

}  // namespace
}  // namespace nibble
