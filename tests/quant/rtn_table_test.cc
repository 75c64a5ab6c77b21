// Round to nearest for nf4, fp4, fp8, mxfp4 and nvfp4: against other people's code, and the hard
// inputs of BAD_INPUTS Q1 to Q10.
#include "nibble/quant/rtn_table.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "nibble/core/error.h"
#include "nibble/core/float_formats.h"
#include "nibble/quant/bits.h"
#include "nibble/quant/nested_scales.h"
#include "nibble/quant/number.h"
#include "tests/quant/float_goldens.h"

namespace nibble {
namespace {

using Floats = std::vector<float>;
constexpr const char* kAll[] = {"nf4",      "fp4:g16", "nf4:g128",        "fp8_e4m3",
                                "fp8_e5m2", "mxfp4",   "fp8_e4m3:tensor", "nvfp4"};

Tensor matrix(int64_t n, int64_t k, const Floats& values) {
  return Tensor::from<float>(Shape{n, k}, values);
}

Tensor repeated(int64_t n, int64_t k, const Floats& pattern) {
  Tensor out(DType::f32, Shape{n, k});
  auto to = out.mutable_data<float>();
  for (size_t i = 0; i < to.size(); ++i) to[i] = pattern[i % pattern.size()];
  return out;
}

QuantizedTensor quantize(const Tensor& w, std::string_view scheme, DType scale = DType::f16,
                         float joint = 0) {
  RtnOptions options;
  options.scale_dtype = scale;
  options.joint_magnitude = joint;
  QuantizedTensor q = quantize_rtn(w, parse_scheme(scheme), options, "w");
  validate(q);
  return q;
}

Floats values_of(const QuantizedTensor& q) {
  const Tensor t = dequantize(q);
  const auto data = t.data<float>();
  return {data.begin(), data.end()};
}

Floats scales_of(const QuantizedTensor& q) {
  Floats out;
  for (int64_t i = 0; i < q.scales.elements(); ++i) out.push_back(q.scale(i));
  return out;
}

Tensor golden_weights() {
  const auto shape = test::float_goldens().at("shape");
  return matrix(shape[0], shape[1], test::golden_floats("weights"));
}

const nlohmann::json& golden_case(const char* kind) {
  for (const auto& c : test::float_goldens().at("compressed_tensors")) {
    if (c.at("type") == kind) return c;
  }
  throw std::runtime_error("no such case");
}

// Even columns lie in the low half of a byte, odd ones in the high half.
std::vector<uint8_t> stored_codes(const QuantizedTensor& q) {
  const auto codes = q.codes.data<uint8_t>();
  return {codes.begin(), codes.end()};
}

// fp4 has two codes for 0; bitsandbytes takes the second, nibble the first.
std::vector<uint8_t> one_zero(std::vector<uint8_t> bytes, std::string_view scheme) {
  if (!scheme.starts_with("fp4")) return bytes;
  for (uint8_t& b : bytes) {
    if ((b & 0x0F) == 0x08) b &= 0xF0;
    if ((b & 0xF0) == 0x80) b &= 0x0F;
  }
  return bytes;
}

TEST(RtnCodebook, PlainNf4AndFp4AreBitsandbytesCodeForCode) {
  int cases = 0;
  for (const auto& c : test::float_goldens().at("bitsandbytes")) {
    if (c.at("double").get<bool>()) continue;
    const std::string scheme =
        c.at("type").get<std::string>() + ":g" + std::to_string(c.at("block").get<int>());
    const auto q = quantize(golden_weights(), scheme, DType::f32);
    EXPECT_EQ(test::bits_of(scales_of(q)), test::bits_of(test::floats_of(c.at("absmax"))));
    EXPECT_EQ(values_of(q), test::floats_of(c.at("values"))) << scheme;
    // Packed in the other order there: the first of two in the high half.
    std::vector<uint8_t> swapped = stored_codes(q);
    for (uint8_t& b : swapped) b = static_cast<uint8_t>(b << 4 | b >> 4);
    EXPECT_EQ(one_zero(swapped, scheme), one_zero(test::bytes_of(c.at("packed")), scheme));
    ++cases;
  }
  EXPECT_EQ(cases, 4);
}

// The bytes of the scales; the codes differ on purpose: nibble's fit the scales that will be read.
TEST(RtnCodebook, DoublyQuantizedScalesAreThoseOfBitsandbytes) {
  int cases = 0;
  for (const auto& c : test::float_goldens().at("bitsandbytes")) {
    if (!c.at("double").get<bool>()) continue;
    const std::string scheme =
        c.at("type").get<std::string>() + ":g" + std::to_string(c.at("block").get<int>());
    const auto q = quantize(golden_weights(), scheme);
    const auto bytes = q.scales.data<uint8_t>();
    EXPECT_EQ((std::vector<uint8_t>{bytes.begin(), bytes.end()}), test::bytes_of(c.at("absmax")));
    // The mean is summed in another order there.
    EXPECT_FLOAT_EQ(q.super_scales->data<float>()[0], test::floats_of(c.at("nested_absmax"))[0]);
    EXPECT_FLOAT_EQ(q.super_offsets->data<float>()[0], test::floats_of(c.at("nested_offset"))[0]);
    ++cases;
  }
  EXPECT_EQ(cases, 4);
}

// With their codes and scales in the bundle, dequantize() gives their values.
TEST(RtnCodebook, BitsandbytesBundlesDequantizeToTheirValues) {
  for (const auto& c : test::float_goldens().at("bitsandbytes")) {
    const std::string scheme =
        c.at("type").get<std::string>() + ":g" + std::to_string(c.at("block").get<int>());
    const bool nested = c.at("double").get<bool>();
    QuantizedTensor q = quantize(golden_weights(), scheme, nested ? DType::f16 : DType::f32);
    std::vector<uint8_t> packed = test::bytes_of(c.at("packed"));
    for (uint8_t& b : packed) b = static_cast<uint8_t>(b << 4 | b >> 4);
    std::memcpy(q.codes.mutable_raw(), packed.data(), packed.size());
    if (nested) {
      q.super_scales = Tensor::from<float>(Shape{1}, test::floats_of(c.at("nested_absmax")));
      q.super_offsets = Tensor::from<float>(Shape{1}, test::floats_of(c.at("nested_offset")));
    }
    validate(q);
    EXPECT_EQ(test::bits_of(values_of(q)), test::bits_of(test::floats_of(c.at("values"))))
        << scheme << " " << nested;
  }
}

TEST(RtnCodebook, Fp8IsCompressedTensorsCodeForCode) {
  const auto& c = golden_case("fp8_e4m3");
  const auto q = quantize(golden_weights(), "fp8_e4m3", DType::f32);
  EXPECT_EQ(test::bits_of(scales_of(q)), test::bits_of(test::floats_of(c.at("scales"))));
  EXPECT_EQ(stored_codes(q), test::bytes_of(c.at("codes")));
  EXPECT_EQ(values_of(q), test::floats_of(c.at("values")));
}

TEST(RtnCodebook, Mxfp4IsCompressedTensorsCodeForCode) {
  const auto& c = golden_case("mxfp4");
  const auto q = quantize(golden_weights(), "mxfp4");
  EXPECT_EQ(test::bits_of(scales_of(q)), test::bits_of(test::floats_of(c.at("scales"))));
  EXPECT_EQ(stored_codes(q), test::bytes_of(c.at("packed")));
  EXPECT_EQ(values_of(q), test::floats_of(c.at("values")));
}

TEST(RtnCodebook, Nvfp4IsCompressedTensorsCodeForCode) {
  const auto& c = golden_case("nvfp4");
  QuantizedTensor q = quantize(golden_weights(), "nvfp4");
  // They multiply by a rounded reciprocal of the largest weight.
  EXPECT_FLOAT_EQ(q.super_scales->data<float>()[0], test::floats_of(c.at("global"))[0]);
  const Floats expected = test::floats_of(c.at("scales"));
  for (size_t i = 0; i < expected.size(); ++i) {
    const float stored = e4m3_to_f32(static_cast<uint8_t>(q.scales.raw()[i]));
    // A block of zeros has any scale: theirs is 0.125, ours 0.
    EXPECT_EQ(stored, i >= 8 && i < 12 ? 0 : expected[i]) << i;
  }
  EXPECT_EQ(stored_codes(q), test::bytes_of(c.at("packed")));
  q.super_scales = Tensor::from<float>(Shape{1}, test::floats_of(c.at("global")));
  EXPECT_EQ(values_of(q), test::floats_of(c.at("values")));
}

// DESIGN, FORMATS 1.5: weights that a runtime joins share one scale.
TEST(RtnCodebook, Nvfp4TakesTheJointMagnitude) {
  const Tensor w = repeated(2, 32, {1, -0.5f, 0.25f});
  const auto alone = quantize(w, "nvfp4"), joint = quantize(w, "nvfp4", DType::f16, 8.0f);
  EXPECT_EQ(alone.super_scales->data<float>()[0], 2688.0f);
  EXPECT_EQ(joint.super_scales->data<float>()[0], 336.0f);
}

// BAD_INPUTS Q2.
TEST(RtnCodebook, ZerosGiveZerosExactly) {
  for (const char* scheme : kAll) {
    for (const DType dtype : {DType::f16, DType::f32}) {
      for (const float v : values_of(quantize(repeated(3, 128, {0, -0.0f}), scheme, dtype)))
        EXPECT_EQ(v, 0) << scheme;
      // One row of zeros among others, whose doubly quantized scale need not be 0.
      Tensor w = repeated(4, 128, {1, -3});
      const auto row = w.mutable_data<float>().subspan(128, 128);
      std::fill(row.begin(), row.end(), 0.0f);
      const Floats got = values_of(quantize(w, scheme, dtype));
      for (size_t i = 128; i < 256; ++i) EXPECT_EQ(got[i], 0) << scheme;
    }
  }
}

// BAD_INPUTS Q3.
TEST(RtnCodebook, TinyWeightsNeverGiveNanAndNeverGetWorseThanZero) {
  for (const float tiny : {1e-30f, 1e-45f, 6e-8f, 3e-8f, 1e-6f, 2e-5f}) {
    for (const char* scheme : kAll) {
      for (const DType dtype : {DType::f16, DType::bf16, DType::f32}) {
        for (const float other : {0.0f, 1.0f, 1e4f}) {  // another group's largest weight
          Tensor w = repeated(2, 128, {tiny, -tiny, tiny / 2, 0});
          w.mutable_data<float>()[255] = other;
          const auto q = quantize(w, scheme, dtype);
          const Floats got = values_of(q);
          for (size_t i = 0; i < 128; ++i) {
            const float x = w.data<float>()[i];
            EXPECT_LE(std::fabs(got[i] - x), std::fabs(x))
                << scheme << " " << to_string(dtype) << " " << tiny;
          }
        }
      }
    }
  }
}

// BAD_INPUTS Q4: refused by name, or held where the type of the scales can.
TEST(RtnCodebook, HugeWeightsAreHeldOrRefusedByName) {
  const float most = std::numeric_limits<float>::max();
  for (const char* scheme : kAll) {
    for (const DType dtype : {DType::f16, DType::bf16, DType::f32}) {
      for (const float huge : {1e30f, most}) {
        const Tensor w = repeated(2, 128, {1, -huge, huge / 2});
        try {
          for (const float v : values_of(quantize(w, scheme, dtype)))
            EXPECT_TRUE(std::isfinite(v)) << scheme << to_string(dtype);
        } catch (const Error& e) {
          EXPECT_EQ(e.kind(), ErrorKind::corrupt);
          EXPECT_NE(std::string(e.what()).find("tensor \"w\""), std::string::npos) << e.what();
        }
      }
    }
  }
  EXPECT_THROW(quantize(repeated(1, 32, {1e30f}), "fp8_e4m3", DType::f16), Error);
  EXPECT_NO_THROW(quantize(repeated(1, 32, {1e30f}), "fp8_e4m3", DType::bf16));
  EXPECT_NO_THROW(quantize(repeated(1, 32, {1e30f}), "mxfp4"));
}

// BAD_INPUTS Q1.
TEST(RtnCodebook, RefusesNanAndInfinity) {
  for (const char* scheme : kAll) {
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()})
      EXPECT_THROW(quantize(matrix(1, 2, {1, bad}), scheme), Error) << scheme;
  }
}

// BAD_INPUTS Q10.
TEST(RtnCodebook, GroupThatDoesNotDivideBecomesInt8PerChannel) {
  for (const char* scheme : {"nf4", "fp4", "mxfp4", "nvfp4"}) {
    EXPECT_EQ(to_string(quantize(repeated(2, 100, {1, 2}), scheme).scheme), "int8");
    // A larger group is one group.
    EXPECT_EQ(quantize(repeated(2, 6, {1, 2}), scheme).scheme, parse_scheme(scheme));
  }
}

// fp8 keeps 3 or 2 bits behind the first; its scales in f16 may be subnormal and must not cut.
TEST(RtnCodebook, PropertyFp8ErrorIsHalfAStep) {
  EXPECT_TRUE(rc::check("|w - dequantized| <= |w| * 2^-(m+1) or half the smallest step", [] {
    const bool e4m3 = *rc::gen::arbitrary<bool>();
    const auto raw = *rc::gen::container<std::vector<int>>(32, rc::gen::inRange(-100000, 100001));
    const float unit = *rc::gen::element(1e-9f, 1e-7f, 1e-5f, 1.0f);
    Floats w;
    for (const int v : raw) w.push_back(static_cast<float>(v) * unit);
    const auto q = quantize(matrix(1, 32, w), e4m3 ? "fp8_e4m3" : "fp8_e5m2");
    const auto got = values_of(q);
    const float scale = q.scale(0);
    for (size_t i = 0; i < w.size(); ++i) {
      const float relative = std::fabs(w[i]) * (e4m3 ? 0x1p-4f : 0x1p-3f);
      const float step = scale * (e4m3 ? 0x1p-10f : 0x1p-17f);
      RC_ASSERT(std::fabs(got[i] - w[i]) <= std::max(relative, step) * 1.0001f);
    }
  }));
}

TEST(RtnCodebook, Fp4BlocksErrorIsHalfTheWidestGap) {
  const Tensor w = golden_weights();
  for (const char* scheme : {"mxfp4", "nvfp4", "nf4", "fp4"}) {
    const auto q = quantize(w, scheme, DType::f32);
    const Floats got = values_of(q);
    const bool signed_unit = q.scheme.type == NumberType::nf4 || q.scheme.type == NumberType::fp4;
    for (size_t i = 0; i < got.size(); ++i) {
      const auto group = static_cast<int64_t>(i) / q.scheme.group;
      // mxfp4 may cut what lies between 6 and 7 steps, nvfp4 as much as its scale was rounded.
      const float bound = std::fabs(q.scale(group)) * (signed_unit ? 0.17f : 1.0f);
      EXPECT_LE(std::fabs(got[i] - w.data<float>()[i]), bound * 1.0001f) << scheme << " " << i;
    }
  }
}

// BAD_INPUTS, anchors of section 5: mean absolute error on N(0, 1), 1024 x 1024 there; within 2 %.
TEST(RtnCodebook, ErrorsOnNormalWeightsAreThoseOfBitsandbytes) {
  struct Anchor {
    const char* scheme;
    double error;
  };
  std::vector<float> w(256 * 1024);
  uint64_t state = 1;
  const auto uniform = [&] {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (static_cast<double>(state >> 33) + 0.5) / 2147483648.0;
  };
  for (float& v : w) {
    v = static_cast<float>(std::sqrt(-2 * std::log(uniform())) *
                           std::cos(6.283185307179586 * uniform()));
  }
  for (const Anchor& a : {Anchor{"nf4:g64", 0.0728}, {"nf4:g128", 0.0768}, {"fp4:g64", 0.0965}}) {
    const Floats got = values_of(quantize(matrix(256, 1024, w), a.scheme, DType::f32));
    double sum = 0;
    for (size_t i = 0; i < w.size(); ++i) sum += std::fabs(got[i] - w[i]);
    EXPECT_NEAR(sum / static_cast<double>(w.size()), a.error, a.error * 0.02) << a.scheme;
  }
}

TEST(RtnCodebook, BitsAreCountedAndPlanned) {
  for (const char* scheme : kAll) {
    for (const DType dtype : {DType::f16, DType::f32}) {
      for (const int64_t k : {1, 32, 100, 128, 1024}) {
        const auto q = quantize(Tensor(DType::f32, Shape{5, k}), scheme, dtype);
        EXPECT_EQ(planned_bytes(parse_scheme(scheme), 5, k, dtype), static_cast<int64_t>(q.bytes()))
            << scheme << " " << k;
      }
    }
  }
  const Tensor w(DType::f32, Shape{1024, 1024});
  EXPECT_DOUBLE_EQ(bits_per_weight(quantize(w, "mxfp4")), 4.25);
  EXPECT_NEAR(bits_per_weight(quantize(w, "nvfp4")), 4.5, 1e-4);
  EXPECT_NEAR(bits_per_weight(quantize(w, "nf4")), 4.127, 1e-3);
  EXPECT_DOUBLE_EQ(bits_per_weight(quantize(w, "nf4", DType::f32)), 4.5);
}

TEST(RtnCodebook, ValidateRefusesBundlesThatDoNotFit) {
  const Tensor w = repeated(2, 128, {1, -2, 0.5f});
  const auto refuse = [&](const char* scheme, auto change) {
    QuantizedTensor q = quantize(w, scheme);
    change(q);
    EXPECT_THROW(validate(q), Error) << scheme;
  };
  for (const char* scheme : kAll) {
    refuse(scheme, [](QuantizedTensor& q) { q.codes = Tensor(DType::u8, Shape{2, 3}); });
    refuse(scheme, [](QuantizedTensor& q) { q.scales = Tensor(DType::i8, q.scales.shape()); });
    refuse(scheme, [](QuantizedTensor& q) { q.scales = Tensor(q.scales.dtype(), Shape{7, 7}); });
    refuse(scheme, [](QuantizedTensor& q) { q.zeros = Tensor(DType::u8, q.scales.shape()); });
    refuse(scheme, [](QuantizedTensor& q) { q.scheme.asymmetric = true; });
    refuse(scheme, [](QuantizedTensor& q) { q.input_order = Tensor(DType::i32, Shape{128}); });
  }
  for (const char* scheme : {"nf4", "nvfp4"}) {
    refuse(scheme, [](QuantizedTensor& q) { q.super_scales.reset(); });
    refuse(scheme, [](QuantizedTensor& q) { q.super_scales = Tensor(DType::f32, Shape{3}); });
    refuse(scheme, [](QuantizedTensor& q) {
      q.super_scales->mutable_data<float>()[0] = std::numeric_limits<float>::quiet_NaN();
    });
  }
  refuse("nf4", [](QuantizedTensor& q) { q.super_offsets.reset(); });
  refuse("mxfp4", [](QuantizedTensor& q) { q.super_scales = Tensor(DType::f32, Shape{1}); });
  refuse("mxfp4", [](QuantizedTensor& q) { q.scales.mutable_data<uint8_t>()[3] = 255; });
  refuse("nvfp4", [](QuantizedTensor& q) { q.scales.mutable_raw()[3] = std::byte{0x7F}; });
  refuse("nvfp4", [](QuantizedTensor& q) { q.super_scales->mutable_data<float>()[0] = 0; });
  refuse("fp8_e4m3", [](QuantizedTensor& q) { q.codes.mutable_data<uint8_t>()[130] = 0xFF; });
  refuse("fp8_e5m2", [](QuantizedTensor& q) { q.codes.mutable_data<uint8_t>()[130] = 0x7C; });
}

}  // namespace
}  // namespace nibble
