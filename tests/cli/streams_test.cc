// stdin, stdout and stderr that are closed, full, slow or without anybody at the other end; and
// what reaches a terminal through them.
#include <gtest/gtest.h>

#include <csignal>
#include <nlohmann/json.hpp>

#include "tests/cli/cli_test.h"

namespace nibble::test {
namespace {

using Streams = WithModel;

std::function<void()> closing(std::vector<int> descriptors) {
  return [descriptors] {
    for (const int fd : descriptors) close(fd);
  };
}

std::function<void()> sending(int descriptor, const char* device) {
  return [=] { dup2(open(device, O_WRONLY), descriptor); };
}

// A pipe that nobody reads any more.
void break_stderr() {
  int ends[2];
  if (pipe(ends) != 0) _exit(127);
  dup2(ends[1], 2);
  close(ends[0]);
  close(ends[1]);
}

// One that nobody will ever read from, and full.
void stop_up(int descriptor) {
  int ends[2];
  if (pipe(ends) != 0) _exit(127);
  fcntl(ends[1], F_SETFL, O_NONBLOCK);
  while (write(ends[1], "x", 1) == 1) {
  }
  fcntl(ends[1], F_SETFL, 0);
  dup2(ends[1], descriptor);
}

// One that nobody will ever write to, nor close.
void wait_for_input() {
  int ends[2];
  if (pipe(ends) != 0) _exit(127);
  dup2(ends[0], 0);
}

// What is left to be heard when stderr is not there is the exit code.
class StderrGone : public WithModel, public ::testing::WithParamInterface<int> {
 protected:
  static std::function<void()> spoil() {
    const std::vector<std::function<void()>> ways = {closing({2}), sending(2, "/dev/full"),
                                                     break_stderr};
    return ways[static_cast<size_t>(GetParam())];
  }
  static int exit_code_of(const std::vector<std::string>& words) {
    const CommandResult r = run_nibble(words, {.limit_s = 30, .in_child = spoil()});
    EXPECT_EQ(r.signal, 0);
    return r.exit_code;
  }
};
INSTANTIATE_TEST_SUITE_P(Command, StderrGone, ::testing::Values(0, 1, 2));

TEST_P(StderrGone, LeavesTheExitCode) {
  EXPECT_EQ(exit_code_of({"eval", folder_ / "none"}), 66);
  EXPECT_EQ(exit_code_of({"frob"}), 64);
  EXPECT_EQ(exit_code_of({"eval", "--json", "--frob"}), 64);
}

TEST_P(StderrGone, LeavesTheWork) {
  // A warning (the method reads no damping), and a note (what it calibrates on).
  EXPECT_EQ(exit_code_of({"quantize", model(), "-o", out(), "--damping", "0.2"}), 0);
  EXPECT_EQ(exit_code_of({"quantize", model(), "-o", out() + "2", "--method", "gptq", "--samples",
                          "64", "--length", "16"}),
            0);
  expect_success(run_nibble({"inspect", out()}));
  expect_success(run_nibble({"inspect", out() + "2"}));
}

std::vector<std::string> compare_words(const std::string& model, const std::string& page) {
  return {"compare", model, "--schemes", "int8", "--text",          "data/names.txt",
          "--runs",  "1",   "--report",  page,   "--continuations", "0"};
}

// What is opened later must not get the number of a stream, and its texts with it.
TEST_F(Streams, MessagesAndResultsDoNotGoIntoTheReport) {
  const std::string page = outputs() + "/page.html";
  for (const std::vector<int>& closed : {std::vector<int>{2}, {1, 2}, {0, 1, 2}, {1}}) {
    auto words = compare_words(model(), page);
    words.emplace_back("--force");
    const CommandResult r = run_nibble(words, {.limit_s = 60, .in_child = closing(closed)});
    EXPECT_EQ(r.signal, 0);
    EXPECT_EQ(r.exit_code, closed.size() == 1 && closed[0] == 2 ? 0 : 74);
    const std::string text = get_file(page);
    EXPECT_EQ(text.substr(0, 15), "<!DOCTYPE html>");
    EXPECT_EQ(text.substr(text.size() - 8), "</html>\n");
  }
}

TEST_F(Streams, NothingGoesIntoAModelEither) {
  expect_success(run_nibble(quantize()));
  const std::string right = get_file(out() + "/model.safetensors");
  auto words = quantize();
  words.emplace_back("--force");
  const CommandResult r = run_nibble(words, {.in_child = closing({0, 1, 2})});
  EXPECT_EQ(r.exit_code, 74) << "the summary cannot be told";
  EXPECT_EQ(get_file(out() + "/model.safetensors"), right);
}

TEST_F(Streams, ClosedStdoutIsAnError) {
  expect_rejected(run_nibble({"inspect", model()}, {.in_child = closing({1})}), 74, "stdout");
  expect_rejected(run_nibble({"--help"}, {.in_child = closing({1})}), 74, "stdout");
}

TEST_F(Streams, ClosedStdinIsNoText) {
  for (const auto& words : {std::vector<std::string>{"tokenize", model()},
                            {"generate", model(), "--prompt-file", "-"},
                            {"eval", model(), "--text", "-"}})
    expect_rejected(run_nibble(words, {.close_stdin = true}), 74, "standard input");
}

void expect_stopped(const std::vector<std::string>& words, const std::function<void()>& in_child,
                    int signal) {
  const CommandResult r = run_nibble(
      words, {.limit_s = 10, .signal = signal, .signal_after_s = 0.5, .in_child = in_child});
  EXPECT_FALSE(r.timed_out) << words[0];
  EXPECT_EQ(r.signal, 0);
  EXPECT_EQ(r.exit_code, 128 + signal) << words[0] << r.err;
  EXPECT_LT(r.seconds, kSanitized ? 8 : 3) << words[0];
}

// The first three look at the flag while they wait. The last is in the middle of a message, and is
// ended when its time is up.
TEST_F(Streams, AStopIsHeardWhileAStreamKeepsUsWaiting) {
  expect_stopped({"tokenize", model()}, wait_for_input, SIGTERM);
  expect_stopped({"generate", model(), "--prompt-file", "-"}, wait_for_input, SIGINT);
  expect_stopped(
      {"inspect", model()}, [] { stop_up(1); }, SIGTERM);
}

TEST_F(Streams, AStopIsHeardWhileAMessageIsNot) {
  const CommandResult r = run_nibble(
      {"eval", folder_ / "none"},
      {.limit_s = 10, .signal = SIGTERM, .signal_after_s = 0.5, .in_child = [] { stop_up(2); }});
  EXPECT_FALSE(r.timed_out);
  EXPECT_EQ(r.exit_code, 143);
}

bool steers(const std::string& text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return (c < ' ' && c != '\n') || c == 127; }) ||
         text.find("\xc2\x9b") != std::string::npos ||
         text.find("\xe2\x80\xae") != std::string::npos;
}

// ESC [ 31 m; CSI as one character; a mark that turns the line around.
const std::string kNasty =
    "a\x1b[31mb\xc2\x9b"
    "31mc\xe2\x80\xae"
    "d";

TEST_F(Streams, NoWordOfTheCommandLineSteersTheTerminal) {
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"eval", model(), "--" + kNasty},
        {kNasty},
        {"inspect", kNasty},
        {"inspect", model(), kNasty},
        {"train", kNasty},
        {"inspect", model(), "--threads", kNasty},
        {"quantize", model(), "-o", out(), "--scheme", kNasty},
        {"quantize", model(), "-o", out(), "--keep", kNasty},
        {"compare", model(), "--schemes", "int8", "--protocol", kNasty}}) {
    const CommandResult r = run_nibble(words);
    EXPECT_FALSE(steers(r.err)) << r.err;
    EXPECT_NE(r.err.find("\\x1b[31m"), std::string::npos) << r.err;
    EXPECT_EQ(r.err.find('\n'), r.err.size() - 1) << r.err;
  }
}

TEST_F(Streams, NoResultSteersTheTerminal) {
  const std::string nasty = outputs() + "/" + kNasty;
  const CommandResult made = run_nibble({"quantize", model(), "-o", nasty});
  expect_success(made);
  EXPECT_FALSE(steers(made.out)) << made.out;
  for (const auto& words : {std::vector<std::string>{"inspect", nasty},
                            {"compare", nasty, nasty + "/../" + kNasty, "--runs", "1", "--text",
                             "data/names.txt", "--heldout"},
                            {"bench", nasty, "--prefill", "4", "--decode", "2", "--runs", "1"}}) {
    const CommandResult r = run_nibble(words, {.limit_s = 60});
    expect_success(r);
    EXPECT_FALSE(steers(r.out)) << r.out;
    EXPECT_FALSE(steers(r.err)) << r.err;
  }
}

TEST_F(Streams, JsonCarriesNamesAsTheyAre) {
  const CommandResult r = run_nibble({"inspect", kNasty, "--json"});
  EXPECT_EQ(r.exit_code, 66);
  EXPECT_EQ(nlohmann::json::parse(r.err).at("error").at("file"), kNasty);
  EXPECT_EQ(r.err.find('\x1b'), std::string::npos);
  EXPECT_EQ(r.err.find("\xc2\x9b"), std::string::npos);
}

}  // namespace
}  // namespace nibble::test
