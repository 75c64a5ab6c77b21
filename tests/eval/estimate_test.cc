#include "nibble/eval/estimate.h"

#include <gtest/gtest.h>

#include "nibble/eval/bandwidth.h"
#include "nibble/model/shapes.h"
#include "tests/support/expect_error.h"

namespace nibble {
namespace {

TEST(Estimate, CountsWhatALoadedModelHolds) {
  const Model folder = random_model("gpt2-124m", 1);
  const Decoder model = load_decoder(folder);
  const Estimate e = estimate(folder.decoder_config(), parse_scheme("f32"), {});
  // Packing pads a little.
  EXPECT_NEAR(static_cast<double>(e.memory_bytes), static_cast<double>(model.memory_bytes()),
              0.3 * static_cast<double>(model.memory_bytes()));
  EXPECT_NEAR(static_cast<double>(e.weight_bytes), static_cast<double>(model.weight_bytes()),
              0.02 * static_cast<double>(model.weight_bytes()));
}

TEST(Estimate, OfGpt2ByHand) {
  const DecoderConfig c = random_model("gpt2-124m", 1).decoder_config();
  EXPECT_EQ(kv_bytes_per_token(c, DType::f32), 2 * 12 * 768 * 4);
  EXPECT_EQ(kv_bytes_per_token(c, DType::f16), 2 * 12 * 768 * 2);
  EXPECT_EQ(kv_bytes_per_token(c, DType::i8), 2 * 12 * 12 * (64 + 4));
  EstimateOptions o;
  o.plain = DType::f32;
  const int64_t blocks = int64_t{12} * 12 * 768 * 768, embedding = int64_t{50257} * 768;
  const Estimate int8 = estimate(c, parse_scheme("int8"), o);
  // One f16 scale for each of the 9 x 768 outputs of a layer.
  const int64_t quantized = blocks + 12 * 9 * 768 * 2;
  EXPECT_EQ(int8.weight_bytes, quantized + embedding * 4);
  EXPECT_EQ(int8.kv_bytes, 2 * 12 * 768 * 4 * 1024);
  o.head = o.embeddings = true;
  EXPECT_LT(estimate(c, parse_scheme("int8"), o).weight_bytes, quantized + embedding * 2);
  EXPECT_DOUBLE_EQ(int8.tokens_per_second(1e9), 1e9 / static_cast<double>(int8.weight_bytes));
  EXPECT_LT(int8.tokens_per_second_full(1e9), int8.tokens_per_second(1e9));
}

TEST(LlamaShape, IsThatOfModelsOfTheSize) {
  const DecoderConfig c = llama_shape({.parameters = 7e9});
  EXPECT_NEAR(static_cast<double>(c.hidden_size), 4096, 256);
  EXPECT_NEAR(static_cast<double>(c.layers), 32, 3);
  for (const double p : {1e5, 1e6, 124e6, 1.1e9, 13e9, 70e9, 1e12}) {
    const auto found = static_cast<double>(
        parameter_count(llama_shape({.parameters = p, .vocab = p < 1e8 ? 256 : 32000})));
    EXPECT_NEAR(found, p, (p < 1e7 ? 0.5 : 0.06) * p) << p;
  }
  const auto fixed =
      llama_shape({.layers = 22, .width = 2048, .heads = 32, .kv_heads = 4, .intermediate = 5632});
  EXPECT_EQ(parameter_count(fixed), parameter_count(random_model("llama-1b", 1).decoder_config()));
  test::expect_error(ErrorKind::invalid_argument, "`parameters`",
                     [] { llama_shape({.layers = 3}); });
  test::expect_error(ErrorKind::invalid_argument, "do not divide",
                     [] { llama_shape({.layers = 3, .width = 100, .heads = 7}); });
}

TEST(ParseParameters, TakesUnits) {
  EXPECT_EQ(parse_parameters("7B"), 7e9);
  EXPECT_EQ(parse_parameters("1.1b"), 1.1e9);
  EXPECT_EQ(parse_parameters("124M"), 124e6);
  EXPECT_EQ(parse_parameters("5000"), 5000);
  for (const char* bad : {"", "B", "-7B", "7X", "7B ", "nan", "inf", "1e300", "0"})
    test::expect_error(ErrorKind::invalid_argument, "`parameters`", [&] { parse_parameters(bad); });
}

TEST(Bandwidth, IsThatOfAMachine) {
  BandwidthOptions o;
  o.bytes = 64 << 20;
  o.seconds = 0.05;
  const double one = measure_read_bandwidth(o);
  EXPECT_GT(one, 1e8);
  EXPECT_LT(one, 1e13);
  o.threads = 3;
  EXPECT_GT(measure_read_bandwidth(o), 1e8);
  o.threads = 0;
  EXPECT_THROW(measure_read_bandwidth(o), Error);
  EXPECT_GT(usable_memory_bytes(), int64_t{64} << 20);
}

// A shape comes from options, not from a file.
TEST(Estimate, ShapesOutOfRangeNameTheirOption) {
  const auto refused = [](std::string_view words, const ShapeOptions& o) {
    test::expect_error(ErrorKind::invalid_argument, words, [&] { llama_shape(o); });
  };
  refused("`layers` must be between 1 and 10000", {.layers = 20'000, .width = 64});
  refused("`width` must be", {.layers = 2, .width = 1 << 21, .heads = 1});
  refused("`vocab` must be", {.layers = 2, .width = 64, .vocab = 1 << 25});
  refused("`kv_heads` 3 key/value heads do not divide",
          {.layers = 2, .width = 64, .heads = 4, .kv_heads = 3});
  refused("`heads` ", {.layers = 2, .width = 63, .heads = 63});
}

TEST(Estimate, SizesThatDoNotFitAreNotNegative) {
  const DecoderConfig c = llama_shape({.layers = 10'000, .width = 1 << 20});
  test::expect_error(ErrorKind::invalid_argument, "`context`", [&] {
    estimate(c, parse_scheme("f32"), {.kv = DType::f32, .context = int64_t{1} << 31});
  });
  const Estimate large = estimate(c, parse_scheme("f32"), {.kv = DType::f32, .context = 1 << 20});
  EXPECT_GT(large.kv_bytes, 0);
  EXPECT_GT(large.total(), large.kv_bytes);
}

// As quantizing does: a tied head that alone is covered becomes a matrix of its own.
TEST(Estimate, TiedHeadIsCountedAsItIsStored) {
  DecoderConfig c = llama_shape({.layers = 2, .width = 64, .vocab = 1000});
  c.tied = true;
  const auto bytes = [&](bool head, bool embeddings) {
    return estimate(c, parse_scheme("int8"), {.head = head, .embeddings = embeddings}).memory_bytes;
  };
  const int64_t plain = 1000 * 64 * 2, small = 1000 * (64 + 2);
  EXPECT_EQ(bytes(true, false) - bytes(false, false), small);
  EXPECT_EQ(bytes(false, false) - bytes(false, true), plain - small);
  EXPECT_EQ(bytes(true, true), bytes(false, true));
}

}  // namespace
}  // namespace nibble
