// What goes wrong around a run: the rows O of the catalogue of bad inputs.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <csignal>
#include <string>
#include <vector>

#include "tests/cli/cli_test.h"

namespace nibble::test {
namespace {

namespace fs = std::filesystem;

using Faults = WithModel;

// The `unshare` words that allow a mount of one's own here; empty where nothing does.
std::vector<std::string> unshare_words() {
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"unshare", "-m"}, std::vector<std::string>{"unshare", "-Urm"}}) {
    auto probe = words;
    probe.insert(probe.end(), {"sh", "-c", "mount -t tmpfs -o size=64k none /mnt"});
    if (run_program(probe).exit_code == 0) return words;
  }
  return {};
}

TEST_F(Faults, O1_disk_full_names_the_cause_and_keeps_the_old_output) {
  auto words = unshare_words();
  if (words.empty()) GTEST_SKIP() << "mounting a small tmpfs is not permitted here";
  const std::string nibble = NIBBLE_COMMAND;
  const std::string script =
      "mount -t tmpfs -o size=1m none \"$2\" && "
      "\"$0\" quantize \"$1\" -o \"$2/out\" --scheme int8 --quiet >/dev/null && "
      "{ dd if=/dev/zero of=\"$2/filler\" bs=4096 2>/dev/null; cat \"$2\"/out/* | cksum >\"$3\"; "
      "\"$0\" quantize \"$1\" -o \"$2/out\" --scheme int4:g16 --force --quiet; code=$?; "
      "cat \"$2\"/out/* | cksum | cmp -s - \"$3\" || exit 101; "
      "test \"$(ls -A \"$2\" | tr '\\n' ' ')\" = 'filler out ' || exit 102; exit $code; }";
  words.insert(words.end(), {"sh", "-c", script, nibble, model(), outputs(), folder_ / "checksum"});
  expect_rejected(run_program(words), 74, "No space left");
}

TEST_F(Faults, O1_output_that_is_a_device) {
  auto words = quantize();
  words[3] = "/dev/full";
  expect_rejected(run_nibble(words), 73, "/dev/full");
  words.emplace_back("--force");
  expect_rejected(run_nibble(words), 73, "/dev/full");
}

TEST_F(Faults, O1_stdout_full) {
  const CommandResult r = run_nibble({"inspect", model()}, {.stdout_path = "/dev/full"});
  expect_rejected(r, 74, "No space left");
}

TEST_F(Faults, O2_file_size_limit) {
  const CommandResult r = run_nibble(quantize(), {.in_child = [] {
                                       const rlimit limit{1024, 1024};
                                       setrlimit(RLIMIT_FSIZE, &limit);
                                     }});
  expect_rejected(r, 74, "too large");
  EXPECT_TRUE(fs::is_empty(outputs()));
}

class Signals : public WithModel, public ::testing::WithParamInterface<int> {};
INSTANTIATE_TEST_SUITE_P(Command, Signals, ::testing::Values(SIGINT, SIGTERM));

TEST_P(Signals, O4_stop_training_in_order) {
  const CommandResult r = run_nibble(
      {"train", "demo", "--steps", "100000000", "--quiet", "--data", "data/names.txt", "-o", out()},
      {.limit_s = 30, .signal = GetParam(), .signal_after_s = 1});
  EXPECT_FALSE(r.timed_out);
  EXPECT_EQ(r.signal, 0);
  EXPECT_EQ(r.exit_code, 128 + GetParam()) << r.err;
  EXPECT_EQ(r.out, "");
  for (const auto& entry : fs::directory_iterator(outputs())) {
    EXPECT_EQ(entry.path().string().rfind(out() + ".resume", 0), 0u) << entry.path();
  }
}

TEST_P(Signals, O4_stop_the_demo_in_order) {
  const CommandResult r = run_nibble(
      {"demo", "--steps", "100000000", "--quiet", "--data", "data/names.txt", "-o", out()},
      {.limit_s = 30, .signal = GetParam(), .signal_after_s = 1});
  EXPECT_FALSE(r.timed_out);
  EXPECT_EQ(r.exit_code, 128 + GetParam()) << r.err;
  EXPECT_EQ(r.out, "");
  EXPECT_FALSE(fs::exists(out()));
}

// O6, O8. The training runs would take hours: they must be refused before any work.
std::vector<std::vector<std::string>> commands_with_output(const std::string& model,
                                                           const std::string& out) {
  return {{"quantize", model, "-o", out, "--scheme", "int8"},
          {"auto", model, "-o", out, "--bits", "4", "--samples", "1000000"},
          {"inspect", model, "--activations", "--samples", "1000000", "--report", out},
          {"train", "demo", "--steps", "100000000", "--data", "data/names.txt", "-o", out}};
}

TEST_F(Faults, O6_output_that_cannot_be_made) {
  put_file(outputs() + "/file", "mine");
  fs::create_symlink("nowhere", outputs() + "/dangling");
  const auto before = contents(outputs());
  for (const std::string& name :
       {std::string("absent/out"), std::string("file"), std::string("file/out"),
        std::string("dangling"), std::string(256, 'n')}) {
    for (const auto& words : commands_with_output(model(), outputs() + "/" + name)) {
      SCOPED_TRACE(words[0] + " " + name);
      expect_rejected(run_nibble(words), 73, name.substr(0, 4));
    }
  }
  EXPECT_EQ(contents(outputs()), before);
}

// Another user where the tests run as root, whom nothing is forbidden.
void become_nobody() {
  if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) _exit(127);
}

bool nobody_can_run_nibble() {
  return run_nibble({"--version"}, {.in_child = become_nobody}).exit_code == 0;
}

TEST_F(Faults, O6_read_only_folder) {
  if (!nobody_can_run_nibble()) GTEST_SKIP() << "the build folder is closed to other users";
  fs::permissions(folder_.path(), fs::perms(0755));
  fs::permissions(outputs(), fs::perms(0555));
  for (const auto& words : commands_with_output(model(), out())) {
    SCOPED_TRACE(words[0]);
    expect_rejected(run_nibble(words, {.in_child = become_nobody}), 77, outputs());
  }
}

TEST_F(Faults, O11_no_permission_to_read) {
  if (!nobody_can_run_nibble()) GTEST_SKIP() << "the build folder is closed to other users";
  fs::permissions(folder_.path(), fs::perms(0755));
  fs::permissions(weights(), fs::perms(0));
  expect_rejected(run_nibble({"inspect", model()}, {.in_child = become_nobody}), 77,
                  "model.safetensors");
}

TEST_F(Faults, O7_output_that_is_the_input) {
  fs::create_directory_symlink(model(), outputs() + "/link");
  const auto before = contents(folder_.path());
  for (const std::string& out :
       {model(), model() + "/", model() + "/../model", outputs() + "/link", folder_.path()}) {
    for (const bool force : {false, true}) {
      SCOPED_TRACE(out + (force ? " --force" : ""));
      std::vector<std::string> words = {"quantize", model(), "-o", out, "--scheme", "int8"};
      if (force) words.emplace_back("--force");
      const CommandResult r = run_nibble(words);
      expect_rejected(r, 64);
    }
  }
  EXPECT_EQ(contents(folder_.path()), before);
}

TEST_F(Faults, O8_existing_output_needs_force) {
  expect_success(run_nibble(quantize("int8")));
  const auto before = contents(outputs());
  for (const auto& words : commands_with_output(model(), out())) {
    SCOPED_TRACE(words[0]);
    expect_rejected(run_nibble(words), 73, "--force");
  }
  EXPECT_EQ(contents(outputs()), before);
  auto words = quantize("int4:g16");
  words.emplace_back("--force");
  expect_success(run_nibble(words));
  EXPECT_NE(contents(outputs()), before);
  EXPECT_EQ(std::distance(fs::directory_iterator(outputs()), {}), 1) << "the old one is gone";
}

TEST_F(Faults, DemoReplacesOnlyItsOwnFolder) {
  fs::create_directory(out());
  put_file(out() + "/precious", "mine");
  const auto before = contents(outputs());
  expect_rejected(
      run_nibble({"demo", "--steps", "100000000", "--data", "data/names.txt", "-o", out()}), 73,
      out());
  EXPECT_EQ(contents(outputs()), before);
}

TEST_F(Faults, O15_two_runs_with_one_output) {
  for (int round = 0; round < 5; ++round) {
    auto words = quantize();
    words.emplace_back("--force");
    RunningCommand first(nibble_words(words), {}), second(nibble_words(words), {});
    const CommandResult a = first.wait(), b = second.wait();
    EXPECT_TRUE(a.exit_code == 0 || a.exit_code == 73) << a.err;
    EXPECT_TRUE(b.exit_code == 0 || b.exit_code == 73) << b.err;
    EXPECT_TRUE(a.exit_code == 0 || b.exit_code == 0);
    expect_success(run_nibble({"inspect", out()}));
    EXPECT_EQ(std::distance(fs::directory_iterator(outputs()), {}), 1) << "no leftovers";
  }
}

TEST_F(Faults, O3_leftovers_of_a_killed_run_are_removed) {
  RunningCommand run(nibble_words({"train", "demo", "--steps", "100000000", "--quiet", "--data",
                                   "data/names.txt", "-o", out()}),
                     {.limit_s = 30, .signal = SIGKILL, .signal_after_s = 1});
  EXPECT_EQ(run.wait().signal, SIGKILL);
  EXPECT_FALSE(fs::exists(out()));
  expect_success(run_nibble(quantize()));
  for (const auto& entry : fs::directory_iterator(outputs())) {
    const std::string name = entry.path().filename().string();
    EXPECT_TRUE(name == "out" || name.rfind("out.resume", 0) == 0) << name;
  }
}

TEST_F(Faults, O16_bare_surroundings) {
  const CommandOptions bare{.close_stdin = true,
                            .set = {{"LC_ALL", "de_DE.UTF-8"}, {"TMPDIR", folder_ / "absent"}},
                            .unset = {"HOME", "PATH", "TERM", "LANG"}};
  expect_success(run_nibble(quantize(), bare));
  const CommandResult there =
      run_nibble({"eval", out(), "--text", "data/names.txt", "--heldout", "--json"}, bare);
  const CommandResult here =
      run_nibble({"eval", out(), "--text", "data/names.txt", "--heldout", "--json"});
  expect_success(there);
  EXPECT_NE(there.out.find('.'), std::string::npos) << "numbers are written with a point";
  EXPECT_EQ(there.out.substr(0, 1), here.out.substr(0, 1));
}

TEST_F(Faults, O16_reader_gone) {
  for (const std::vector<std::string>& words : {std::vector<std::string>{"inspect", model()},
                                                std::vector<std::string>{"inspect", "--help"}}) {
    const CommandResult r = run_nibble(words, {.break_stdout = true});
    EXPECT_FALSE(r.timed_out);
    EXPECT_EQ(r.signal, 0);
    EXPECT_EQ(r.err, "") << "quietly";
  }
}

}  // namespace
}  // namespace nibble::test
