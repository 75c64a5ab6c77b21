// Whole folders in the layouts of other tools: the logits are those of the numbers that the weights
// stand for, and what is missing or has another shape is named when the folder is opened.
#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "nibble/core/files.h"
#include "nibble/format/safetensors.h"
#include "nibble/model/config_file.h"
#include "nibble/quant/rtn.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_model.h"

namespace nibble {
namespace {

using nlohmann::json;

// A folder of a Llama-like model with a tied head, wide enough for groups of 32.
class ForeignFolder {
 public:
  ForeignFolder() {
    config_ = json::parse(read_file("tests/golden/models/llama-tied/config.json", 1 << 20));
    config_.update({{"hidden_size", 64}, {"intermediate_size", 96}, {"head_dim", 16}});
  }
  json& config() { return config_; }
  TensorMap& tensors() { return tensors_; }

  const std::string& write() const {
    std::vector<NamedTensor> list;
    for (const auto& [name, t] : tensors_) list.push_back({name, t});
    write_safetensors(folder_ / "model.safetensors", list);
    test::put_file(folder_ / "config.json", config_.dump());
    return folder_.path();
  }

 private:
  test::TempFolder folder_;
  json config_;
  TensorMap tensors_;
};

// Random weights by the names of the folder's model.
TensorMap weights_of(ForeignFolder& folder) {
  std::vector<std::string> warnings;
  return random_weights(read_config(JsonFields::parse(folder.config().dump()), warnings), 5, 0.1);
}

std::vector<float> logits_in(const std::string& folder, std::vector<std::string>* said = nullptr) {
  const Model model = open_model(folder);
  if (said != nullptr) *said = model.warnings;
  const std::vector<int32_t> ids{3, 1, 18, 7, 7, 2, 11};
  const Decoder decoder = load_decoder(model);
  KvCache cache = decoder.make_cache(12);
  return decoder.forward(ids, cache, Decoder::Logits::all, Exec{});
}

// Each matrix as `store` puts it; `plain` gets what it stands for.
template <class Store>
void store_matrices(ForeignFolder& folder, ForeignFolder& plain, bool embeddings, Store store) {
  for (const auto& [name, w] : weights_of(folder)) {
    const bool matrix = w.shape().rank() == 2 && (embeddings || !name.starts_with("model.embed"));
    plain.tensors()[name] = matrix ? store(module_of(name), w) : w;
    if (!matrix) folder.tensors()[name] = w;
  }
}

Tensor as_mlx_words(const QuantizedTensor& q) {
  Tensor out(DType::u32, Shape{q.n(), q.codes.shape()[1] / 4});
  std::memcpy(out.mutable_raw(), q.codes.raw(), q.codes.bytes());
  return out;
}

struct MlxFolder {
  ForeignFolder folder, plain;
  explicit MlxFolder(const std::string& scheme) {
    folder.config()["quantization"] = {{"group_size", 32}, {"bits", parse_scheme(scheme).bits()}};
    store_matrices(folder, plain, true, [&](const std::string& x, const Tensor& w) {
      const QuantizedTensor q = quantize_rtn(w, parse_scheme(scheme), {}, x);
      folder.tensors()[x + ".weight"] = as_mlx_words(q);
      folder.tensors()[x + ".scales"] = q.scales;
      folder.tensors()[x + ".biases"] = *q.offsets;
      return dequantize(q);
    });
  }
};

TEST(ForeignFolders, OfMlxWithATiedHeadHaveTheLogitsOfTheirNumbers) {
  for (const char* scheme : {"affine3:g32", "affine4:g32", "affine8:g32"}) {
    MlxFolder both(scheme);
    std::vector<std::string> said;
    EXPECT_EQ(logits_in(both.folder.write(), &said), logits_in(both.plain.write())) << scheme;
    EXPECT_TRUE(said.empty()) << said[0];
  }
}

TEST(ForeignFolders, OfMlxNameWhatDoesNotFit) {
  MlxFolder less("affine4:g32");
  less.folder.tensors().erase("model.layers.0.mlp.up_proj.biases");
  test::expect_error(ErrorKind::corrupt, "\"model.layers.0.mlp.up_proj.biases\"",
                     [&] { open_model(less.folder.write()); });
  MlxFolder wide("affine4:g32");
  wide.folder.config()["intermediate_size"] = 128;
  test::expect_error(ErrorKind::corrupt, "mlp.", [&] { logits_in(wide.folder.write()); });
  MlxFolder rounded("affine4:g32");
  rounded.folder.config()["quantize_activations"] = true;
  test::expect_error(ErrorKind::unsupported, "quantize_activations",
                     [&] { open_model(rounded.folder.write()); });
}

TEST(ForeignFolders, OfFp8HaveTheLogitsOfTheirNumbersAndSaySo) {
  ForeignFolder folder, plain;
  folder.config()["quantization_config"] = {{"quant_method", "fp8"},
                                            {"weight_block_size", {1, 32}}};
  store_matrices(folder, plain, false, [&](const std::string& x, const Tensor& w) {
    RtnOptions options;
    options.scale_dtype = DType::f32;
    const QuantizedTensor q = quantize_rtn(w, parse_scheme("fp8_e4m3:g32"), options, x);
    Tensor bytes(DType::f8_e4m3, w.shape());
    std::memcpy(bytes.mutable_raw(), q.codes.raw(), bytes.bytes());
    folder.tensors()[x + ".weight"] = bytes;
    folder.tensors()[x + ".weight_scale_inv"] = q.scales;
    return dequantize(q);
  });
  std::vector<std::string> said;
  EXPECT_EQ(logits_in(folder.write(), &said), logits_in(plain.write()));
  ASSERT_EQ(said.size(), 1u);
  EXPECT_NE(said[0].find("activation_scheme"), std::string::npos);
  folder.tensors().erase("model.layers.1.self_attn.k_proj.weight_scale_inv");
  test::expect_error(ErrorKind::corrupt,
                     "tensor \"model.layers.1.self_attn.k_proj.weight_scale_inv\"",
                     [&] { open_model(folder.write()); });
}

// A threshold beyond which everything lies leaves nothing rounded but the weights.
TEST(ForeignFolders, OfBitsandbytesHaveTheLogitsOfTheirNumbers) {
  ForeignFolder folder, plain;
  folder.config()["quantization_config"] = {{"load_in_8bit", true}, {"llm_int8_threshold", 1e-37}};
  store_matrices(folder, plain, false, [&](const std::string& x, const Tensor& w) {
    Tensor codes(DType::i8, w.shape()), largest(DType::f32, Shape{w.shape()[0]});
    Tensor values(DType::f32, w.shape());
    const auto k = static_cast<size_t>(w.shape()[1]);
    for (size_t r = 0; r < largest.data<float>().size(); ++r) {
      largest.mutable_data<float>()[r] = 0.25f + static_cast<float>(r) / 256;
      const float step = largest.data<float>()[r] / 127;
      for (size_t i = r * k; i < (r + 1) * k; ++i) {
        const auto code = static_cast<int8_t>(w.data<float>()[i] * 200);
        codes.mutable_data<int8_t>()[i] = code;
        values.mutable_data<float>()[i] = static_cast<float>(code) * step;
      }
    }
    folder.tensors()[x + ".weight"] = codes;
    folder.tensors()[x + ".SCB"] = largest;
    return values;
  });
  const std::vector<float> found = logits_in(folder.write()), wanted = logits_in(plain.write());
  ASSERT_EQ(found.size(), wanted.size());
  for (size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], wanted[i], 1e-5f);
}

}  // namespace
}  // namespace nibble
