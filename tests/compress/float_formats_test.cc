// nf4, fp4, fp8, mxfp4 and nvfp4 from folder to folder: what was quantized is what is read back,
// bit for bit, and what runs.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>

#include "nibble/compress/quantize.h"
#include "nibble/core/error.h"
#include "nibble/core/files.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_model.h"

namespace nibble {
namespace {

constexpr const char* kStored[] = {"nf4",   "fp4",  "nf4:g32", "fp8_e4m3", "fp8_e4m3:tensor",
                                   "mxfp4", "nvfp4"};

QuantizeOptions with_scheme(const char* scheme) {
  QuantizeOptions o;
  o.scheme = parse_scheme(scheme);
  return o;
}

void expect_same(const Tensor& a, const Tensor& b) {
  EXPECT_EQ(a.dtype(), b.dtype());
  ASSERT_EQ(a.shape(), b.shape());
  EXPECT_EQ(std::memcmp(a.raw(), b.raw(), a.bytes()), 0);
}

TEST(FloatFormats, ComeBackFromTheFolderBitForBit) {
  const test::TempFolder folder;
  const std::string in = write_tiny_model(folder / "in");
  const Model original = open_model(in);
  for (const char* scheme : kStored) {
    SCOPED_TRACE(scheme);
    QuantizeOptions options = with_scheme(scheme);
    options.force = true;
    quantize_model(in, folder / "out", options, Exec{});
    const Model disk = open_model(folder / "out");
    std::vector<std::string> warnings;
    for (const ParameterPlan& plan : plan_quantization(original, options, warnings)) {
      if (!plan.scheme) continue;
      const auto made = quantize_parameter(original, plan, options, 1).quantized();
      const auto read = load_weight(disk, plan.spec).quantized();
      expect_same(read.codes, made.codes);
      expect_same(read.scales, made.scales);
      ASSERT_EQ(read.super_scales.has_value(), made.super_scales.has_value());
      if (made.super_scales) expect_same(*read.super_scales, *made.super_scales);
      ASSERT_EQ(read.super_offsets.has_value(), made.super_offsets.has_value());
      if (made.super_offsets) expect_same(*read.super_offsets, *made.super_offsets);
    }
    const std::vector<int32_t> ids{1, 2, 3};
    const auto logits = [&](const Model& model) {
      const Decoder decoder = load_decoder(model);
      KvCache cache = decoder.make_cache(8, DType::f32);
      return decoder.forward(ids, cache, Decoder::Logits::all, Exec{});
    };
    EXPECT_EQ(logits(disk), logits(quantize_in_memory(original, options, Exec{})));
  }
}

// What vLLM joins has one tensor scale; each other weight has its own.
TEST(FloatFormats, JoinedWeightsShareTheirNvfp4Scale) {
  const test::TempFolder folder;
  const std::string in = write_tiny_model(folder / "in");
  const Model original = open_model(in);
  std::vector<std::string> warnings;
  std::map<std::string, float> scales;
  const QuantizeOptions options = with_scheme("nvfp4");
  for (const ParameterPlan& plan : plan_quantization(original, options, warnings)) {
    if (!plan.scheme || plan.spec.layer < 0) continue;
    const auto q = quantize_parameter(original, plan, options, 1).quantized();
    scales[plan.spec.name] = q.super_scales.value().data<float>()[0];
    float largest = 0;
    const Tensor w = original.weights->get(plan.spec.name).plain();
    for (const float v : w.data<float>()) largest = std::max(largest, std::fabs(v));
    EXPECT_LE(scales[plan.spec.name], 2688 / largest) << plan.spec.name;
  }
  EXPECT_EQ(scales.at("layers.0.attn.wq.weight"), scales.at("layers.0.attn.wk.weight"));
  EXPECT_EQ(scales.at("layers.0.attn.wq.weight"), scales.at("layers.0.attn.wv.weight"));
  EXPECT_NE(scales.at("layers.0.attn.wq.weight"), scales.at("layers.0.attn.wo.weight"));
  EXPECT_NE(scales.at("layers.0.mlp.fc1.weight"), scales.at("layers.0.mlp.fc2.weight"));
}

// A model is measured in any scheme, whether a folder could hold it or not.
TEST(FloatFormats, SchemesWithoutALayoutRunInMemory) {
  const test::TempFolder folder;
  const Model original = open_model(write_tiny_model(folder / "in"));
  for (const char* scheme : {"fp8_e5m2", "fp8_e5m2:tensor", "ternary", "nf4:g16", "fp4:g8"}) {
    const Decoder decoder = load_decoder(quantize_in_memory(original, with_scheme(scheme), Exec{}));
    KvCache cache = decoder.make_cache(8, DType::f32);
    const std::vector<int32_t> ids{1, 2, 3};
    for (const float v : decoder.forward(ids, cache, Decoder::Logits::all, Exec{}))
      ASSERT_TRUE(std::isfinite(v)) << scheme;
  }
}

TEST(FloatFormats, SchemesWithoutALayoutAreRefusedBeforeAnyWork) {
  const test::TempFolder folder;
  const std::string in = write_tiny_model(folder / "in");
  for (const char* scheme : {"fp8_e5m2", "ternary", "nf4:g16", "fp8_e5m2:afp8"}) {
    try {
      quantize_model(in, folder / "out", with_scheme(scheme), Exec{});
      ADD_FAILURE() << scheme;
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find("these can"), std::string::npos) << e.what();
    }
  }
}

}  // namespace
}  // namespace nibble
