// What a run may replace and remove: its own, and nothing that it reads or that somebody else made.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <atomic>

#include "nibble/core/files.h"
#include "tests/cli/cli_test.h"

namespace nibble::test {
namespace {

namespace fs = std::filesystem;

using Outputs = WithModel;

std::vector<std::string> with_force(std::vector<std::string> words) {
  words.insert(words.end(), {"--force", "--threads", "1"});
  return words;
}

// Each would replace or remove its own input; with --force, and runs that would take hours.
TEST_F(Outputs, AnInputIsNeverReplaced) {
  const std::string dir = outputs() + "/d", text = dir + "/text.txt", page = outputs() + "/page";
  fs::create_directories(dir);
  fs::create_directories(outputs() + "/e.resume");
  put_file(text, get_file("data/names.txt"));
  put_file(outputs() + "/e.resume/text.txt", get_file("data/names.txt"));
  put_file(dir + "/recipe.json", "{\"scheme\": \"int8\", \"method\": \"rtn\"}");
  fs::create_symlink(text, outputs() + "/link.txt");
  fs::create_hard_link(text, outputs() + "/hard.txt");
  const std::string resumed = outputs() + "/e.resume/text.txt";
  const auto before = contents(folder_.path());
  const std::string weights_of_model = weights(), config = model() + "/config.json";
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"quantize", model(), "-o", dir, "--method", "gptq", "--calib", text},
           {"quantize", model(), "-o", dir, "--method", "gptq", "--calib", outputs() + "/link.txt"},
           {"quantize", model(), "-o", dir, "--recipe", dir + "/recipe.json"},
           {"quantize", model(), "-o", outputs() + "/e", "--method", "gptq", "--calib", resumed},
           {"train", "demo", "--steps", "100000000", "-o", dir, "--data", text},
           {"train", "demo", "--steps", "100000000", "-o", outputs() + "/e", "--data", resumed},
           {"train", "mlp", "--steps", "100000000", "-o", dir, "--data", dir},
           {"demo", "--steps", "100000000", "-o", dir, "--data", text},
           {"auto", model(), "-o", dir, "--bits", "4", "--samples", "1000000", "--calib", text},
           {"auto", model(), "-o", outputs() + "/n", "--bits", "4", "--samples", "1000000",
            "--calib", text, "--report", text},
           {"compare", model(), "--text", text, "--report", text},
           {"compare", model(), "--text", text, "--report", outputs() + "/hard.txt"},
           {"compare", model(), "--text", text, "--report", weights_of_model},
           {"compare", weights_of_model, "--text", text, "--report", config},
           {"inspect", model(), "--activations", text, "--report", text},
           {"inspect", model(), "--activations", text, "--report", config}}) {
    SCOPED_TRACE(words[0] + " " + words.back());
    expect_rejected(run_nibble(with_force(words), {.limit_s = 20}), 64);
    EXPECT_EQ(contents(folder_.path()), before);
  }
}

TEST_F(Outputs, AReportInsideAFolderThatIsMadeAnewIsRefused) {
  fs::create_directories(out());
  for (const std::string& page : {out() + "/page.html", out(), out() + ".resume/page.html"})
    expect_rejected(run_nibble(with_force({"auto", model(), "-o", out(), "--bits", "4", "--samples",
                                           "1000000", "--report", page})),
                    64, "which is made anew");
}

// A number that no process has.
std::string dead_process() {
  const pid_t child = fork();
  if (child == 0) _exit(0);
  waitpid(child, nullptr, 0);
  return std::to_string(child);
}

TEST_F(Outputs, WhatOnlyHasANameLikeOursStays) {
  const std::string dead = dead_process();
  const std::string thesis = out() + ".partial-" + dead, page = outputs() + "/page.html";
  fs::create_directory(thesis);
  put_file(thesis + "/thesis.txt", "mine");
  put_file(page + ".tmp." + dead, "mine");
  fs::create_directory(page + ".nibble.tmp." + dead);
  put_file(page + ".nibble.tmp.x", "mine");
  put_file(outputs() + "/file", "mine");
  fs::create_hard_link(outputs() + "/file", page + ".nibble.tmp.999999");
  const auto before = contents(outputs());
  expect_success(run_nibble(quantize()));
  expect_success(run_nibble({"compare", model(), "--text", "data/names.txt", "--runs", "1",
                             "--continuations", "0", "--report", page},
                            {.limit_s = 60}));
  fs::remove_all(out());
  fs::remove(page);
  EXPECT_EQ(contents(outputs()), before);
}

std::vector<std::string> calibrated(const std::string& model, const std::string& out) {
  return {"quantize",  model,      "-o",       out,       "--scheme",
          "int4:g16",  "--method", "gptq",     "--calib", "data/names.txt",
          "--samples", "64",       "--length", "16",      "--threads",
          "1",         "--quiet"};
}

// OUT.resume is where finished layers and checkpoints go; and people have folders of that name.
TEST_F(Outputs, AResumeOfSomebodyElseStays) {
  fs::create_directory(out() + ".resume");
  put_file(out() + ".resume/cv.txt", "mine");
  const auto before = contents(outputs());
  expect_rejected(run_nibble(calibrated(model(), out())), 73, "out.resume");
  auto words = calibrated(model(), out());
  words.emplace_back("--resume");
  expect_rejected(run_nibble(words), 73, "out.resume");
  expect_rejected(run_nibble({"auto", model(), "-o", out(), "--bits", "4", "--samples", "1000000"}),
                  73, "out.resume");
  const std::vector<std::string> train = {"train", "micro",  "--steps",        "2",  "--batch",
                                          "1",     "--data", "data/names.txt", "-o", out()};
  expect_rejected(run_nibble(train), 73, "out.resume");
  EXPECT_EQ(contents(outputs()), before);
  fs::remove_all(out() + ".resume");
  for (const char* name : {".resume", ".resume.previous"}) {
    put_file(out() + name, "mine");
    expect_rejected(run_nibble(train), 73, std::string("out") + name);
    EXPECT_EQ(get_file(out() + name), "mine");
    if (name == std::string(".resume"))
      expect_rejected(run_nibble(calibrated(model(), out())), 73, "out.resume");
    fs::remove(out() + name);
  }
  expect_success(run_nibble(train));
}

// A run that was killed leaves layers; what people put beside them is not removed with them.
TEST_F(Outputs, NotesBesideFinishedLayersStay) {
  fs::create_directory(out() + ".resume");
  put_file(out() + ".resume/fingerprint.txt", "{\"nibble_version\": \"0.0.1\"}");
  put_file(out() + ".resume/layer-00000.json", "{}");
  put_file(out() + ".resume/layer-00007.safetensors", "old");
  put_file(out() + ".resume/notes.txt", "mine");
  expect_success(run_nibble(calibrated(model(), out())));
  EXPECT_EQ(contents(out() + ".resume"),
            (std::map<std::string, std::string>{{"notes.txt", "mine"}}));
}

// Two commands at once; how they ended, and that one of them made OUT.
void expect_one_of_two(const std::vector<std::string>& words, const std::string& outputs) {
  RunningCommand first(nibble_words(words), {.limit_s = 60}),
      second(nibble_words(words), {.limit_s = 60});
  CommandResult a = first.wait(), b = second.wait();
  if (a.exit_code != 0) std::swap(a, b);
  expect_success(a);
  if (b.exit_code == 0) return;  // it came when the other had ended: with --force
  expect_rejected(b, 73);
  EXPECT_TRUE(b.err.find("is being written already") != std::string::npos ||
              b.err.find("exists already") != std::string::npos)
      << b.err;
  EXPECT_EQ(std::distance(fs::directory_iterator(outputs), {}), 1) << "nothing is left";
}

TEST_F(Outputs, OfTwoCalibratedRunsOneGoesOn) {
  for (const bool force : {false, true}) {
    for (int i = 0; i < 4; ++i) {
      auto words = calibrated(model(), out());
      if (force) words.emplace_back("--force");
      expect_one_of_two(words, outputs());
      expect_success(run_nibble({"inspect", out()}));
      if (!force) fs::remove_all(out());
    }
  }
}

TEST_F(Outputs, OfTwoTrainingRunsOneGoesOn) {
  for (int i = 0; i < 3; ++i) {
    expect_one_of_two({"train", "micro", "--steps", "2000", "--batch", "1", "--checkpoint-every",
                       "500", "--data", "data/names.txt", "--quiet", "-o", out()},
                      outputs());
    fs::remove_all(out());
  }
}

// The second is told at once, not after the search.
TEST_F(Outputs, OfTwoSearchesForBitsOneGoesOn) {
  const std::vector<std::string> words = {"auto",      model(), "-o",        out(), "--bits", "5",
                                          "--samples", "2000",  "--threads", "1",   "--quiet"};
  RunningCommand first(nibble_words(words),
                       {.limit_s = 60, .signal = SIGTERM, .signal_after_s = 4});
  const auto folder_is_there = [&] {
    for (const auto& e : fs::directory_iterator(outputs()))
      if (e.path().string().find("out.partial-") != std::string::npos) return true;
    return false;
  };
  for (int i = 0; i < 300 && !folder_is_there(); ++i) usleep(10'000);
  const CommandResult second = run_nibble(words);
  expect_rejected(second, 73, "is being written already");
  first.wait();
}

}  // namespace
}  // namespace nibble::test
