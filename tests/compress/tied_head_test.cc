// --quantize lm_head, embeddings and --set on models whose head is their embedding, and on others.
#include <gtest/gtest.h>

#include <cmath>

#include "nibble/compress/quantize.h"
#include "nibble/compress/untie.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

constexpr const char* kHead = "lm_head";
constexpr const char* kEmbedding = "model.embed_tokens";

Model tiny(bool tied) {
  DecoderConfig config = tiny_decoder_config("llama");
  config.tied = tied;
  return tiny_decoder(config, 3);
}

QuantizeOptions options(std::vector<std::string> also, const std::string& set = "") {
  QuantizeOptions o;
  o.scheme = parse_scheme("int8");
  o.also = std::move(also);
  if (!set.empty()) o.set.push_back(parse_set_rule(set));
  return o;
}

struct Made {
  bool tied;
  std::string head, embedding;  // schemes, "" where plain
};

Made make(const Model& model, const QuantizeOptions& o) {
  const Model out = quantize_in_memory(model, o, Exec{});
  const auto scheme = [&](const char* module) {
    const SchemeMap schemes = schemes_of(out);
    const auto found = schemes.find(module);
    return found == schemes.end() ? std::string() : to_string(found->second);
  };
  // The function is that of the original up to rounding.
  const auto a = logits_of_tokens(model, {1, 2, 3}), b = logits_of_tokens(out, {1, 2, 3});
  double error = 0, square = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    error += (a[i] - b[i]) * (a[i] - b[i]);
    square += a[i] * a[i];
  }
  EXPECT_LT(error, 1e-3 * square);
  return {out.decoder_config().tied, scheme(kHead), scheme(kEmbedding)};
}

void expect_made(const Made& made, bool tied, const std::string& head,
                 const std::string& embedding) {
  EXPECT_EQ(made.tied, tied);
  EXPECT_EQ(made.head, head);
  EXPECT_EQ(made.embedding, embedding);
}

TEST(TiedHeadQuantized, AloneItBecomesAMatrixOfItsOwn) {
  expect_made(make(tiny(true), options({"lm_head"})), false, "int8", "");
  expect_made(make(tiny(true), options({"lm_head"}, "lm_head*=int6:g16")), false, "int6:g16", "");
  expect_made(make(tiny(true), options({}, "lm_head*=int8")), false, "int8", "");
}

TEST(TiedHeadQuantized, WithTheEmbeddingItIsOneMatrix) {
  expect_made(make(tiny(true), options({"embeddings"})), true, "", "int8");
  expect_made(make(tiny(true), options({"lm_head", "embeddings"})), true, "", "int8");
  expect_made(make(tiny(true), options({}, "*=int8")), true, "", "int8");
  expect_made(make(tiny(true), options({})), true, "", "");
}

TEST(TiedHeadQuantized, HeadsOfTheirOwnAreAsBefore) {
  expect_made(make(tiny(false), options({"lm_head"})), false, "int8", "");
  expect_made(make(tiny(false), options({"embeddings"})), false, "", "int8");
  expect_made(make(tiny(false), options({})), false, "", "");
}

TEST(TiedHeadQuantized, SaysWhatItDoes) {
  std::vector<std::string> said;
  EXPECT_TRUE(untied_model(tiny(true), options({"lm_head"}), said));
  ASSERT_EQ(said.size(), 1u);
  EXPECT_NE(said[0].find("it becomes a matrix of its own, tensor \"lm_head.weight\""),
            std::string::npos)
      << said[0];
  EXPECT_FALSE(untied_model(tiny(false), options({"lm_head"}), said));
  EXPECT_FALSE(untied_model(tiny(true), options({"lm_head", "embeddings"}), said));
  EXPECT_EQ(said.size(), 1u);
}

// A rule that names a head which is the embedding says so.
TEST(TiedHeadQuantized, RulesThatNameNothingSayWhy) {
  QuantizeOptions o = options({"embeddings"}, "lm_head*=int4:g16");
  test::expect_error(ErrorKind::invalid_argument, "the head of this model is its embedding",
                     [&] { quantize_in_memory(tiny(true), o, Exec{}); });
  o = options({});
  o.keep.push_back(parse_keep_rule("lm_head*"));
  test::expect_error(ErrorKind::invalid_argument, "\"model.embed_tokens.weight\": name that",
                     [&] { quantize_in_memory(tiny(true), o, Exec{}); });
  o.keep[0] = parse_keep_rule("lm_heat*");
  test::expect_error(ErrorKind::invalid_argument, "no tensor has such a name",
                     [&] { quantize_in_memory(tiny(true), o, Exec{}); });
}

// A scheme for a gain would be without effect.
TEST(Rules, ThatNameNoMatrixAreRefused) {
  test::expect_error(ErrorKind::invalid_argument,
                     "no matrix has such a name; gains and biases stay",
                     [] { quantize_in_memory(tiny(false), options({}, "*norm*=int8"), Exec{}); });
  QuantizeOptions o = options({});
  o.keep.push_back(parse_keep_rule("*norm*=f16"));  // which changes what it is stored in
  EXPECT_NO_THROW(quantize_in_memory(tiny(false), o, Exec{}));
}

// The first that fits a tensor counts: one that never does would be without effect.
TEST(Rules, ThatOthersDecideAreRefused) {
  const auto with = [](const std::vector<std::string>& keep, const std::vector<std::string>& set) {
    QuantizeOptions o = options({});
    for (const std::string& k : keep) o.keep.push_back(parse_keep_rule(k));
    for (const std::string& s : set) o.set.push_back(parse_set_rule(s));
    quantize_in_memory(tiny(false), o, Exec{});
  };
  const auto refused = [&](const std::vector<std::string>& keep,
                           const std::vector<std::string>& set, const std::string& rule) {
    test::expect_error(ErrorKind::invalid_argument,
                       rule + ": rules before it decide all that it names",
                       [&] { with(keep, set); });
  };
  refused({}, {"*q_proj*=int4:g4", "*q_proj*=int8"}, "`set` \"*q_proj*\"");
  refused({}, {"*=int4:g4", "*layers.0.*=int8"}, "`set` \"*layers.0.*\"");
  refused({"*q_proj*"}, {"*q_proj*=int4:g4"}, "`set` \"*q_proj*\"");
  refused({"*q_proj*", "*layers.0.self_attn.q_proj*=f16"}, {},
          "`keep` \"*layers.0.self_attn.q_proj*\"");
  EXPECT_NO_THROW(with({}, {"*layers.0.*=int4:g4", "*=int8"}));
  EXPECT_NO_THROW(with({"*q_proj*"}, {"*layers.0.*=int4:g4", "*proj*=int8"}));
}

TEST(TiedHeadQuantized, OnDiskTheFolderSaysThatTheyAreApart) {
  const test::TempFolder t;
  DecoderConfig config = tiny_decoder_config("llama");
  config.tied = true;
  const CharTokenizer tokenizer = CharTokenizer::from_text(kTinyText, true);
  std::filesystem::create_directories(t / "in");
  write_model(t / "in", config, random_weights(config, 3), &tokenizer);
  for (const char* method : {"rtn", "gptq", "rotate+rtn"}) {
    QuantizeOptions o = options({"lm_head"});
    o.method = method;
    o.force = true;
    o.calibration.samples = 8;
    o.calibration.length = 16;
    quantize_model(t / "in", t / "out", o, Exec{});
    const Model out = open_model(t / "out");
    EXPECT_FALSE(out.decoder_config().tied) << method;
    EXPECT_TRUE(schemes_of(out).contains(kHead)) << method;
    EXPECT_FALSE(schemes_of(out).contains(kEmbedding)) << method;
    EXPECT_NO_THROW(logits_of_tokens(out, {1, 2, 3})) << method;
  }
}

}  // namespace
}  // namespace nibble
