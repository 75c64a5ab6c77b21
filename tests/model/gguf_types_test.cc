// Models whose matrices lie in the blocks of GGUF: they stay packed, in the order of the model, and
// compute what their values do.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "nibble/format/gguf_file.h"
#include "nibble/model/model.h"
#include "tests/support/expect_error.h"
#include "tests/support/gguf_blocks.h"
#include "tests/support/gguf_model.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

using test::expect_error;
using test::GgufBytes;
using test::GgufOfModel;

const std::vector<int32_t> kSomeIds{3, 1, 18, 7, 7, 2, 11};

// What `bytes` hold, by a file of their own.
std::vector<float> decoded_rows(const std::string& type, int64_t columns,
                                const std::string& bytes) {
  const GgufType& t = *find_gguf_type(type);
  const int64_t rows = static_cast<int64_t>(bytes.size()) / t.bytes * t.elements / columns;
  GgufBytes file;
  file.tensor("x", {static_cast<uint64_t>(columns), static_cast<uint64_t>(rows)}, t.id, bytes);
  const test::TempFolder folder;
  test::put_file(folder / "x.gguf", file.bytes());
  const GgufFile opened = GgufFile::open(folder / "x.gguf");
  return gguf_weight(opened.require("x"), {0, rows}).values();
}

class GgufTypes : public testing::TestWithParam<std::tuple<std::string, size_t>> {
 protected:
  GgufTypes() {
    config_ = tiny_decoder_config(std::get<0>(GetParam()));
    config_.hidden_size = config_.intermediate_size = 256;
    config_.head_dim = 64;
    Model norms = tiny_decoder(config_, 3);
    for (const ParamSpec& p : parameter_table(config_)) {
      if (p.shape.rank() < 2) {
        plain_.emplace(p.name, norms.weights->get(p.name).plain());
        continue;
      }
      const std::string bytes = test::random_gguf_blocks(row_, p.shape.elements(), random_);
      stored_.emplace(p.name, bytes);
      plain_.emplace(p.name, Tensor::from<float>(
                                 p.shape, decoded_rows(std::string(row_.type), p.shape[1], bytes)));
    }
  }
  GgufBytes file() const {
    const auto encode = [&](const ParamSpec& p) {
      const auto found = stored_.find(p.name);
      if (found != stored_.end()) return std::pair(type_.id, found->second);
      return std::pair(0u, test::bytes_of_all(Weight(plain_.at(p.name)).values()));
    };
    return GgufOfModel(config_, encode).file();
  }
  const test::GgufBlockRow& row_ = test::gguf_block_rows()[std::get<1>(GetParam())];
  const GgufType& type_ = *find_gguf_type(row_.type);
  DecoderConfig config_;
  PyRandom random_{11};
  std::map<std::string, std::string> stored_;
  TensorMap plain_;
  test::TempFolder folder_;
};

TEST_P(GgufTypes, StayPackedAndComputeTheirValues) {
  const std::string path = folder_ / "model.gguf";
  test::put_file(path, file().bytes());
  const Model model = open_model(path);
  EXPECT_EQ(scheme_summary(model), to_string(*type_.scheme));
  for (const ParamSpec& p : parameter_table(config_)) {
    const Weight w = load_weight(model, p);
    EXPECT_EQ(w.is_quantized(), p.shape.rank() == 2) << p.name;
    EXPECT_EQ(w.shape(), p.shape) << p.name;
    EXPECT_EQ(w.values(), Weight(plain_.at(p.name)).values()) << p.name;
    model.weights->release(p.name);
  }
  const Decoder plain(config_, [&](const ParamSpec& p) -> Weight { return plain_.at(p.name); });
  KvCache cache = plain.make_cache(std::ssize(kSomeIds));
  const auto expected = plain.forward(kSomeIds, cache, Decoder::Logits::all, Exec{});
  const auto found = logits_of_tokens(model, kSomeIds);
  ASSERT_EQ(found.size(), expected.size());
  float largest = 0, error = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    largest = std::max(largest, std::fabs(expected[i]));
    error = std::max(error, std::fabs(found[i] - expected[i]));
  }
  // Sums of 256 products in another order, four of them behind one another.
  EXPECT_LE(error, 1e-4f * largest);
}

std::string name_of_case(const testing::TestParamInfo<std::tuple<std::string, size_t>>& of) {
  return std::get<0>(of.param) + "_" +
         std::string(test::gguf_block_rows()[std::get<1>(of.param)].type);
}

INSTANTIATE_TEST_SUITE_P(Llama, GgufTypes,
                         testing::Combine(testing::Values("llama"),
                                          testing::Range(size_t{0},
                                                         test::gguf_block_rows().size())),
                         name_of_case);
INSTANTIATE_TEST_SUITE_P(Others, GgufTypes,
                         testing::Combine(testing::Values("mixtral", "gpt2"),
                                          testing::Values(size_t{0}, size_t{7}, size_t{9})),
                         name_of_case);

// NVFP4 has a scale of the whole weight in a tensor beside it, of stacked experts one each.
class GgufNvfp4 : public testing::Test {
 protected:
  GgufNvfp4() {
    config_.hidden_size = config_.intermediate_size = 64;
    config_.head_dim = 16;
  }
  GgufBytes file() {
    const auto encode = [&](const ParamSpec& p) {
      if (!p.is_matrix()) {
        const std::vector<float> ones(static_cast<size_t>(p.shape.elements()), 1);
        return std::pair(0u, test::bytes_of_all(ones));
      }
      return std::pair(40u, test::random_gguf_blocks(test::gguf_block_rows().back(),
                                                     p.shape.elements(), random_));
    };
    return GgufOfModel(config_, encode).file();
  }
  Model opened(const GgufBytes& file) {
    test::put_file(path_, file.bytes());
    return open_model(path_);
  }
  // Every value in b is `factor` times the one in a.
  void expect_times(const Weight& a, const Weight& b, float factor) {
    const auto x = a.values(), y = b.values();
    for (size_t i = 0; i < x.size(); ++i) ASSERT_FLOAT_EQ(y[i], factor * x[i]) << i;
  }
  DecoderConfig config_ = tiny_decoder_config("mixtral");
  PyRandom random_{11};
  test::TempFolder folder_;
  std::string path_ = folder_ / "model.gguf";
};

TEST_F(GgufNvfp4, ScalesOfWholeWeightsCount) {
  const GgufBytes plain = file();
  GgufBytes scaled = plain;
  scaled.f32_tensor("blk.0.attn_q.scale", {1}, {0.25f}).f32_tensor("output.scale", {}, {3});
  scaled.f32_tensor("blk.1.ffn_down_exps.scale", {4}, {1, 2, 3, 4});
  scaled.f32_tensor("blk.0.attn_q.input_scale", {1}, {7});  // of inputs that nobody quantizes
  const Model a = opened(plain);
  test::put_file(folder_ / "b.gguf", scaled.bytes());
  const Model b = open_model(folder_ / "b.gguf");
  EXPECT_TRUE(b.warnings.empty());
  for (const ParamSpec& p : parameter_table(config_)) {
    float factor = 1;
    if (p.role == Role::q && p.layer == 0) factor = 0.25f;
    if (p.role == Role::lm_head) factor = 3;
    if (p.role == Role::down && p.layer == 1) factor = static_cast<float>(p.expert + 1);
    expect_times(load_weight(a, p), load_weight(b, p), factor);
  }
}

TEST_F(GgufNvfp4, ScalesThatCannotBe) {
  const GgufBytes plain = file();
  const auto refuses = [&](const std::string& name, const GgufBytes& bad) {
    expect_error(test::bad_file(), path_ + ": tensor \"" + name + "\": ", [&] {
      const Model model = opened(bad);
      for (const ParamSpec& p : parameter_table(config_)) (void)load_weight(model, p);
    });
  };
  const auto with = [&](const std::string& name, std::vector<float> values) {
    GgufBytes out = plain;
    out.f32_tensor(name, {values.size()}, values);
    return out;
  };
  constexpr float kNone = std::numeric_limits<float>::quiet_NaN();
  for (const float v : {0.0f, -1.0f, kNone, HUGE_VALF, 1e-40f})
    refuses("blk.0.attn_q.scale", with("blk.0.attn_q.scale", {v}));
  refuses("blk.0.attn_q.scale", with("blk.0.attn_q.scale", {1, 2}));
  refuses("blk.0.ffn_up_exps.scale", with("blk.0.ffn_up_exps.scale", {1}));
  refuses("blk.0.ffn_gate_inp.scale", with("blk.0.ffn_gate_inp.scale", {1}));  // F32
  GgufBytes half = plain;
  half.tensor("blk.0.attn_q.scale", {1}, 1, "ab");
  refuses("blk.0.attn_q.scale", half);
}

}  // namespace
}  // namespace nibble
