// Choosing bits under a budget, on small random decoders.
#include "nibble/compress/auto_bits.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <set>

#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_decoders.h"
#include "tests/support/tiny_model.h"

namespace nibble {
namespace {

class AutoBits : public testing::Test {
 protected:
  AutoBits() { in_ = write_tiny_model(folder_ / "in"); }
  AutoResult run(const BitBudget& budget, const std::string& method = "gptq", int threads = 1,
                 const std::function<void(const Progress&)>& progress = nullptr) {
    QuantizeOptions base;
    base.scheme = parse_scheme("int4:g32");
    base.method = method;
    base.calibration = {"", 24, 16, 42};
    base.force = true;
    Exec exec;
    exec.threads = threads;
    exec.progress = progress;
    return auto_quantize(in_, folder_ / "out", budget, base, exec);
  }
  const test::TempFolder folder_;
  std::string in_;
};

BitBudget bits(double value) { return {value, {}, {}}; }

TEST_F(AutoBits, KeepsToTheBits) {
  for (const double asked : {4.0, 5.3}) {
    const AutoResult r = run(bits(asked));
    EXPECT_LE(r.written.bits_per_weight, asked);
    EXPECT_GT(r.written.bits_per_weight, asked - 0.3);
    EXPECT_NEAR(r.choice.bits_per_weight, r.written.bits_per_weight, 1e-9);
    EXPECT_LE(r.choice.lower_bound, r.choice.predicted_kl + 1e-12);
    EXPECT_GT(r.measured_kl, 0);
  }
  EXPECT_GT(run(bits(4)).measured_kl, run(bits(6)).measured_kl);
}

TEST_F(AutoBits, TheFrontierFalls) {
  const AutoResult r = run(bits(5));
  for (size_t i = 1; i < r.frontier.size(); ++i) {
    EXPECT_GE(r.frontier[i].bits_per_weight, r.frontier[i - 1].bits_per_weight);
    EXPECT_LE(r.frontier[i].predicted_kl, r.frontier[i - 1].predicted_kl * (1 + 1e-9));
  }
}

TEST_F(AutoBits, BitsDiffer) {
  const AutoResult r = run(bits(4.5));
  std::set<int> seen;
  for (size_t i = 0; i < r.matrices.size(); ++i)
    seen.insert(r.matrices[i].costs[r.choice.chosen[i]].scheme.bits());
  EXPECT_GT(seen.size(), 1U);
}

TEST_F(AutoBits, KeepsToTheSize) {
  const int64_t small = run(bits(4)).written.file_bytes, large = run(bits(6)).written.file_bytes;
  for (const int64_t asked : {(small + large) / 2, large - 1}) {
    const AutoResult r = run({{}, {}, asked});
    EXPECT_LE(r.written.file_bytes, asked);
    EXPECT_GT(r.written.file_bytes, asked - 200);
    EXPECT_EQ(r.written.file_bytes,
              static_cast<int64_t>(std::filesystem::file_size(folder_ / "out/model.safetensors")));
  }
}

TEST_F(AutoBits, MeetsTheKlOnSamplesOfItsOwn) {
  const double coarse = run(bits(4)).measured_kl;
  for (const double asked : {coarse, coarse / 4}) {
    const AutoResult r = run({{}, asked, {}});
    EXPECT_LE(r.measured_kl, asked);
    EXPECT_GT(r.measured_kl, asked / 4) << "bits are wasted";
    EXPECT_GE(r.tries, 1);
    EXPECT_TRUE(r.warnings.empty());
  }
}

// Costs are of the calibrated model: measured alone they would add up to several times too much.
TEST_F(AutoBits, WhatIsPredictedIsMeasured) {
  for (const double asked : {4.0, 5.0}) {
    const AutoResult r = run(bits(asked));
    EXPECT_NEAR(r.choice.predicted_kl / r.measured_kl, 1, 0.5) << asked;
  }
}

TEST_F(AutoBits, ThreadsChangeNothing) {
  const AutoResult one = run(bits(4.5)), three = run(bits(4.5), "gptq", 3);
  EXPECT_EQ(one.choice.chosen, three.choice.chosen);
  EXPECT_EQ(one.measured_kl, three.measured_kl);
  EXPECT_EQ(one.options.tuning.damping, three.options.tuning.damping);
  for (size_t i = 0; i < one.matrices.size(); ++i) {
    for (size_t c = 0; c < one.matrices[i].costs.size(); ++c)
      EXPECT_EQ(one.matrices[i].costs[c].kl, three.matrices[i].costs[c].kl);
  }
}

TEST_F(AutoBits, OtherMethodsWork) {
  for (const char* name : {"rtn", "imatrix", "awq+gptq", "yaqa"})
    EXPECT_LE(run(bits(4.5), name).written.bits_per_weight, 4.5) << name;
}

// The tiny model's matrices have no whole words of gptq in every direction, so these are Llama's.
TEST_F(AutoBits, ChoosesAmongWhatAFormatHolds) {
  const std::string in =
      write_tiny_decoder(tiny_decoder(blocky_decoder_config(2), 9), folder_ / "blocky");
  for (const std::string format : {"gptq", "mlx", "onnx"}) {
    QuantizeOptions base;
    base.scheme = parse_scheme("int4:g32");
    base.calibration = {"", 24, 16, 42};
    base.formats = {parse_output_format(format)};
    const AutoResult r = auto_quantize(in, folder_ / format, bits(5.2), base, {});
    const WeightLayout* layout = find_written_layout(format);
    std::set<std::string> seen;
    for (size_t i = 0; i < r.matrices.size(); ++i) {
      for (const SchemeCost& c : r.matrices[i].costs)
        EXPECT_TRUE(layout == nullptr || layout->can_hold(c.scheme)) << to_string(c.scheme);
      seen.insert(to_string(r.matrices[i].costs[r.choice.chosen[i]].scheme));
    }
    EXPECT_GT(seen.size(), 1U) << format;
    // From its least bits to its most; of GPTQ all symmetric, as one folder says that of all.
    std::set<int> widths;
    for (const SchemeCost& c : r.matrices.front().costs) {
      widths.insert(c.scheme.bits());
      EXPECT_FALSE(format == "gptq" && c.scheme.asymmetric) << to_string(c.scheme);
    }
    const std::map<std::string, std::set<int>> wanted{
        {"gptq", {2, 3, 4, 8}}, {"mlx", {2, 3, 4, 5, 6, 8}}, {"onnx", {2, 4, 8}}};
    EXPECT_EQ(widths, wanted.at(format)) << format;
    EXPECT_LE(r.written.bits_per_weight, 5.2);
    EXPECT_EQ(r.written.written.front().format, format);
  }
}

TEST_F(AutoBits, AFormatThatLeavesNoChoiceIsRefused) {
  for (const std::string format : {"awq", "bitsandbytes"}) {
    QuantizeOptions base;
    base.formats = {parse_output_format(format)};
    test::expect_error(ErrorKind::invalid_argument, "nothing to choose",
                       [&] { auto_quantize(in_, folder_ / "out", bits(4.5), base, {}); });
  }
  QuantizeOptions base;
  base.formats = {parse_output_format("onnx")};
  test::expect_error(ErrorKind::invalid_argument, "`max_size` is not reckoned", [&] {
    auto_quantize(in_, folder_ / "out", {{}, {}, int64_t{1} << 20}, base, {});
  });
}

TEST_F(AutoBits, TheBestMethodIsNamed) {
  const AutoResult best = run(bits(4.5), std::string(kBestMethod));
  EXPECT_TRUE(best.options.method == "yaqa" || best.options.method == "awq+yaqa");
  EXPECT_EQ(best.choice.chosen, run(bits(4.5), best.options.method).choice.chosen);
}

TEST_F(AutoBits, AnUnknownMethodIsAnsweredWithAllThatThereAre) {
  test::expect_error(ErrorKind::invalid_argument, "unknown method \"nope\"; use one of rtn, ",
                     [&] { run(bits(4), "nope"); });
  test::expect_error(ErrorKind::invalid_argument, "llm_int8; or best, on its own",
                     [&] { run(bits(4), "best+gptq"); });
}

TEST_F(AutoBits, SaysWhatCannotBe) {
  test::expect_error(ErrorKind::invalid_argument, "`bits` 1.5 cannot be reached: the least is",
                     [&] { run(bits(1.5)); });
  test::expect_error(ErrorKind::invalid_argument, "`max_size` 900 cannot be reached", [&] {
    run({{}, {}, 900});
  });
  test::expect_error(ErrorKind::invalid_argument, "`max_kl` 1e-09 cannot be met", [&] {
    run({{}, 1e-9, {}});
  });
}

TEST_F(AutoBits, ABudgetBelowTheLeastIsRefusedBeforeTheWork) {
  int steps = 0;
  const auto count = [&](const Progress&) { ++steps; };
  const std::string best(kBestMethod);
  test::expect_error(ErrorKind::invalid_argument, "cannot be reached",
                     [&] { run(bits(1.5), best, 1, count); });
  test::expect_error(ErrorKind::invalid_argument, "cannot be reached", [&] {
    run({{}, {}, 900}, best, 1, count);
  });
  EXPECT_EQ(steps, 0);
  run(bits(4), "rtn", 1, count);
  EXPECT_GT(steps, 0);
}

}  // namespace
}  // namespace nibble
