// kill -9 during a calibrated run: the output is never there in part, and the run can go on.
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>

#include "nibble/core/files.h"
#include "nibble/model/model.h"
#include "tests/cli/cli_test.h"
#include "tests/support/command.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_model.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

TEST(QuantizeCommand, GoesOnAfterKillMinusNine) {  // BAD_INPUTS O3
  const test::TempFolder folder;
  const CharTokenizer tokenizer = CharTokenizer::from_text(kTinyText, true);
  DecoderConfig config = tiny_config(tokenizer);
  config.layers = 6;
  fs::create_directories(folder / "in");
  write_model(folder / "in", config, random_weights(config, 5), &tokenizer);
  const std::vector<std::string> arguments = {
      "quantize", folder / "in", "--scheme", "int4:g16",  "--method", "autoround", "--samples",
      "40",       "--length",    "16",       "--threads", "1",        "-o"};
  const auto run = [&](const std::string& out, double kill_after_s) {
    std::vector<std::string> all = arguments;
    all.push_back(out);
    all.push_back("--resume");
    test::CommandOptions options;
    options.limit_s = 60;
    if (kill_after_s > 0) {
      options.signal = SIGKILL;
      options.signal_after_s = kill_after_s;
    }
    return test::run_nibble(all, options);
  };
  const test::CommandResult whole = run(folder / "whole", 0);
  ASSERT_EQ(whole.exit_code, 0) << whole.err;
  for (int i = 1; i <= 8; ++i) {
    run(folder / "out", whole.seconds * i / 10);
    if (fs::exists(folder / "out")) {
      EXPECT_NO_THROW(load_decoder(open_model(folder / "out")));
      fs::remove_all(folder / "out");
    }
  }
  const test::CommandResult last = run(folder / "out", 0);
  ASSERT_EQ(last.exit_code, 0) << last.err;
  EXPECT_EQ(read_file(folder / "whole/model.safetensors"),
            read_file(folder / "out/model.safetensors"));
  EXPECT_FALSE(fs::exists(folder / "out.resume"));
}

}  // namespace
}  // namespace nibble
