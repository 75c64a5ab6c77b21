// --threads: as many as were asked for, no more, and fewer where the system does not give them.
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cstddef>

#include "tests/cli/cli_test.h"
#include "tests/support/shared.h"

namespace nibble::test {
namespace {

// From here on a new thread is refused (EAGAIN, as at a limit of the user's) or ends the process.
void no_threads(uint32_t action) {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, action),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{std::size(code), code};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
    _exit(99);
}

const auto refused = [] { no_threads(SECCOMP_RET_ERRNO | EAGAIN); };
const auto deadly = [] { no_threads(SECCOMP_RET_KILL_PROCESS); };

class Threads : public WithModel {
 protected:
  // Verbs that load, multiply, measure, quantize with calibration (oneDNN) and train.
  std::vector<std::vector<std::string>> commands() const {
    return {{"inspect", model()},
            {"bench", model(), "--runs", "1", "--prefill", "8", "--decode", "4"},
            {"bench", "--shape", "stories260k", "--scheme", "int8:a8", "--runs", "1", "--prefill",
             "64", "--decode", "1"},
            {"generate", model(), "--prompt", "a", "--max-new-tokens", "4"},
            {"eval", model(), "--text", "data/names.txt", "--heldout"},
            {"quantize", model(), "-o", outputs() + "/q", "--scheme", "int4:g16", "--method",
             "gptq", "--calib", "data/names.txt", "--force"},
            {"train", "micro", "--steps", "2", "--data", "data/names.txt", "-o", outputs() + "/t",
             "--force"}};
  }

  static std::vector<std::string> with(std::vector<std::string> words, const std::string& threads) {
    words.insert(words.end(), {"--threads", threads});
    return words;
  }
};

TEST_F(Threads, OneMakesNoSecond) {
  for (const auto& words : commands()) {
    SCOPED_TRACE(words.front());
    const CommandResult r = run_nibble(with(words, "1"), {.limit_s = 60, .in_child = deadly});
    expect_success(r);
  }
}

TEST_F(Threads, OneMakesNoSecondInOneDnn) {
  const std::string images = "../shared/data/mnist";
  if (lacks_shared(images)) GTEST_SKIP() << images;
  const CommandResult r = run_nibble(
      with({"train", "mlp", "--data", images, "--steps", "3", "-o", outputs() + "/mlp"}, "1"),
      {.limit_s = 60, .in_child = deadly});
  expect_success(r);
}

TEST_F(Threads, TheWayTheyAreCountedWorks) {
  const CommandResult r = run_nibble(with({"inspect", model()}, "2"), {.in_child = deadly});
  EXPECT_EQ(r.signal, SIGSYS);
}

TEST_F(Threads, WhereNoneCanBeMadeOneDoesItAll) {
  for (const auto& words : commands()) {
    SCOPED_TRACE(words.front());
    const CommandResult r = run_nibble(with(words, "4"), {.limit_s = 60, .in_child = refused});
    expect_success(r);
    EXPECT_NE(r.err.find("do not allow 4 threads: going on with 1\n"), std::string::npos) << r.err;
    EXPECT_EQ(r.err.find("do not allow"), r.err.rfind("do not allow")) << "said once";
  }
}

TEST_F(Threads, ManyInLittleMemoryAreFewerOrAClear71) {
  if (kSanitized) GTEST_SKIP() << "the sanitizer's shadow needs the address space";
  for (const rlim_t mebibytes : {200, 500, 1000, 4000}) {
    SCOPED_TRACE(mebibytes);
    const auto little = [mebibytes] {
      const rlimit limit{mebibytes << 20, mebibytes << 20};
      setrlimit(RLIMIT_AS, &limit);
    };
    const CommandResult r = run_nibble(
        {"bench", model(), "--runs", "1", "--prefill", "8", "--decode", "4", "--threads", "4096"},
        {.limit_s = 60, .in_child = little});
    if (r.exit_code == 71) {
      EXPECT_NE(r.err.find("nibble: error[71]: "), std::string::npos) << r.err;
      continue;
    }
    expect_success(r);
    EXPECT_NE(r.err.find("do not allow 4096 threads: going on with "), std::string::npos) << r.err;
  }
}

TEST_F(Threads, OmpNumThreadsIsTheDefault) {
  const std::vector<std::string> words = {"bench", model(),  "--runs",   "1", "--prefill",
                                          "8",     "--json", "--decode", "4"};
  const CommandResult r = run_nibble(words, {.set = {{"OMP_NUM_THREADS", "3"}}});
  expect_success(r);
  EXPECT_NE(r.out.find("\"threads\": 3"), std::string::npos) << r.out;
  const CommandResult own = run_nibble(with(words, "2"), {.set = {{"OMP_NUM_THREADS", "3"}}});
  EXPECT_NE(own.out.find("\"threads\": 2"), std::string::npos) << own.out;
}

}  // namespace
}  // namespace nibble::test
