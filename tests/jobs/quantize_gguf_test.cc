// quantize() into a GGUF file.
#include <gtest/gtest.h>

#include "nibble/compress/gguf_mixture.h"
#include "nibble/format/gguf_file.h"
#include "nibble/jobs/quantize.h"
#include "tests/support/expect_error.h"
#include "tests/support/shared.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

using test::expect_error;

std::string scheme_in(const QuantizeOptions& options, const std::string& name) {
  for (const SetRule& r : options.set) {
    if (r.pattern == name) return to_string(r.scheme);
  }
  return to_string(options.scheme);
}

// FORMATS 5.7: of 8 layers the first, the last and every third after the first get more bits.
TEST(Mixtures, AreThoseOfLlamaCpp) {
  const DecoderConfig c = blocky_decoder_config(8);
  QuantizeOptions options;
  use_mixture("Q4_K_M", c, options);
  const auto layer = [](int i, const std::string& name) {
    return "model.layers." + std::to_string(i) + "." + name + ".weight";
  };
  for (const int i : {0, 3, 6, 7}) {
    EXPECT_EQ(scheme_in(options, layer(i, "self_attn.v_proj")), "q6_k") << i;
    EXPECT_EQ(scheme_in(options, layer(i, "mlp.down_proj")), "q6_k") << i;
  }
  for (const int i : {1, 2, 4, 5})
    EXPECT_EQ(scheme_in(options, layer(i, "mlp.down_proj")), "q4_k") << i;
  EXPECT_EQ(scheme_in(options, layer(0, "self_attn.q_proj")), "q4_k");
  EXPECT_EQ(scheme_in(options, "lm_head.weight"), "q6_k");
  EXPECT_EQ(scheme_in(options, "model.embed_tokens.weight"), "q4_k");
  QuantizeOptions small;
  use_mixture("Q3_K_M", c, small);
  EXPECT_EQ(scheme_in(small, layer(1, "self_attn.v_proj")), "q5_k");
  EXPECT_EQ(scheme_in(small, layer(2, "self_attn.v_proj")), "q4_k");
  EXPECT_EQ(scheme_in(small, layer(5, "self_attn.o_proj")), "q4_k");
  EXPECT_EQ(scheme_in(small, layer(5, "self_attn.k_proj")), "q3_k");
  DecoderConfig tied = c;
  tied.tied = true;
  QuantizeOptions of_tied;
  use_mixture("Q5_K_S", tied, of_tied);
  EXPECT_EQ(scheme_in(of_tied, "model.embed_tokens.weight"), "q6_k");
  expect_error(ErrorKind::invalid_argument, "Q4_K_M", [&] { use_mixture("Q4_K_XL", c, options); });
}

class QuantizeIntoGguf : public testing::Test {
 protected:
  explicit QuantizeIntoGguf(int64_t layers = 8) {
    write_tiny_decoder(tiny_decoder(blocky_decoder_config(layers), 3), job_.model);
    job_.out = folder_ / "out.gguf";
  }
  std::map<std::string, int> types() const {
    std::map<std::string, int> out;
    const GgufFile file = GgufFile::open(job_.out);
    for (const GgufTensor& t : file.tensors()) ++out[std::string(t.type->name)];
    return out;
  }
  test::TempFolder folder_;
  QuantizeJob job_{folder_ / "in", "", {}, {}};
};

TEST_F(QuantizeIntoGguf, WritesAMixtureByItsName) {
  job_.options.type = "Q4_K_M";
  const QuantizeResult r = quantize(job_, {});
  EXPECT_EQ(types(), (std::map<std::string, int>{{"F32", 17}, {"Q4_K", 49}, {"Q6_K", 9}}));
  EXPECT_EQ(r.file_bytes, static_cast<int64_t>(std::filesystem::file_size(job_.out)));
  EXPECT_GT(r.bits_per_weight, 4.5);
  EXPECT_LT(r.bits_per_weight, 6.5625);
  const GgufFile file = GgufFile::open(job_.out);
  EXPECT_NE(file.metadata().string("nibble.provenance").find("\"recipe\""), std::string::npos);
  EXPECT_TRUE(is_quantized(open_model(job_.out)));
  EXPECT_FALSE(std::filesystem::exists(job_.out + ".resume"));
}

TEST_F(QuantizeIntoGguf, IsPlannedAsItIsWritten) {
  job_.options.type = "Q4_K_M";
  EXPECT_DOUBLE_EQ(plan(job_, {}).bits_per_weight, quantize(job_, {}).bits_per_weight);
  job_.out = "";
  expect_error(ErrorKind::invalid_argument, "NAME.gguf", [&] { plan(job_, {}); });
}

// llama.cpp's files have them in F32, whatever covers the embeddings.
TEST_F(QuantizeIntoGguf, LeavesPositionsAsTheyAre) {
  job_.model = "../shared/data/models/gpt2-shakespeare";
  if (test::lacks_shared(job_.model)) GTEST_SKIP() << job_.model;
  job_.options.scheme = parse_scheme("q4_k");
  job_.options.also = {"embeddings"};
  quantize(job_, {});
  const Model made = open_model(job_.out);
  EXPECT_EQ(made.weights->get("transformer.wpe.weight").stored_as(), "f32");
  EXPECT_EQ(made.weights->get("transformer.wte.weight").stored_as(), "int5:g32");
}

class AutoIntoGguf : public QuantizeIntoGguf {
 protected:
  AutoIntoGguf() : QuantizeIntoGguf(2) {}
};

TEST_F(AutoIntoGguf, ChoosesTheTypeOfEachTensor) {
  AutoJob job{job_.model, job_.out, {}, auto_options()};
  job.options.method = "gptq";
  job.options.calibration = {"", 24, 32, 42};
  job.budget.bits = 4.4;
  const AutoResult r = choose_bits(job, {});
  EXPECT_LE(r.written.bits_per_weight, 4.4);
  EXPECT_GT(r.written.bits_per_weight, 4.2);
  EXPECT_EQ(r.matrices.size(), 2u * 7 + 2) << "embedding and head among them";
  const auto found = types();
  EXPECT_EQ(found.at("F32"), 5);
  EXPECT_GE(found.size(), 3u);
  EXPECT_FALSE(found.contains("F16"));
  EXPECT_GT(r.measured_kl, 0);
  EXPECT_FALSE(std::filesystem::exists(job_.out + ".resume"));
}

TEST_F(AutoIntoGguf, KeepsToTheSizeOfTheFile) {
  AutoJob job{job_.model, job_.out, {}, auto_options()};
  job.options.method = "rtn";
  job.options.calibration = {"", 24, 32, 42};
  job.budget.max_size = 600'000;
  choose_bits(job, {});
  const auto bytes = static_cast<int64_t>(std::filesystem::file_size(job_.out));
  EXPECT_LE(bytes, *job.budget.max_size);
  EXPECT_GT(bytes, *job.budget.max_size - 6'000);
  expect_error(IoCause::cannot_create, "exists already", [&] { choose_bits(job, {}); });
  job.options.force = true;
  job.budget.max_size = 100'000;
  expect_error(ErrorKind::invalid_argument, "cannot be reached", [&] { choose_bits(job, {}); });
  EXPECT_EQ(static_cast<int64_t>(std::filesystem::file_size(job_.out)), bytes);
}

TEST_F(QuantizeIntoGguf, AFolderMadeOfAFileHasItsTokenizer) {
  const std::string folder = "../shared/data/models/stories260k";
  if (test::lacks_shared(folder)) GTEST_SKIP() << folder;
  job_.model = folder;
  job_.options.scheme = parse_scheme("f32");
  quantize(job_, {});
  job_.model = job_.out;
  job_.out = folder_ / "back";
  const QuantizeResult r = quantize(job_, {});
  for (const std::string& w : r.warnings) EXPECT_EQ(w.find("tokenizer"), std::string::npos) << w;
  const Model made = open_model(job_.out), original = open_model(folder);
  const std::string text = "Once upon a time, <s> caf\u00e9";
  EXPECT_EQ(made.require_tokenizer().encode(text, true),
            original.require_tokenizer().encode(text, true));
}

TEST_F(QuantizeIntoGguf, ReplacesAFileOnlyWhereItIsAskedTo) {
  job_.options.scheme = parse_scheme("q4_k");
  quantize(job_, {});
  expect_error(IoCause::cannot_create, "exists already", [&] { quantize(job_, {}); });
  job_.options.force = true;
  quantize(job_, {});
}

TEST_F(QuantizeIntoGguf, RefusesBeforeAnyWorkWhatItCannotHold) {
  job_.options.scheme = parse_scheme("nf4");
  expect_error(ErrorKind::unsupported, "no type of GGUF holds nf4", [&] { quantize(job_, {}); });
  job_.options.scheme = parse_scheme("q4_k");
  job_.out = folder_ / "folder";
  expect_error(ErrorKind::unsupported, "cannot be stored in a Hugging Face folder",
               [&] { quantize(job_, {}); });
  job_.options.type = "Q4_K_M";
  expect_error(ErrorKind::invalid_argument, "NAME.gguf", [&] { quantize(job_, {}); });
  EXPECT_FALSE(std::filesystem::exists(job_.out));
}

}  // namespace
}  // namespace nibble
