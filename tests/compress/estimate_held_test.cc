// What estimates say of a model from its shape alone, against what is allocated for it.
#include <gtest/gtest.h>
#include <malloc.h>

#include "nibble/compress/quantize.h"
#include "nibble/eval/estimate.h"
#include "nibble/model/session.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

constexpr int64_t kRows = 512;

// Bytes that the program has of its allocator.
int64_t held_bytes() {
  const struct mallinfo2 m = mallinfo2();
  return static_cast<int64_t>(m.uordblks + m.hblkhd);
}

// Wide enough for what is around arrays not to count.
DecoderConfig wide_decoder_config(const std::string& type) {
  DecoderConfig c = tiny_decoder_config(type);
  c.kv_heads = c.kv_heads == c.heads ? 8 : 4;
  c.heads = 8;
  c.head_dim = 32;
  c.hidden_size = 256;
  c.intermediate_size = 704;
  if (c.expert_size > 0) c.expert_size = 640;
  if (c.shared_size > 0) c.shared_size = 640;
  if (c.latent.kv_rank > 0) {
    c.kv_heads = c.heads;
    c.latent = {128, c.latent.q_rank > 0 ? 160 : 0, 48, 16, 96};
    c.head_dim = 64, c.rope.begin = 48;
  }
  if (c.delta.taps > 0) c.delta = {4, 8, 32, 64, 4, c.delta.by_head};
  for (std::vector<double>* divisors : {&c.rope.short_factors, &c.rope.long_factors})
    divisors->resize(divisors->empty() ? 0 : 16, 1.0);
  c.vocab_size = 1000;
  c.context = 600;
  return c;
}

TensorMap some_weights(const DecoderConfig& c) {
  TensorMap out;
  for (const ParamSpec& spec : parameter_table(c)) {
    Tensor t(DType::f32, spec.shape);
    int64_t i = 0;
    for (float& v : t.mutable_data<float>()) v = static_cast<float>(i++ % 17 - 8) * 0.01f;
    out.emplace(spec.name, std::move(t));
  }
  return out;
}

// The folder is gone when it returns: what is left is the model's.
Decoder load_quantized(const DecoderConfig& c, const QuantScheme& scheme, const Exec& exec) {
  const Model original = in_memory(c, some_weights(c), CharTokenizer::from_text(kTinyText, true));
  if (scheme.is_float()) return load_decoder(original);
  QuantizeOptions options;
  options.scheme = scheme;
  return load_decoder(quantize_in_memory(original, options, exec));
}

class EstimateHeld : public ::testing::TestWithParam<std::string_view> {
 protected:
  void SetUp() override {
#if defined(__SANITIZE_ADDRESS__)
    GTEST_SKIP() << "the sanitizer's allocator does not tell what it holds";
#endif
  }
  static void expect_near(int64_t said, int64_t held, const std::string& what) {
    EXPECT_NEAR(static_cast<double>(said), static_cast<double>(held),
                0.05 * static_cast<double>(held))
        << what;
  }
};

TEST_P(EstimateHeld, IsWithinAFewPercent) {
  const DecoderConfig c = wide_decoder_config(std::string(GetParam()));
  Exec two;
  two.threads = 2;
  const std::vector<int32_t> ids(kRows, 1);
  for (const char* spelling : {"f32", "int8", "int8:a8", "int4:g32", "int4:g32:asym", "nf4:g64"}) {
    const QuantScheme scheme = parse_scheme(spelling);
    const int64_t before = held_bytes();
    const Decoder model = load_quantized(c, scheme, two);
    const int64_t loaded = held_bytes();
    for (const DType kv : {DType::f32, DType::f16, DType::i8}) {
      const Estimate e = estimate(
          c, scheme, {.plain = DType::f32, .kv = kv, .prefill_chunk = kRows, .threads = 2});
      const int64_t empty = held_bytes();
      KvCache cache = model.make_cache(c.context, kv);
      const int64_t made = held_bytes();
      Session session(model);
      (void)session.run(ids, cache, Decoder::Logits::last, two);
      const int64_t run = held_bytes();
      const std::string what = std::string(spelling) + " kv " + std::string(to_string(kv));
      expect_near(e.memory_bytes, loaded - before, what + ": weights");
      expect_near(e.kv_bytes, made - empty, what + ": cache");
      expect_near(e.scratch_bytes, run - made, what + ": scratch");
      expect_near(model.pass_bytes(kRows, two), run - made, what + ": scratch as loaded");
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Architectures, EstimateHeld, ::testing::ValuesIn(architecture_names()),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace nibble
