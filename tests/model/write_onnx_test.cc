// An ONNX folder that nibble writes opens as the model that it was made of, packed weights as they
// were; its graph is whole. That other programs compute the same from it: tests/interop.
#include "nibble/model/write_onnx.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "nibble/core/float_formats.h"
#include "nibble/quant/rtn.h"
#include "tests/support/expect_error.h"
#include "tests/support/onnx_parts.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

using test::expect_error;
using test::OnnxParts;

std::vector<WritableParameter> with_stored_types(const Model& model) {
  std::vector<WritableParameter> out;
  for (const ParamSpec& p : parameter_table(model.config)) {
    const StoredAs stored = model.weights->stored_as(p.name);
    out.push_back({p, stored.scheme, stored.dtype, [&model, p] { return load_weight(model, p); }});
  }
  return out;
}

// Every matrix, tables and head included.
std::vector<WritableParameter> in_scheme(const Model& model, std::string_view text) {
  std::vector<WritableParameter> out = with_stored_types(model);
  for (WritableParameter& p : out) {
    if (!p.spec.is_matrix()) continue;
    p.scheme = storable_scheme(parse_scheme(text), p.spec.shape[1]);
    p.dtype = DType::f16;
    p.make = [q = quantize_rtn(p.make().plain(), *p.scheme, {}, p.spec.name)]() -> Weight {
      return q;
    };
  }
  return out;
}

class WrittenOnnx : public testing::Test {
 protected:
  Model back(const Model& model, const std::vector<WritableParameter>& parameters) {
    bytes_ = write_onnx(model, folder_.path(), parameters, warnings_);
    return open_model(folder_.path());
  }
  OnnxParts parts() const { return test::onnx_parts(folder_.path()); }
  test::TempFolder folder_;
  int64_t bytes_ = 0;
  std::vector<std::string> warnings_;
};

class WrittenOnnxOf : public WrittenOnnx, public testing::WithParamInterface<const char*> {};

// Whatever a node reads is an input, a tensor or what a node before it gave; nothing is made twice.
void expect_whole(const OnnxParts& parts) {
  std::set<std::string> known;
  const auto make = [&](const std::string& name) {
    EXPECT_TRUE(known.insert(name).second) << name;
  };
  for (const auto& v : parts.inputs) make(v.name);
  for (const auto& [name, tensor] : parts.initializers) make(name);
  for (const OnnxParts::Node& n : parts.nodes) {
    for (const std::string& name : n.inputs) EXPECT_TRUE(known.contains(name)) << n.op << name;
    for (const std::string& name : n.outputs) make(name);
  }
  for (const auto& v : parts.outputs) EXPECT_TRUE(known.contains(v.name)) << v.name;
}

TEST_P(WrittenOnnxOf, OpensAsTheModelThatItWas) {
  for (const bool tied : {false, true}) {
    DecoderConfig c = tiny_decoder_config(GetParam());
    c.tied = tied;
    const Model model = tiny_decoder(c, 7), again = back(model, with_stored_types(model));
    EXPECT_EQ(again.decoder_config(), c);
    const std::vector<int32_t> ids{3, 1, 18, 7, 2};
    EXPECT_EQ(logits_of_tokens(again, ids), logits_of_tokens(model, ids));
    EXPECT_TRUE(again.warnings.empty()) << again.warnings.front();
    expect_whole(parts());
    for (const char* scheme : {"int8", "int4:g16:asym"}) {
      back(model, in_scheme(model, scheme));
      expect_whole(parts());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, WrittenOnnxOf,
                         testing::Values("llama", "mistral", "qwen2", "qwen3", "gemma2", "gpt2",
                                         "opt", "micro_gpt"),
                         [](const auto& of) { return std::string(of.param); });

TEST_F(WrittenOnnx, HasTheInputsAndOutputsThatOthersLookFor) {
  DecoderConfig c = tiny_decoder_config("llama");
  const Model model = tiny_decoder(c, 7);
  back(model, with_stored_types(model));
  const OnnxParts p = parts();
  EXPECT_EQ(p.producer, "nibble");
  EXPECT_EQ(p.opsets, (std::map<std::string, int64_t>{{"", 13}}));
  const auto shown = [](const std::vector<OnnxParts::Value>& values) {
    std::vector<std::string> out;
    for (const auto& v : values) out.push_back(v.name + " " + std::to_string(v.type) + v.shape);
    return out;
  };
  const std::string past = " 1[batch_size, 2, past_sequence_length, 4]",
                    present = " 1[batch_size, 2, total_sequence_length, 4]";
  EXPECT_EQ(
      shown(p.inputs),
      (std::vector<std::string>{"input_ids 7[batch_size, sequence_length]",
                                "attention_mask 7[batch_size, total_sequence_length]",
                                "position_ids 7[batch_size, sequence_length]",
                                "past_key_values.0.key" + past, "past_key_values.0.value" + past,
                                "past_key_values.1.key" + past, "past_key_values.1.value" + past}));
  EXPECT_EQ(shown(p.outputs),
            (std::vector<std::string>{"logits 1[batch_size, sequence_length, 50]",
                                      "present.0.key" + present, "present.0.value" + present,
                                      "present.1.key" + present, "present.1.value" + present}));
}

TEST_F(WrittenOnnx, PackedWeightsComeBackAsTheyWere) {
  const Model model = tiny_decoder(blocky_decoder_config(1), 7);
  for (const char* text : {"int8", "int8:asym", "int8:tensor", "int8:tensor:asym", "int2:g16",
                           "int2:g64:asym", "int4:g32", "int4:g32:asym", "int4:g128", "int8:g64",
                           "int8:g16:asym", "int4", "int4:tensor", "int4:g512"}) {
    const std::vector<WritableParameter> parameters = in_scheme(model, text);
    const Model again = back(model, parameters);
    for (const WritableParameter& p : parameters) {
      const Weight w = load_weight(again, p.spec);
      ASSERT_EQ(w.is_quantized(), p.scheme.has_value()) << text;
      EXPECT_EQ(w.values(), p.make().values()) << text << " " << p.spec.name;
      if (p.scheme && parse_scheme(text).granularity == Granularity::group &&
          parse_scheme(text).group <= 256) {
        EXPECT_EQ(w.quantized().scheme, *p.scheme);
      }
    }
    EXPECT_TRUE(is_quantized(again));
  }
}

TEST_F(WrittenOnnx, Int8IsDequantizedAlongTheOutputs) {
  const Model model = tiny_decoder(blocky_decoder_config(1), 7);
  const std::vector<WritableParameter> parameters = in_scheme(model, "int8");
  back(model, parameters);
  const OnnxParts p = parts();
  const std::string name = "model.layers.0.mlp.down_proj.weight";
  const auto made = std::find_if(parameters.begin(), parameters.end(),
                                 [&](const auto& each) { return each.spec.name == name; });
  const Weight weight = made->make();
  const QuantizedTensor& q = weight.quantized();
  const OnnxParts::Initializer codes = p.initializers.at(name + "_Q8"),
                               scales = p.initializers.at(name + "_scales");
  ASSERT_EQ(codes.dims, (std::vector<int64_t>{256, 256}));
  EXPECT_EQ(codes.type, 3);  // INT8
  EXPECT_EQ(scales.dims, (std::vector<int64_t>{256}));
  EXPECT_FALSE(p.initializers.contains(name + "_zero_points"));
  for (int64_t n = 0; n < 256; ++n) {
    float scale;
    std::memcpy(&scale, scales.bytes.data() + 4 * n, 4);
    EXPECT_EQ(scale, q.scale(n));
    for (int64_t k = 0; k < 256; ++k) {
      const int code = static_cast<int8_t>(codes.bytes[static_cast<size_t>(k * 256 + n)]);
      ASSERT_EQ(code, q.codes.data<uint8_t>()[static_cast<size_t>(n * 256 + k)] - 128);
    }
  }
  for (const OnnxParts::Node& n : p.nodes) {
    if (n.op == "DequantizeLinear" && n.inputs[0] == name + "_Q8") {
      EXPECT_EQ(n.integers.at("axis"), 1);
    }
  }
}

TEST_F(WrittenOnnx, Int4IsMultipliedInItsBlocks) {
  const Model model = tiny_decoder(blocky_decoder_config(1), 7);
  const std::vector<WritableParameter> parameters = in_scheme(model, "int4:g32:asym");
  back(model, parameters);
  const OnnxParts p = parts();
  EXPECT_EQ(p.opsets, (std::map<std::string, int64_t>{{"", 13}, {"com.microsoft", 1}}));
  const std::string name = "model.layers.0.self_attn.k_proj.weight";
  const auto made = std::find_if(parameters.begin(), parameters.end(),
                                 [&](const auto& each) { return each.spec.name == name; });
  const Weight weight = made->make();
  const QuantizedTensor& q = weight.quantized();
  const OnnxParts::Initializer codes = p.initializers.at(name + "_Q4G32"),
                               zeros = p.initializers.at(name + "_zero_points");
  EXPECT_EQ(codes.dims, (std::vector<int64_t>{128, 8, 16}));
  EXPECT_EQ(codes.type, 2);  // UINT8
  EXPECT_EQ(codes.bytes,
            std::string(reinterpret_cast<const char*>(q.codes.raw()), q.codes.bytes()));
  ASSERT_EQ(zeros.dims, (std::vector<int64_t>{128, 4}));
  for (size_t i = 0; i < 128 * 8; ++i) {
    const int byte = static_cast<uint8_t>(zeros.bytes[i / 2]);
    EXPECT_EQ(i % 2 == 0 ? byte & 15 : byte >> 4, q.zeros->data<uint8_t>()[i]);
  }
  const auto node = std::find_if(p.nodes.begin(), p.nodes.end(), [&](const auto& n) {
    return n.op == "MatMulNBits" && n.inputs[1] == name + "_Q4G32";
  });
  ASSERT_NE(node, p.nodes.end());
  EXPECT_EQ(node->domain, "com.microsoft");
  EXPECT_EQ(node->integers,
            (std::map<std::string, int64_t>{
                {"K", 256}, {"N", 128}, {"accuracy_level", 1}, {"bits", 4}, {"block_size", 32}}));
}

// Groups that end within a block, and widths that do.
TEST_F(WrittenOnnx, OneGroupOfAnyWidthIsFilledUp) {
  DecoderConfig c = tiny_decoder_config("llama");
  c.intermediate_size = 27;
  const Model model = tiny_decoder(c, 7);
  for (const char* text : {"int4:g32:asym", "int4", "int2:g64", "int8:g128:asym"}) {
    const std::vector<WritableParameter> parameters = in_scheme(model, text);
    const Model again = back(model, parameters);
    for (const WritableParameter& p : parameters)
      EXPECT_EQ(load_weight(again, p.spec).values(), p.make().values()) << text << p.spec.name;
  }
}

TEST_F(WrittenOnnx, HalvesStayHalves) {
  for (const DType dtype : {DType::f16, DType::bf16}) {
    const Model model = tiny_decoder(tiny_decoder_config("llama"), 7);
    std::vector<WritableParameter> parameters = with_stored_types(model);
    for (WritableParameter& p : parameters) {
      p.dtype = dtype;
      p.make = [t = convert(p.make().plain(), dtype)]() -> Weight { return t; };
    }
    const Model again = back(model, parameters);
    for (const WritableParameter& p : parameters) {
      EXPECT_EQ(again.weights->stored_as(p.spec.name).dtype,
                p.spec.is_matrix() ? dtype : DType::f32);
      EXPECT_EQ(load_weight(again, p.spec).values(), p.make().values());
    }
  }
}

TEST_F(WrittenOnnx, LargeTensorsLieBesideItWhereTheyCanBeMapped) {
  const Model model = tiny_decoder(blocky_decoder_config(1), 7);
  back(model, with_stored_types(model));
  size_t outside = 0;
  for (const auto& [name, tensor] : parts().initializers) {
    if (tensor.offset < 0) {
      EXPECT_LT(tensor.bytes.size(), 4096u) << name;
    } else {
      EXPECT_EQ(tensor.offset % 4096, 0) << name;
      ++outside;
    }
  }
  EXPECT_GT(outside, 5u);
  EXPECT_EQ(bytes_, static_cast<int64_t>(std::filesystem::file_size(folder_ / "model.onnx") +
                                         std::filesystem::file_size(folder_ / "model.onnx.data")));
}

TEST_F(WrittenOnnx, WhatItCannotHoldIsRefusedByName) {
  const Model model = tiny_decoder(tiny_decoder_config("llama"), 7);
  const auto refused = [&](std::string_view scheme, std::string_view words) {
    std::vector<WritableParameter> parameters = with_stored_types(model);
    for (WritableParameter& p : parameters) {
      if (p.spec.role == Role::down) p.scheme = parse_scheme(scheme);
    }
    expect_error(ErrorKind::unsupported, words, [&] { require_onnx(model, parameters); });
    expect_error(ErrorKind::unsupported, "down_proj", [&] { require_onnx(model, parameters); });
  };
  refused("nf4", "nf4:g64 in ONNX: no operator has this type; int8");
  refused("int3:g32", "no operator has this type");
  refused("q4_k", "no operator has this type");
  refused("int8:a8", "inputs stay as they are");
  refused("int4:g8", "groups of 8 are no blocks");
  for (const char* type : {"mixtral", "lfm2"}) {
    const Model other = tiny_decoder(tiny_decoder_config(type), 7);
    expect_error(ErrorKind::unsupported, type,
                 [&] { require_onnx(other, with_stored_types(other)); });
  }
  const Model mlp = in_memory(MlpConfig{{3, 4, 2}}, random_weights(MlpConfig{{3, 4, 2}}, 7),
                              CharTokenizer::from_text(kTinyText, true));
  expect_error(ErrorKind::unsupported, "MLP", [&] { require_onnx(mlp, with_stored_types(mlp)); });
  EXPECT_EQ(folder_.size(), 0u);
}

TEST_F(WrittenOnnx, SaysHowItIsRun) {
  DecoderConfig c = tiny_decoder_config("qwen3");
  const Model model = tiny_decoder(c, 7);
  back(model, with_stored_types(model));
  const JsonFields genai = JsonFields::parse(test::get_file(folder_ / "genai_config.json"));
  EXPECT_EQ(genai.string("model.type"), "qwen3");
  EXPECT_EQ(genai.integer("model.context_length"), 64);
  EXPECT_EQ(genai.integer("model.decoder.num_key_value_heads"), 2);
  EXPECT_EQ(genai.string("model.decoder.inputs.past_key_names"), "past_key_values.%d.key");
  const JsonFields config = JsonFields::parse(test::get_file(folder_ / "config.json"));
  EXPECT_FALSE(config.contains("quantization_config"));
}

// Only what nibble wrote is known to compute what config.json says.
TEST_F(WrittenOnnx, OfOthersIsNotOpened) {
  const Model model = tiny_decoder(tiny_decoder_config("llama"), 7);
  back(model, with_stored_types(model));
  std::string file = test::get_file(folder_ / "model.onnx");
  file.replace(file.find("nibble"), 6, "others");
  test::put_file(folder_ / "model.onnx", file);
  expect_error(ErrorKind::unsupported, "was made by \"others\"",
               [&] { (void)open_model(folder_.path()); });
}

}  // namespace
}  // namespace nibble
