// A GGUF file that nibble writes opens as the model that it was made of, packed weights as they
// were.
#include "nibble/model/write_gguf.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "nibble/core/float_formats.h"
#include "nibble/format/gguf_file.h"
#include "nibble/quant/rtn.h"
#include "tests/support/expect_error.h"
#include "tests/support/shared.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

using test::expect_error;

std::vector<WritableParameter> as_they_are(const Model& model) {
  std::vector<WritableParameter> out;
  for (const ParamSpec& p : parameter_table(model.config)) {
    const StoredAs stored = model.weights->stored_as(p.name);
    out.push_back({p, stored.scheme, stored.dtype, [&model, p] { return load_weight(model, p); }});
  }
  return out;
}

class WrittenGguf : public testing::Test {
 protected:
  Model back(const Model& model, const std::vector<WritableParameter>& parameters) {
    const int64_t bytes = write_gguf(model, path_, parameters, {"a test", "{}"}, warnings_);
    EXPECT_EQ(bytes, static_cast<int64_t>(std::filesystem::file_size(path_)));
    return open_model(path_);
  }
  test::TempFolder folder_;
  std::string path_ = folder_ / "model.gguf";
  std::vector<std::string> warnings_;
};

class WrittenArchitectures : public WrittenGguf, public testing::WithParamInterface<const char*> {};

TEST_P(WrittenArchitectures, OpenAsTheModelThatTheyWere) {
  for (const bool tied : {false, true}) {
    DecoderConfig c = tiny_decoder_config(GetParam());
    c.tied = tied;
    if (c.architecture == "gemma2")
      c.attention_scale = 1 / std::sqrt(static_cast<double>(c.head_dim));
    const Model model = tiny_decoder(c, 7), again = back(model, as_they_are(model));
    EXPECT_EQ(again.decoder_config().layers, c.layers);
    EXPECT_EQ(again.decoder_config().rope, c.rope);
    const std::vector<int32_t> ids{3, 1, 18, 7, 2};
    EXPECT_EQ(logits_of_tokens(again, ids), logits_of_tokens(model, ids));
    EXPECT_TRUE(again.warnings.empty()) << again.warnings.front();
  }
}

INSTANTIATE_TEST_SUITE_P(All, WrittenArchitectures,
                         testing::Values("llama", "mixtral", "qwen2", "qwen3", "gemma2", "gpt2"),
                         [](const auto& of) { return std::string(of.param); });

TEST_F(WrittenGguf, RotationsComeBackHoweverTheyAreStretched) {
  DecoderConfig c = tiny_decoder_config("llama");
  c.head_dim = 32;
  for (const RopeScaling scaling : {RopeScaling::none, RopeScaling::linear, RopeScaling::llama3}) {
    c.rope = {};
    c.rope.theta = 500000;
    c.rope.scaling = scaling;
    if (scaling != RopeScaling::none) c.rope.factor = 8;
    if (scaling == RopeScaling::llama3) c.rope.original_context = 8192;
    const Model model = tiny_decoder(c, 7), again = back(model, as_they_are(model));
    const RopeConfig found = again.decoder_config().rope;
    EXPECT_EQ(found.scaling, scaling);
    EXPECT_FLOAT_EQ(static_cast<float>(found.factor), static_cast<float>(c.rope.factor));
  }
}

// Every scheme that a type of GGUF holds comes back with the weights that it stands for.
TEST_F(WrittenGguf, PackedWeightsComeBackAsTheyWere) {
  const Model model = tiny_decoder(blocky_decoder_config(2), 7);
  for (const char* text :
       {"int4:g32", "int5:g32", "int8:g32", "int8:g64", "int4:g128", "int8", "int8:tensor", "q4_1",
        "q5_1", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl", "iq4_xs", "mxfp4"}) {
    const QuantScheme scheme = parse_scheme(text);
    std::map<std::string, Tensor> wanted;
    std::vector<WritableParameter> parameters = as_they_are(model);
    for (WritableParameter& p : parameters) {
      if (!p.spec.is_matrix() || p.spec.layer < 0) continue;
      const QuantizedTensor q = quantize_rtn(p.make().plain(), scheme, {}, p.spec.name);
      wanted.emplace(p.spec.name, dequantize(q));
      p.scheme = scheme;
      p.make = [q]() -> Weight { return q; };
    }
    const Model again = back(model, parameters);
    for (const WritableParameter& p : parameters) {
      if (!p.scheme) continue;
      const Weight w = load_weight(again, p.spec);
      ASSERT_TRUE(w.is_quantized()) << text;
      EXPECT_EQ(w.values(), Weight(wanted.at(p.spec.name)).values()) << text << " " << p.spec.name;
    }
  }
}

TEST_F(WrittenGguf, WhatItCannotHoldIsRefusedByName) {
  const Model model = tiny_decoder(tiny_decoder_config("llama"), 7);
  std::vector<WritableParameter> parameters = as_they_are(model);
  for (WritableParameter& p : parameters) {
    if (p.spec.role == Role::q) p.scheme = parse_scheme("nf4");
  }
  expect_error(ErrorKind::unsupported, "no type of GGUF holds nf4",
               [&] { require_gguf(model, parameters); });
  const Model micro = tiny_decoder(tiny_decoder_config("opt"), 7);
  expect_error(ErrorKind::unsupported, "nibble writes no GGUF files of",
               [&] { require_gguf(micro, as_they_are(micro)); });
  EXPECT_FALSE(std::filesystem::exists(path_));
}

// What no key says is refused, not lost.
TEST_F(WrittenGguf, WindowsThatItCannotSayAreRefused) {
  DecoderConfig c = tiny_decoder_config("qwen2");
  c.sliding_window = 6;
  c.layer_kinds = {LayerKind::full, LayerKind::window};
  const Model some = tiny_decoder(c, 7);
  expect_error(ErrorKind::unsupported, "window", [&] { require_gguf(some, as_they_are(some)); });
  DecoderConfig g = tiny_decoder_config("gemma2");
  g.attention_scale = 1 / std::sqrt(static_cast<double>(g.head_dim));
  std::swap(g.layer_kinds[0], g.layer_kinds[1]);
  const Model turned = tiny_decoder(g, 7);
  expect_error(ErrorKind::unsupported, "window",
               [&] { require_gguf(turned, as_they_are(turned)); });
  DecoderConfig m = tiny_decoder_config("mistral");
  m.sliding_window = 6;
  m.layer_kinds = {LayerKind::window, LayerKind::window};
  const Model mistral = tiny_decoder(m, 7), again = back(mistral, as_they_are(mistral));
  EXPECT_EQ(again.decoder_config(), m);
  EXPECT_EQ(
      std::count_if(warnings_.begin(), warnings_.end(),
                    [](const std::string& w) { return w.starts_with("llama.cpp does not read"); }),
      1);
}

TEST_F(WrittenGguf, IsNamedAfterItsFolderAndItsMixture) {
  Model model = tiny_decoder(blocky_decoder_config(2), 7);
  model.path = "models/tiny/";
  write_gguf(model, path_, as_they_are(model), {"", "", "Q4_K_M"}, warnings_);
  const GgufFile file = GgufFile::open(path_);
  EXPECT_EQ(file.metadata().string("general.name"), "tiny");
  EXPECT_EQ(file.metadata().integer("general.file_type"), 15);
}

TEST_F(WrittenGguf, OfAModelWithATokenizerGivesTheSameIds) {
  const std::string models = "../shared/data/models/";
  if (test::lacks_shared(models)) GTEST_SKIP() << models;
  for (const char* name : {"llama-shakespeare", "gpt2-shakespeare", "stories260k"}) {
    const Model model = open_model(models + name);
    const Model again = back(model, as_they_are(model));
    const std::string text = "ROMEO:\nWhat's 12 o'clock, \xC3\xA9t\xC3\xA9?  Two  spaces\n\n";
    EXPECT_EQ(again.require_tokenizer().encode(text, true),
              model.require_tokenizer().encode(text, true))
        << name;
    EXPECT_EQ(again.require_tokenizer().eos(), model.require_tokenizer().eos());
    const GgufFile file = GgufFile::open(path_);
    EXPECT_EQ(file.metadata().string("general.quantized_by"), "a test");
  }
}

}  // namespace
}  // namespace nibble
