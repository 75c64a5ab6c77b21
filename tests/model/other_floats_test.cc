// Weights in types that nothing multiplies: f64 and fp8 are read as f32, in every place a model
// has; what f32 cannot hold and what is no float is refused by name.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "nibble/compress/quantize.h"
#include "nibble/core/float_formats.h"
#include "nibble/format/safetensors.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;
using test::expect_error;

using Change = std::function<Tensor(const std::string& name, const Tensor& stored)>;

// The folder `from` with every tensor as `change` makes it.
std::string rewritten(const std::string& from, const std::string& to, const Change& change) {
  fs::create_directories(to);
  for (const auto& entry : fs::directory_iterator(from)) {
    if (entry.path().filename().string().find("safetensors") == std::string::npos)
      fs::copy(entry.path(), to + "/" + entry.path().filename().string());
  }
  const auto stored = open_safetensors_folder(from);
  std::vector<NamedTensor> tensors;
  for (const TensorInfo& i : stored->list())
    tensors.push_back({i.name, change(i.name, stored->get(i.name))});
  write_safetensors(to + "/model.safetensors", tensors);
  return to;
}

std::vector<float> folder_logits(const std::string& folder) {
  return logits_of_tokens(open_model(folder), {3, 1, 18, 7, 7, 2, 11});
}

Change as(DType dtype) {
  return [dtype](const std::string&, const Tensor& t) { return convert(t, dtype); };
}

// Rows and columns exchanged, names without their beginning, a tied head, norms inside attention.
class OtherFloats : public testing::TestWithParam<const char*> {
 protected:
  const std::string model_ = "tests/golden/models/" + std::string(GetParam());
  test::TempFolder files_;
};

TEST_P(OtherFloats, F64IsTheSameModel) {
  EXPECT_EQ(folder_logits(rewritten(model_, files_ / "wide", as(DType::f64))),
            folder_logits(model_));
}

TEST_P(OtherFloats, Fp8IsTheModelOfItsValues) {
  const std::string narrow = rewritten(model_, files_ / "narrow", as(DType::f8_e4m3));
  EXPECT_EQ(folder_logits(narrow),
            folder_logits(rewritten(narrow, files_ / "values", as(DType::f32))));
}

TEST_P(OtherFloats, OneTensorOfThemIsEnough) {
  const auto stored = open_safetensors_folder(model_);
  for (const TensorInfo& i : stored->list()) {
    SCOPED_TRACE(i.name);
    const std::string out = files_ / i.name;
    const auto one = [&](const std::string& name, const Tensor& t) {
      return name == i.name ? convert(t, DType::f64) : t.clone();
    };
    EXPECT_EQ(folder_logits(rewritten(model_, out, one)), folder_logits(model_));
  }
}

INSTANTIATE_TEST_SUITE_P(Models, OtherFloats, testing::Values("gpt2-bare", "llama-tied", "qwen3"),
                         [](const auto& param) {
                           std::string name = param.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

const std::string kPlainLlama = "tests/golden/models/llama";
const std::string kUp = "model.layers.1.mlp.up_proj.weight";

// Gains that are stored less 1.
TEST(F64, OffsetsAreAddedAllTheSame) {
  const test::TempFolder files;
  const Model model = tiny_decoder(tiny_decoder_config("gemma2"), 3);
  std::vector<WritableParameter> all;
  for (const ParamSpec& p : parameter_table(model.config))
    all.push_back({p, std::nullopt, DType::f32, [&model, p] { return load_weight(model, p); }});
  fs::create_directories(files / "plain");
  write_model(files / "plain", model.config, all, nullptr);
  EXPECT_EQ(folder_logits(rewritten(files / "plain", files / "wide", as(DType::f64))),
            folder_logits(files / "plain"));
}

// What is made of such a model can be opened, and holds f32 where it keeps tensors.
TEST(F64, IsQuantizedAsF32Is) {
  const test::TempFolder files;
  const std::string plain = write_tiny_model(files / "plain");
  const std::string wide = rewritten(plain, files / "wide", as(DType::f64));
  QuantizeOptions o;
  o.scheme = parse_scheme("int8");
  for (const char* keep : {"wte*", "lm_head*"}) o.keep.push_back(parse_keep_rule(keep));
  quantize_model(plain, files / "a", o, Exec{});
  quantize_model(wide, files / "b", o, Exec{});
  EXPECT_EQ(logits_of_tokens(open_model(files / "b"), {1, 2, 3}),
            logits_of_tokens(open_model(files / "a"), {1, 2, 3}));
  const auto written = open_safetensors_folder(files / "b");
  for (const TensorInfo& i : written->list()) EXPECT_NE(i.dtype, DType::f64) << i.name;
}

TEST(F64, WhatF32CannotHoldIsRefusedByName) {
  const test::TempFolder files;
  const auto with = [&](double value) {
    const std::string out = files / ("m" + std::to_string(files.size()));
    return rewritten(kPlainLlama, out, [&](const std::string& name, const Tensor& t) {
      Tensor wide = convert(t, DType::f64);
      if (name == kUp) wide.mutable_data<double>()[5] = value;
      return wide;
    });
  };
  for (const double value : {1e300, -3.5e38}) {
    const std::string m = with(value);
    expect_error(ErrorKind::unsupported,
                 m + ": tensor \"" + kUp + "\": holds weights beyond the range of f32",
                 [&] { folder_logits(m); });
    expect_error(ErrorKind::unsupported, "beyond the range of f32",
                 [&] { quantize_model(m, files / "out", QuantizeOptions{}, Exec{}); });
  }
  expect_error(ErrorKind::corrupt, "tensor \"" + kUp + "\": row 0 col 5 is infinite (1 such value)",
               [&] { folder_logits(with(INFINITY)); });
  expect_error(ErrorKind::corrupt, "tensor \"" + kUp + "\": row 0 col 5 is NaN",
               [&] { folder_logits(with(NAN)); });
  EXPECT_NO_THROW(folder_logits(with(1e-300)));  // 0 as f32, as every number so small
}

// The values alone are another model.
TEST(Fp8, WithAScaleThatTheConfigDoesNotNameIsRefused) {
  const test::TempFolder files;
  const std::string module = kUp.substr(0, kUp.size() - std::string(".weight").size());
  for (const std::string& scale : {kUp + "_scale", kUp + "_scale_inv", module + ".scale_weight"}) {
    const std::string out = files / scale;
    fs::create_directories(out);
    fs::copy(kPlainLlama + "/config.json", out + "/config.json");
    const auto stored = open_safetensors_folder(kPlainLlama);
    std::vector<NamedTensor> tensors{{scale, Tensor(DType::f32, Shape{1})}};
    for (const TensorInfo& i : stored->list())
      tensors.push_back(
          {i.name, convert(stored->get(i.name), i.name == kUp ? DType::f8_e4m3 : DType::f32)});
    write_safetensors(out + "/model.safetensors", tensors);
    expect_error(ErrorKind::corrupt,
                 "tensor \"" + kUp +
                     "\": expected numbers of a float type, found f8_e4m3 with the scale \"" +
                     scale + "\", and config.json does not say how they are quantized",
                 [&] { open_model(out); });
  }
}

// GPTQ's and AWQ's files of before 2023 keep their settings beside config.json.
TEST(Integers, AsGptqStoresThemAreNamed) {
  const test::TempFolder files;
  const std::string out = files / "gptq";
  fs::create_directories(out);
  fs::copy(kPlainLlama + "/config.json", out + "/config.json");
  const std::string packed = "model.layers.1.mlp.up_proj.qweight";
  const auto stored = open_safetensors_folder(kPlainLlama);
  std::vector<NamedTensor> tensors;
  for (const TensorInfo& i : stored->list())
    tensors.push_back({i.name == kUp ? packed : i.name,
                       i.name == kUp ? Tensor(DType::i32, Shape{2, 8}) : stored->get(i.name)});
  write_safetensors(out + "/model.safetensors", tensors);
  expect_error(ErrorKind::corrupt,
               "tensor \"" + kUp +
                   "\": the config asks for this tensor, the file does not have "
                   "it but \"" +
                   packed + "\", as GPTQ and AWQ store it",
               [&] { open_model(out); });
}

TEST(Integers, AreNoWeightsWhereNothingSaysHowTheyAreQuantized) {
  const test::TempFolder files;
  for (const DType dtype : {DType::i32, DType::i8, DType::u8}) {
    for (const std::string& name :
         {kUp, std::string("model.norm.weight"), std::string("model.embed_tokens.weight")}) {
      const std::string out = files / (std::string(to_string(dtype)) + name);
      rewritten(kPlainLlama, out, [&](const std::string& n, const Tensor& t) {
        return n == name ? Tensor(dtype, t.shape()) : t.clone();
      });
      expect_error(ErrorKind::corrupt,
                   "tensor \"" + name + "\": expected numbers of a float type, found " +
                       std::string(to_string(dtype)),
                   [&] { open_model(out); });
    }
  }
}

}  // namespace
}  // namespace nibble
