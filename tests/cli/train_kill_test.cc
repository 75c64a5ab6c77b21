// kill -9 during training, 50 times: the last checkpoint always loads, and the run that goes on
// from it ends with the bytes of one that was never killed.
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "nibble/core/files.h"
#include "nibble/core/random.h"
#include "tests/cli/cli_test.h"
#include "tests/jobs/models.h"
#include "tests/support/command.h"
#include "tests/support/temp_folder.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

TEST(TrainCommand, GoesOnAfterKillMinusNine) {
  const test::TempFolder folder;
  const std::string in = test::write_reader(folder / "in"), text = folder / "text.txt";
  std::ofstream out(text);
  for (int i = 0; i < 40; ++i) out << kTinyText;
  out.close();
  const auto run = [&](const std::string& to, double kill_after_s) {
    std::vector<std::string> all = {
        "train",   "--from",       in,    "--data",     text, "--qat",
        "int2:g8", "--steps",      "150", "--batch",    "2",  "--checkpoint-every",
        "2",       "--eval-every", "10",  "--patience", "50", "--threads",
        "1",       "--samples",    "0",   "-o",         to};
    if (fs::exists(to + ".resume") || fs::exists(to + ".resume.previous"))
      all.emplace_back("--resume");
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
  const std::string expected = read_file(folder / "whole/model.safetensors");
  PyRandom random(7);
  int ended = 0, killed = 0;
  for (; killed < 50; ++killed) {
    run(folder / "out", whole.seconds * (0.05 + 0.5 * random.random()));
    if (!fs::exists(folder / "out")) continue;  // else it is whole, whenever the signal came
    EXPECT_EQ(read_file(folder / "out/model.safetensors"), expected) << killed;
    fs::remove_all(folder / "out");
    ++ended;
  }
  const test::CommandResult last = run(folder / "out", 0);
  ASSERT_EQ(last.exit_code, 0) << last.err;
  EXPECT_EQ(read_file(folder / "out/model.safetensors"), expected);
  EXPECT_FALSE(fs::exists(folder / "out.resume"));
  std::printf("killed up to 50 times, ended %d times in between\n", ended);
}

}  // namespace
}  // namespace nibble
