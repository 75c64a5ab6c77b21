// What nibble quantize tells the user: options without effect, what was stored, examples that work.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/cli/cli_test.h"
#include "tests/support/tiny_decoders.h"

namespace nibble::test {
namespace {

bool holds(const std::string& text, std::string_view words) {
  return text.find(words) != std::string::npos;
}

CommandResult quantized(std::vector<std::string> words) {
  words.insert(words.begin(), "quantize");
  CommandResult r = run_nibble(words, {.limit_s = 60});
  expect_success(r);
  return r;
}

TEST_F(WithModel, QuantizeSaysWhichOptionsHaveNoEffect) {
  const CommandResult r =
      quantized({model(), "-o", out(), "--damping", "0.2", "--calib", "book.txt"});
  EXPECT_TRUE(holds(r.err,
                    "nibble: warning: --calib, --damping: without effect, since method rtn in "
                    "scheme int8 does not read them\n"))
      << r.err;
  const CommandResult planned =
      quantized({model(), "--dry-run", "--method", "hqq", "--clip", "mse"});
  EXPECT_TRUE(holds(planned.err, "warning: --clip: without effect, since method hqq"))
      << planned.err;
  const CommandResult plain = quantized({model(), "-o", out() + "2"});
  EXPECT_FALSE(holds(plain.err, "without effect")) << plain.err;
}

// What GGUF files hold and nibble reads, but does not make.
TEST_F(WithModel, SchemesThatAreOnlyReadAreRefusedWhereverTheyAreAskedFor) {
  const std::string why = "scheme: iq2_xxs is read from files and not made";
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"quantize", model(), "-o", out(), "--scheme", "iq2_xxs"},
        {"quantize", model(), "-o", out() + ".gguf", "--scheme", "iq2_xxs"},
        {"quantize", model(), "-o", out(), "--set", "lm_head*=iq2_xxs"},
        {"compare", model(), "--schemes", "int8,iq2_xxs"},
        {"bench", model(), "--scheme", "iq2_xxs"},
        {"estimate", model(), "--schemes", "iq2_xxs"},
        {"generate", model(), "--scheme", "iq2_xxs"}})
    expect_rejected(run_nibble(words), 64, why);
  expect_rejected(run_nibble({"quantize", model(), "-o", out() + ".gguf", "--type", "IQ2_XXS"}), 64,
                  "use one of Q8_0");
}

// A recipe has every option, whatever its method.
TEST_F(WithModel, QuantizeTakesARecipeWithoutAWord) {
  quantized({model(), "-o", out(), "--scheme", "int4:g16"});
  const CommandResult again =
      quantized({model(), "-o", out() + "2", "--recipe", out() + "/nibble.json"});
  EXPECT_FALSE(holds(again.err, "without effect")) << again.err;
}

TEST_F(WithModel, QuantizeSaysWhatWasStored) {
  const std::string ragged = quantized({model(), "-o", out(), "--scheme", "int4:g7"}).out;
  EXPECT_TRUE(holds(ragged, "out: 9 of 9 matrices in int8, ")) << ragged;
  const std::string mixed = quantized({model(), "-o", out(), "--force", "--scheme", "int4:g16",
                                       "--keep", "wte*", "--set", "lm_head*=int8"})
                                .out;
  EXPECT_TRUE(holds(mixed, "out: 8 of 9 matrices quantized (1 f32, 7 int4:g16, 1 int8), "))
      << mixed;
  const std::string plain = quantized({model(), "-o", out(), "--force", "--scheme", "bf16"}).out;
  EXPECT_TRUE(holds(plain, "out: 9 of 9 matrices in bf16, 16.00 bits")) << plain;
  const auto json = nlohmann::json::parse(
      quantized({model(), "-o", out(), "--force", "--scheme", "int4:g7", "--json"}).out);
  EXPECT_EQ(json.at("matrices_by_type").at("int8"), 9);
}

// "PATTERN" behind `option` in a text of --help.
std::string pattern_behind(const std::string& help, const std::string& option) {
  const size_t at = help.find(option + " '");
  if (at == std::string::npos) return "";
  const size_t begin = at + option.size() + 2;
  return help.substr(begin, help.find('\'', begin) - begin);
}

void write_llama(const std::string& folder) {
  const CharTokenizer tokenizer = CharTokenizer::from_text(kTinyText, true);
  DecoderConfig config = tiny_decoder_config("llama");
  config.vocab_size = tokenizer.vocab_size();
  config.context = 128;
  std::filesystem::create_directory(folder);
  write_model(folder, config, random_weights(config, 3), &tokenizer);
}

TEST(QuantizeCommand, ExamplesOfHelpSuitALlamaFolder) {
  const TempFolder folder;
  write_llama(folder / "in");
  const std::string help = run_nibble({"quantize", "--help"}).out;
  const std::string keep = pattern_behind(help, "--keep");
  const std::string set = pattern_behind(help, "another scheme for some tensors,");
  ASSERT_NE(keep, "");
  ASSERT_NE(set, "");
  quantized({folder / "in", "-o", folder / "out", "--keep", keep, "--set", set});
  const std::string words = run_nibble({"inspect", "--help"}).out;
  const size_t at = words.find("nibble inspect my-model model.");
  ASSERT_NE(at, std::string::npos);
  const size_t begin = words.find("model.", at);
  const std::string tensor = words.substr(begin, words.find_first_of(" \n", begin) - begin);
  expect_success(run_nibble({"inspect", folder / "in", tensor}));
}

TEST(QuantizeCommand, ACountOfOneIsSingular) {
  const TempFolder folder;
  write_llama(folder / "in");
  const CommandResult r = quantized({folder / "in", "-o", folder / "out", "--method", "gptq",
                                     "--samples", "1", "--length", "128"});
  EXPECT_TRUE(holds(r.out, "the model generated, 1 sample, 128 tokens: ")) << r.out << r.err;
}

}  // namespace
}  // namespace nibble::test
