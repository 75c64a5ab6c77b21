// How the errors of the library are told: options by their flags, kinds and codes as they are.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/cli/cli_test.h"

namespace nibble::test {
namespace {

using Words = std::vector<std::string>;

nlohmann::json error_of(const Words& words, const CommandOptions& how = {}) {
  Words all = words;
  all.emplace_back("--json");
  const CommandResult r = run_nibble(all, how);
  const auto json = nlohmann::json::parse(r.err, nullptr, false);
  if (json.is_discarded() || !json.contains("error")) {
    ADD_FAILURE() << "no error: " << r.err;
    return {{"code", 0}, {"kind", ""}, {"reason", ""}, {"message", ""}};
  }
  EXPECT_EQ(json.at("error").at("code"), r.exit_code) << r.err;
  return json.at("error");
}

void expect_error(const nlohmann::json& error, int code, std::string_view kind) {
  EXPECT_EQ(error.at("code"), code) << error;
  EXPECT_EQ(error.at("kind"), kind) << error;
}

class ToldErrors : public WithModel {
 protected:
  Words quantizing(const Words& more) const {
    Words out = {"quantize", model(), "-o", WithModel::out()};
    out.insert(out.end(), more.begin(), more.end());
    return out;
  }
};

TEST_F(ToldErrors, QuantizeNamesItsFlags) {
  const std::vector<std::pair<Words, std::string>> cases = {
      {{"--keep", "x*"}, R"(--keep "x*": no tensor has such a name (`nibble inspect` lists them))"},
      {{"--keep", "wte*=q"}, R"(--keep "wte*=q": behind '=' stands f32, f16 or bf16)"},
      {{"--set", "x"}, R"(--set "x": write PATTERN=SCHEME, such as '*layers.0.*=int8')"},
      {{"--keep", "wte*", "--set", "wte*=int4"},
       "--set \"wte*\": rules before it decide all that it names (the first that fits a tensor "
       "counts, and --keep before --set)"},
      {{"--method", "llm_int8", "--scheme", "nf4"},
       "--method llm_int8 rounds to integers: nf4:g64 cannot be used"},
      {{"--quantize", "x"}, R"(--quantize "x": use lm_head or embeddings)"}};
  for (const auto& [more, line] : cases) {
    Words words = quantizing(more);
    words.emplace_back("--quiet");
    const CommandResult r = run_nibble(words);
    expect_rejected(r, 64);
    EXPECT_EQ(r.err, "nibble: error[64]: " + line + "\n");
  }
}

TEST_F(ToldErrors, OtherVerbsNameTheirFlags) {
  const std::vector<std::pair<Words, std::string>> cases = {
      {{"estimate", "--params", "x"},
       "--params \"x\": expected a number of parameters from 1K to 100T, such as 7B or 124M"},
      {{"estimate", "--layers", "3"}, "give --params, or --layers and --width"},
      {{"estimate", "--layers", "2", "--width", "64", "--heads", "4", "--kv-heads", "3"},
       "--kv-heads 3 key/value heads do not divide 4 heads"},
      {{"eval", model(), "--text", "data/names.txt", "--window", "999"},
       "data/names.txt: --window 999: the model's context holds 16 tokens"},
      {{"generate", model(), "--prompt", "annabellaannabellaannabella"},
       "a prompt of 28 tokens does not fit the context of 16: shorten it, or let --shift drop what "
       "is oldest"},
      {{"auto", model(), "-o", out(), "--bits", "1", "--samples", "8", "--length", "8"},
       "--bits 1 cannot be reached: the least is 2.82 (kept tensors count)"}};
  for (const auto& [words, line] : cases) {
    const CommandResult r = run_nibble(words, {.limit_s = 60});
    EXPECT_EQ(r.exit_code, 64);
    EXPECT_EQ(r.err, "nibble: error[64]: " + line + "\n");
  }
}

TEST_F(ToldErrors, WhatStandsInTheWayIsToldByItsCode) {
  std::filesystem::create_directory(out());
  const auto there = error_of(quantizing({}));
  expect_error(there, 73, "io");
  EXPECT_EQ(there.at("reason"), "exists already; use --force to replace it");
  EXPECT_EQ(there.at("file"), out());
  expect_error(error_of({"quantize", model(), "-o", out() + "/no/such/place"}), 73, "io");
  expect_error(error_of({"inspect", folder_ / "none"}), 66, "not_found");
}

TEST_F(ToldErrors, TooLittleMemoryIsAKind) {
  const auto error = error_of(quantizing({"--method", "gptq", "--quiet", "--max-memory", "1",
                                          "--samples", "512", "--length", "16", "--threads", "1"}));
  expect_error(error, 71, "out_of_memory");
  const std::string reason = error.at("reason");
  EXPECT_NE(reason.find("MiB, --max-memory allows 1 MiB: fewer --threads, a shorter --length or "
                        "--inputs quantized need less, and so may a text given with --calib"),
            std::string::npos)
      << reason;
  EXPECT_EQ(error.at("message"), reason);
}

TEST_F(ToldErrors, AStopIsAKind) {
  const auto error = error_of(
      {"train", "demo", "--steps", "100000000", "--quiet", "--data", "data/names.txt", "-o", out()},
      {.limit_s = 30, .signal = SIGTERM, .signal_after_s = 1});
  expect_error(error, 143, "cancelled");
  EXPECT_EQ(error.at("message"), "stopped by signal 15");
}

// Not even where one has the form in which the library names options.
TEST_F(ToldErrors, NamesFromOutsideStayAsTheyAre) {
  expect_rejected(run_nibble(quantizing({"--method", "`force`"})), 64, "\"`force`\"");
  expect_rejected(run_nibble({"inspect", folder_ / "`force`"}), 66, folder_ / "`force`");
}

TEST_F(ToldErrors, WarningsAsJsonNameFlags) {
  const CommandResult r = run_nibble(quantizing({"--damping", "0.2", "--json"}));
  expect_success(r);
  const std::string warning = nlohmann::json::parse(r.out).at("warnings").at(0);
  EXPECT_EQ(warning, "--damping: without effect, since method rtn in scheme int8 does not read it");
}

}  // namespace
}  // namespace nibble::test
