// Every layout that is written comes back: the same codes and scales where it holds the scheme as
// it is, the same values where it says it otherwise; and files of other tools are written again
// byte for byte.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "nibble/core/random.h"
#include "nibble/format/quantized_layout.h"
#include "nibble/format/safetensors.h"
#include "nibble/quant/rtn.h"
#include "tests/support/expect_error.h"
#include "tests/support/shared.h"

namespace nibble {
namespace {

using nlohmann::json;
using test::expect_error;

Tensor drawn(int64_t n, int64_t k, uint64_t seed) {
  Tensor out(DType::f32, Shape{n, k});
  PyRandom random(seed);
  for (float& x : out.mutable_data<float>()) x = static_cast<float>(random.gauss(0, 1));
  return out;
}

struct WrittenLayout {
  TensorMap tensors;
  json config;
};

WrittenLayout written(const WeightLayout& layout, const QuantizedTensor& q) {
  const std::vector<LaidWeight> weights{{"m.layers.0.x", q.scheme, q.shape, false}};
  require_held(layout, weights);
  JsonWriter out;
  write_quantization_config({{"m.layers.0.x", q.scheme}}, {"head"}, &layout, out);
  WrittenLayout made{{}, json::parse(out.finish())};
  for (NamedTensor& t : to_tensors("m.layers.0.x.weight", q, &layout))
    made.tensors.emplace(t.name, t.tensor);
  return made;
}

QuantizedTensor read_again(const WrittenLayout& made, std::string_view other_key) {
  json whole = {{"quantization_config", made.config}};
  if (!other_key.empty()) whole[std::string(other_key)] = made.config;
  const JsonFields fields = JsonFields::parse(whole.dump());
  const MatrixModule module{"m.layers.0.x", "Linear"};
  const MemorySource source(made.tensors);
  const StoredModules modules = read_quantization_config(fields, {&module, 1}, source);
  return from_tensors(source, "m.layers.0.x.weight", modules.schemes.at("m.layers.0.x"),
                      modules.layout);
}

void expect_as_planned(const WeightLayout& layout, const QuantizedTensor& q,
                       const TensorMap& tensors) {
  const auto planned =
      tensor_layout("m.layers.0.x.weight", q.scheme, q.shape, q.scales.dtype(), &layout);
  ASSERT_EQ(planned.size(), tensors.size());
  for (const TensorInfo& info : planned) {
    ASSERT_TRUE(tensors.contains(info.name)) << info.name;
    EXPECT_EQ(tensors.at(info.name).dtype(), info.dtype) << info.name;
    EXPECT_EQ(tensors.at(info.name).shape(), info.shape) << info.name;
  }
}

bool alike_bytes(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         std::equal(a.raw(), a.raw() + a.bytes(), b.raw());
}

struct LayoutCase {
  const char* layout;
  const char* scheme;
  bool as_it_is;  // else the values are the same
};
constexpr LayoutCase kCases[] = {
    {"gptq", "int4:g32", true},
    {"gptq", "int4:g32:asym", true},
    {"gptq", "int8:channel", true},
    {"gptq", "int3:g64", true},
    {"gptq", "int3:g32:asym", true},
    {"gptq", "int2:g16", true},
    {"gptq", "int8:g64:asym", true},
    {"gptq", "int4:channel:asym", true},
    {"awq", "int4:g32", true},
    {"awq", "int4:g32:asym", true},
    {"awq", "int4:g64", true},
    {"mlx", "affine4:g32", true},
    {"mlx", "affine3:g64", true},
    {"mlx", "affine8:g32", true},
    {"mlx", "affine2:g64", true},
    {"mlx", "mxfp4", true},
    {"mlx", "int4:g32", false},
    {"mlx", "int4:g64:asym", false},
    {"mlx", "int8:g32", false},
    {"mlx", "int3:g32:asym", false},
    {"bitsandbytes", "nf4:g64", true},
    {"bitsandbytes", "fp4:g32", true},
    {"compressed-tensors", "int4:g32:asym", true},
    {"compressed-tensors", "int8", true},
};

QuantizedTensor rounded(const Tensor& w, const QuantScheme& scheme, DType scales) {
  const RtnOptions options{.scale_dtype = scales};
  return quantize_rtn(w, scheme, options, "x.weight");
}

RC_GTEST_PROP(WrittenLayouts, ComeBack, ()) {
  const auto& c =
      *rc::gen::elementOf(std::vector<LayoutCase>(std::begin(kCases), std::end(kCases)));
  const int64_t n = 32 * *rc::gen::inRange(1, 4), k = 64 * *rc::gen::inRange(2, 6);
  DType dtype = *rc::gen::element(DType::f16, DType::bf16, DType::f32);
  if (!c.as_it_is && dtype == DType::f32) dtype = DType::f16;  // codes times scales are no f32
  RC_LOG() << c.layout << ' ' << c.scheme << ' ' << to_string(dtype) << '\n';
  const WeightLayout& layout = *find_written_layout(c.layout);
  const QuantizedTensor q =
      rounded(drawn(n, k, *rc::gen::arbitrary<uint32_t>()), parse_scheme(c.scheme), dtype);
  const WrittenLayout made = written(layout, q);
  expect_as_planned(layout, q, made.tensors);
  const QuantizedTensor again = read_again(made, layout.other_key);
  const Tensor a = dequantize(again), b = dequantize(q);
  RC_ASSERT(std::ranges::equal(a.data<float>(), b.data<float>()));
  if (!c.as_it_is) return;
  RC_ASSERT(again.scheme == q.scheme);
  RC_ASSERT(alike_bytes(again.codes, q.codes));
  RC_ASSERT(alike_bytes(again.scales, q.scales));
  RC_ASSERT(again.zeros.has_value() == q.zeros.has_value());
  if (q.zeros) RC_ASSERT(alike_bytes(*again.zeros, *q.zeros));
}

// Every layout has at least one of them, so that none goes untried.
TEST(WrittenLayouts, AreAllAmongTheCases) {
  for (const std::string_view name : written_layouts()) {
    EXPECT_TRUE(std::any_of(std::begin(kCases), std::end(kCases), [&](const LayoutCase& c) {
      return c.layout == name;
    })) << name;
    const WeightLayout& layout = *find_written_layout(name);
    EXPECT_TRUE(layout.can_hold(parse_scheme(layout.usual_scheme))) << name;
  }
  EXPECT_EQ(find_written_layout("fp8"), nullptr);  // is read only
  EXPECT_EQ(find_written_layout("marlin"), nullptr);
}

// auto-round 0.15 wrote these (../shared/data/thirdparty): read and written again they are its own
// bytes.
class OfOthers : public testing::TestWithParam<std::string> {};

TEST_P(OfOthers, AreWrittenByteForByte) {
  const std::string folder = "../shared/data/thirdparty/llama-shakespeare-" + GetParam() + "-w4g32";
  if (test::lacks_shared(folder)) GTEST_SKIP() << folder;
  const auto source = open_safetensors_folder(folder);
  const WeightLayout& layout = *find_written_layout(GetParam());
  const QuantScheme scheme = parse_scheme("int4:g32");
  int modules = 0, tensors = 0;
  for (const TensorInfo& info : source->list()) {
    if (!info.name.ends_with(".qweight")) continue;
    const std::string module = info.name.substr(0, info.name.size() - 8);
    const QuantizedTensor q = layout.from_tensors(*source, module, scheme, {});
    for (const NamedTensor& t : layout.to_tensors(module, q)) {
      EXPECT_TRUE(alike_bytes(t.tensor, source->get(t.name))) << t.name;
      ++tensors;
    }
    ++modules;
  }
  EXPECT_EQ(modules, 35);
  EXPECT_EQ(tensors, 35 * (GetParam() == "gptq" ? 4 : 3));
}

INSTANTIATE_TEST_SUITE_P(AutoRound, OfOthers, testing::Values("gptq", "awq"),
                         [](const auto& info) { return info.param; });

json written_config(const char* layout, const SchemeMap& schemes,
                    const std::vector<std::string>& plain) {
  JsonWriter out;
  write_quantization_config(schemes, plain, find_written_layout(layout), out);
  return json::parse(out.finish());
}

TEST(WrittenLayouts, GptqSaysWhatDiffersAndWhatIsPlain) {
  const QuantScheme four = parse_scheme("int4:g128"), eight = parse_scheme("int8:channel");
  const json config = written_config(
      "gptq", {{"m.layers.0.a", eight}, {"m.layers.0.b", four}, {"m.layers.1.a", four}},
      {"m.layers.1.b", "m.embed", "lm_head"});
  EXPECT_EQ(config.at("bits"), 4);
  EXPECT_EQ(config.at("group_size"), 128);
  EXPECT_EQ(config.at("checkpoint_format"), "gptq");
  EXPECT_EQ(config.at("lm_head"), false);
  EXPECT_EQ(config.at("dynamic"),
            json({{"-:^m\\.layers\\.1\\.b$", json::object()},
                  {"+:^m\\.layers\\.0\\.a$", {{"bits", 8}, {"group_size", -1}}}}));
  EXPECT_EQ(
      written_config("gptq", {{"x", parse_scheme("int4:g32:asym")}}, {}).at("checkpoint_format"),
      "gptq_v2");
  EXPECT_FALSE(written_config("gptq", {{"x", four}}, {"lm_head"}).contains("dynamic"));
}

TEST(WrittenLayouts, MlxSaysTheSettingsOfEachThatDiffers) {
  const json config = written_config("mlx",
                                     {{"a", parse_scheme("affine4:g64")},
                                      {"b", parse_scheme("affine8:g32")},
                                      {"c", parse_scheme("mxfp4")}},
                                     {"head"});
  EXPECT_EQ(config, json({{"group_size", 64},
                          {"bits", 4},
                          {"mode", "affine"},
                          {"b", {{"group_size", 32}, {"bits", 8}, {"mode", "affine"}}},
                          {"c", {{"group_size", 32}, {"bits", 4}, {"mode", "mxfp4"}}}}));
}

void expect_not_held(const char* layout, const char* scheme, const Shape& shape, bool conv1d,
                     std::string_view why) {
  const std::vector<LaidWeight> weights{{"x", parse_scheme(scheme), shape, conv1d}};
  SCOPED_TRACE(std::string(layout) + ' ' + scheme);
  expect_error(ErrorKind::unsupported, std::string(why),
               [&] { require_held(*find_written_layout(layout), weights); });
}

TEST(WrittenLayouts, WhatDoesNotFitIsRefused) {
  expect_not_held("gptq", "int5:g32", Shape{32, 32}, false, "gptq, which holds int2");
  expect_not_held("gptq", "int8:a8", Shape{32, 32}, false, "gptq, which holds");
  expect_not_held("gptq", "int4:g32", Shape{40, 64}, false, "this matrix has 40 and 64");
  expect_not_held("awq", "int8:g32", Shape{32, 32}, false, "awq, which holds int4");
  expect_not_held("awq", "int4:g32", Shape{12, 64}, false, "this matrix has 12");
  expect_not_held("awq", "int4:g32", Shape{16, 64}, true, "Conv1D");
  expect_not_held("mlx", "int4:g16", Shape{16, 64}, false, "mlx, which holds");
  expect_not_held("mlx", "affine4:g128", Shape{16, 192}, false, "192 inputs are none of 128");
  expect_not_held("bitsandbytes", "int4:g32", Shape{16, 64}, false, "bitsandbytes, which holds");
}

TEST(WrittenLayouts, ProductsThatAreRoundedBeforeAnOffsetAreRefused) {
  for (const char* scheme : {"int8:g32:asym", "int4:g32"}) {
    const QuantizedTensor q = rounded(drawn(32, 64, 3), parse_scheme(scheme), DType::f32);
    expect_error(ErrorKind::unsupported, "to the last bit",
                 [&] { to_tensors("x.weight", q, find_written_layout("mlx")); });
  }
}

TEST(WrittenLayouts, OneSchemeServesAllOfAwq) {
  const std::vector<LaidWeight> weights{{"a", parse_scheme("int4:g32"), Shape{16, 64}},
                                        {"b", parse_scheme("int4:g64"), Shape{16, 64}}};
  expect_error(ErrorKind::unsupported, "int4:g32, int4:g64 side by side",
               [&] { require_held(*find_written_layout("awq"), weights); });
}

}  // namespace
}  // namespace nibble
