// The 4-bit layout of bitsandbytes: its own tensors, round trips, the config, and files that lie.
#include <gtest/gtest.h>

#include <cstring>

#include "nibble/core/error.h"
#include "nibble/core/random.h"
#include "nibble/format/bitsandbytes_state.h"
#include "nibble/format/quantized_layout.h"
#include "nibble/quant/rtn.h"
#include "tests/quant/float_goldens.h"

namespace nibble {
namespace {

const std::vector<MatrixModule> kModules = {
    {"a", "Linear"}, {"b", "Linear"}, {"c", "Linear"}, {"head", "Linear"}, {"x", "Linear"}};

Tensor random_matrix(int64_t n, int64_t k, uint64_t seed) {
  PyRandom random(seed);
  Tensor w(DType::f32, Shape{n, k});
  for (float& v : w.mutable_data<float>()) v = static_cast<float>(random.gauss(0, 1));
  return w;
}

QuantizedTensor quantize(int64_t n, int64_t k, const char* scheme, DType scales = DType::f16) {
  RtnOptions options;
  options.scale_dtype = scales;
  return quantize_rtn(random_matrix(n, k, 9), parse_scheme(scheme), options, "x");
}

TensorMap tensors_by_name(const std::vector<NamedTensor>& tensors) {
  TensorMap map;
  for (const NamedTensor& t : tensors) map.emplace(t.name, t.tensor);
  return map;
}

bool same_bytes(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

Tensor text_tensor(const std::string& text) {
  Tensor t(DType::u8, Shape{static_cast<int64_t>(text.size())});
  std::memcpy(t.mutable_raw(), text.data(), text.size());
  return t;
}

JsonFields config_of(const SchemeMap& schemes, const std::vector<std::string>& plain) {
  JsonWriter out;
  out.begin_object().key("quantization_config");
  write_quantization_config(schemes, plain, layout_that_says(schemes), out);
  return JsonFields::parse(out.end_object().finish());
}

// What bitsandbytes itself packs (tests/golden/make_float_formats.py), with its state as it writes
// it: read to its own values.
TEST(Bitsandbytes, ReadsItsOwnTensorsToItsOwnValues) {
  int cases = 0;
  for (const auto& c : test::float_goldens().at("bitsandbytes")) {
    const std::string kind = c.at("type"), block = std::to_string(c.at("block").get<int>());
    const bool nested = c.at("double");
    std::string state = R"({"quant_type": ")" + kind + R"(", "blocksize": )" + block +
                        R"(, "dtype": "float32", "shape": [6, 128])";
    TensorMap map;
    const auto packed = test::bytes_of(c.at("packed"));
    map.emplace("x.weight", Tensor::from<uint8_t>(Shape{384, 1}, packed));
    map.emplace("x.weight.quant_map", Tensor::from<float>(Shape{16}, test::golden_floats(kind)));
    if (nested) {
      const auto absmax = test::bytes_of(c.at("absmax"));
      map.emplace("x.weight.absmax",
                  Tensor::from<uint8_t>(Shape{static_cast<int64_t>(absmax.size())}, absmax));
      map.emplace("x.weight.nested_absmax",
                  Tensor::from<float>(Shape{1}, test::floats_of(c.at("nested_absmax"))));
      map.emplace("x.weight.nested_quant_map",
                  Tensor::from<float>(Shape{256}, test::golden_floats("dynamic_map")));
      char offset[64];
      std::snprintf(offset, sizeof(offset), "%.17g",
                    static_cast<double>(test::floats_of(c.at("nested_offset"))[0]));
      state += std::string(R"(, "nested_blocksize": 256, "nested_dtype": "float32",)") +
               R"( "nested_offset": )" + offset;
    } else {
      const auto absmax = test::floats_of(c.at("absmax"));
      map.emplace("x.weight.absmax",
                  Tensor::from<float>(Shape{static_cast<int64_t>(absmax.size())}, absmax));
    }
    map.emplace("x.weight.quant_state.bitsandbytes__" + kind, text_tensor(state + "}"));
    const MemorySource source(std::move(map));
    const auto fields = JsonFields::parse(
        R"({"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": true}})");
    const SchemeMap schemes = read_quantization_config(fields, kModules, source).schemes;
    const auto old = JsonFields::parse(R"({"quantization_config": {"load_in_4bit": true}})");
    EXPECT_EQ(read_quantization_config(old, kModules, source).schemes, schemes);
    ASSERT_EQ(schemes.size(), 1u);
    EXPECT_EQ(to_string(schemes.at("x")), kind + ":g" + block);
    const Tensor values = dequantize(from_tensors(source, "x.weight", schemes.at("x")));
    const auto data = values.data<float>();
    EXPECT_EQ(test::bits_of({data.begin(), data.end()}),
              test::bits_of(test::floats_of(c.at("values"))))
        << kind << block << nested;
    ++cases;
  }
  EXPECT_EQ(cases, 8);
}

TEST(Bitsandbytes, ComesBackBitForBit) {
  for (const char* spelling : {"nf4", "fp4", "nf4:g32", "fp4:g128"}) {
    for (const DType scales : {DType::f16, DType::f32}) {
      for (const int64_t k : {1, 3, 31, 32, 128, 1024}) {
        for (const int64_t n : {1, 3, 20}) {
          const QuantizedTensor q = quantize(n, k, spelling, scales);
          if (!q.scheme.has_codebook()) continue;
          const auto tensors = to_tensors("layers.0.x.weight", q);
          const QuantizedTensor back =
              from_tensors(MemorySource(tensors_by_name(tensors)), "layers.0.x.weight", q.scheme);
          EXPECT_EQ(back.scheme, q.scheme);
          EXPECT_EQ(back.shape, q.shape);
          EXPECT_TRUE(same_bytes(back.codes, q.codes)) << spelling << k;
          EXPECT_TRUE(same_bytes(back.scales, q.scales));
          ASSERT_EQ(back.super_scales.has_value(), q.super_scales.has_value());
          if (q.super_scales) {
            EXPECT_TRUE(same_bytes(*back.super_scales, *q.super_scales));
            EXPECT_TRUE(same_bytes(*back.super_offsets, *q.super_offsets));
          }
          const auto layout = tensor_layout("layers.0.x.weight", q.scheme, q.shape, scales);
          ASSERT_EQ(layout.size(), tensors.size());
          for (size_t i = 0; i < layout.size(); ++i) {
            EXPECT_EQ(layout[i].name, tensors[i].name);
            EXPECT_EQ(layout[i].dtype, tensors[i].tensor.dtype());
            EXPECT_EQ(layout[i].shape, tensors[i].tensor.shape());
          }
        }
      }
    }
  }
}

// The longest offsets there are still leave the state at its length.
TEST(Bitsandbytes, AnyOffsetFitsTheState) {
  for (const float offset : {0.0f, 1e-45f, -1.17549435e-38f, 3.40282347e38f, 0.1f}) {
    bitsandbytes::State state{NumberType::fp4, 4096, Shape{int64_t{1} << 40, 1 << 20}, offset};
    TensorMap map;
    map.emplace("x.weight.quant_state.bitsandbytes__fp4", bitsandbytes::write_state(state));
    const auto back = bitsandbytes::read_state(MemorySource(std::move(map)), "x", NumberType::fp4);
    EXPECT_EQ(back.nested_offset, state.nested_offset);
    EXPECT_EQ(back.shape, state.shape);
    EXPECT_EQ(back.block, 4096);
  }
}

TEST(Bitsandbytes, ConfigIsThatOfBitsandbytesWhereItCanSayAll) {
  const SchemeMap one{{"a", parse_scheme("nf4")}, {"b", parse_scheme("nf4:g128")}};
  const auto f = config_of(one, {"head"});
  EXPECT_EQ(f.string("quantization_config.quant_method"), "bitsandbytes");
  EXPECT_EQ(f.string("quantization_config.bnb_4bit_quant_type"), "nf4");
  EXPECT_EQ(f.strings("quantization_config.llm_int8_skip_modules"),
            std::vector<std::string>{"head"});
  // A ragged layer as int8, two types, or a group it does not know: nibble alone reads that.
  for (const char* other : {"int8", "fp4", "nf4:g16"}) {
    SchemeMap mixed = one;
    mixed["c"] = parse_scheme(other);
    const auto own = config_of(mixed, {"head"});
    EXPECT_EQ(own.string("quantization_config.quant_method"), "nibble") << other;
    EXPECT_EQ(read_quantization_config(own, kModules, MemorySource({})).schemes, mixed) << other;
  }
}

TEST(Bitsandbytes, RefusesConfigsItCannotRead) {
  const auto read = [](const std::string& text) {
    return read_quantization_config(JsonFields::parse(R"({"quantization_config": )" + text + "}"),
                                    kModules, MemorySource({}))
        .schemes;
  };
  EXPECT_THROW(read(R"({"quant_method": "gptq"})"), Error);
  EXPECT_THROW(read(R"({"quant_method": "nibble", "config_groups": {"g": {"scheme": "int99",
                        "targets": ["x"]}}})"),
               Error);
  for (const char* nowhere : {"ternary", "fp8_e5m2"}) {
    EXPECT_THROW(
        read(std::string(R"({"quant_method": "nibble", "config_groups": {"g": {"scheme": ")") +
             nowhere + R"(", "targets": ["x"]}}})"),
        Error)
        << nowhere;
  }
  EXPECT_THROW(read(R"({"quant_method": "nibble", "config_groups": {"g": {"scheme": "f16",
                        "targets": ["x"]}}})"),
               Error);
  EXPECT_THROW(read(R"({"quant_method": "nibble", "config_groups": {"g": {"targets": ["x"]}}})"),
               Error);
  EXPECT_TRUE(read(R"({"quant_method": "bitsandbytes", "load_in_4bit": true})").empty());
  EXPECT_TRUE(read("null").empty());
}

// As transformers takes them: the flag alone made the files of 2023 bitsandbytes'.
TEST(Bitsandbytes, ConfigsWithoutAMethodAreKnownByTheirFlag) {
  const auto refused = [](const std::string& text) -> std::string {
    try {
      read_quantization_config(JsonFields::parse(R"({"quantization_config": )" + text + "}"),
                               kModules, MemorySource({}))
          .schemes;
      return "";
    } catch (const Error& e) {
      return e.what();
    }
  };
  EXPECT_EQ(refused(R"({"load_in_4bit": true})"), "");
  EXPECT_EQ(refused(R"({"load_in_8bit": true})"), "");
  for (const char* none : {"{}", R"({"load_in_4bit": false})", R"({"bits": 4})"})
    EXPECT_NE(refused(none).find("\"quantization_config.quant_method\": missing"),
              std::string::npos)
        << none;
}

class BadBundle : public testing::Test {
 protected:
  TensorMap good_ = tensors_by_name(to_tensors("x.weight", quantize(8, 128, "nf4")));
  void refuse(const std::string& name, const Tensor& instead) {
    TensorMap map = good_;
    map[name] = instead;
    expect_error(std::move(map), name);
  }
  static void expect_error(TensorMap map, const std::string& named) {
    try {
      from_tensors(MemorySource(std::move(map)), "x.weight", parse_scheme("nf4"));
      ADD_FAILURE() << named;
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find(named), std::string::npos) << e.what();
    }
  }
  // The state itself is named, or the tensor that does not fit what it says.
  void refuse_state(const std::string& text) {
    TensorMap map = good_;
    map["x.weight.quant_state.bitsandbytes__nf4"] = text_tensor(text);
    expect_error(std::move(map), "tensor \"x.weight");
  }
};

TEST_F(BadBundle, EveryTensorMustBeThereInItsTypeAndShape) {
  for (const auto& [name, tensor] : good_) {
    TensorMap map = good_;
    map.erase(name);
    expect_error(std::move(map), name);
    for (const DType dtype : {DType::f64, DType::u8, DType::f32}) {
      for (const Shape& shape : {Shape{1, 2, 3}, Shape{}, Shape{0}, Shape{7}, Shape{511, 1}})
        refuse(name, Tensor(dtype, shape));
    }
  }
}

TEST_F(BadBundle, TheStateIsReadAsHostileJson) {
  const std::string rest =
      R"(, "nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": 0.5})";
  const std::string head = R"({"quant_type": "nf4", "dtype": "float32", "blocksize": )";
  for (const char* bad : {"", "{", "[]", "null", "\xff\xfe", R"({"quant_type": "nf4"})"})
    refuse_state(bad);
  for (const char* block : {"0", "-64", "\"64\"", "1e3", "128", "9223372036854775807"})
    refuse_state(head + block + R"(, "shape": [8, 128])" + rest);
  for (const char* shape : {"[]", "[8]", "[8, 128, 1]", "[0, 128]", "[-8, -128]", "[128, 8]",
                            "[4611686018427387904, 128]", "\"8\"", "[8, 1.5]", "[8, 4096]"})
    refuse_state(head + R"(64, "shape": )" + shape + rest);
  refuse_state(R"({"quant_type": "fp4", "blocksize": 64, "shape": [8, 128])" + rest);
  const std::string fits = head + R"(64, "shape": [8, 128])";
  refuse_state(fits + "}");  // says plain scales, which are f32
  refuse_state(fits + R"(, "nested_blocksize": 128, "nested_dtype": "float32",
                          "nested_offset": 0})");
  refuse_state(fits + R"(, "nested_blocksize": 256, "nested_dtype": "float16",
                          "nested_offset": 0})");
  refuse_state(fits + R"(, "nested_blocksize": 256, "nested_dtype": "float32",
                          "nested_offset": 1e39})");
  refuse_state(fits + R"(, "nested_blocksize": 256, "nested_dtype": "float32",
                          "nested_offset": "0"})");
  refuse_state(std::string(1 << 17, ' '));
  TensorMap map = good_;
  map["x.weight.quant_state.bitsandbytes__nf4"] = text_tensor(fits + rest);
  EXPECT_NO_THROW(from_tensors(MemorySource(map), "x.weight", parse_scheme("nf4")));
}

TEST_F(BadBundle, OtherMapsAndNumbersThatAreNoneAreRefused) {
  for (const char* name : {"x.weight.quant_map", "x.weight.nested_quant_map"}) {
    for (const float value : {0.5f, std::numeric_limits<float>::quiet_NaN()}) {
      Tensor map = good_.at(name).clone();
      map.mutable_data<float>()[3] = value;
      refuse(name, map);
    }
  }
  Tensor super = good_.at("x.weight.nested_absmax").clone();
  super.mutable_data<float>()[0] = std::numeric_limits<float>::infinity();
  TensorMap map = good_;
  map["x.weight.nested_absmax"] = super;
  expect_error(std::move(map), "x.weight");
}

// Blocks of the flattened weight may cross rows there; nibble's groups never do.
TEST(BitsandbytesRows, BlocksThatCrossRowsAreRefusedWithAWord) {
  TensorMap map = tensors_by_name(to_tensors("x.weight", quantize(4, 96, "nf4:g32")));
  map["x.weight.quant_state.bitsandbytes__nf4"] =
      text_tensor(R"({"quant_type": "nf4", "blocksize": 64, "shape": [4, 96]})");
  const auto fields = JsonFields::parse(
      R"({"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": true}})");
  try {
    read_quantization_config(fields, kModules, MemorySource(map)).schemes;
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::unsupported);
    EXPECT_NE(std::string(e.what()).find("cross rows"), std::string::npos) << e.what();
  }
}

}  // namespace
}  // namespace nibble
