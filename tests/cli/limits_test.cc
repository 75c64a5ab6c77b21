// Little stack, little memory, and files that ask for more than they are worth.
#include <gtest/gtest.h>
#include <zlib.h>

#include <fstream>

#include "tests/cli/cli_test.h"

namespace nibble::test {
namespace {

namespace fs = std::filesystem;

std::function<void()> limiting(int resource, int64_t bytes) {
  return [=] {
    const rlimit limit{static_cast<rlim_t>(bytes), static_cast<rlim_t>(bytes)};
    setrlimit(static_cast<__rlimit_resource_t>(resource), &limit);
  };
}

std::vector<std::string> gptq(const std::string& model, const std::string& out) {
  return {"quantize",       model,      "-o",        out,         "--scheme",
          "int4:g16",       "--method", "gptq",      "--samples", "16",
          "--length",       "16",       "--threads", "1",         "--calib",
          "data/names.txt", "--force"};
}

using Limits = WithModel;

// A quarter of the 256 KiB that BAD_INPUTS T6 names.
TEST_F(Limits, AStackOf64KiBIsEnough) {
  if (kSanitized) GTEST_SKIP() << "sanitizers need a larger stack before main()";
  const auto small = limiting(RLIMIT_STACK, 64 << 10);
  expect_success(run_nibble({"tokenize", model()}, {.input = "abc", .in_child = small}));
  expect_success(run_nibble(gptq(model(), out()), {.limit_s = 30, .in_child = small}));
  for (const char* scheme : {"int8:a8", "int4:g16", "int3:g16:asym", "nf4"})
    expect_success(run_nibble({"eval", model(), "--scheme", scheme, "--text", "data/names.txt",
                               "--heldout", "--threads", "2"},
                              {.limit_s = 30, .in_child = small}));
  expect_success(run_nibble({"train", "micro", "--steps", "5", "--batch", "2", "--data",
                             "data/names.txt", "--threads", "2"},
                            {.limit_s = 30, .in_child = small}));
  expect_rejected(run_nibble({"inspect", folder_ / "none"}, {.in_child = small}), 66);
}

TEST_F(Limits, AStopIsHeardOnASmallStack) {
  if (kSanitized) GTEST_SKIP() << "sanitizers need a larger stack before main()";
  const CommandResult r = run_nibble(
      {"train", "demo", "--steps", "100000000", "--quiet", "--data", "data/names.txt", "-o", out()},
      {.limit_s = 30,
       .signal = SIGTERM,
       .signal_after_s = 1,
       .in_child = limiting(RLIMIT_STACK, 64 << 10)});
  EXPECT_EQ(r.exit_code, 143) << r.err;
}

// However little there is: an error of one line, and nothing left; or it is enough. Below what the
// libraries take before main() the process is ended by the loader, or by libgomp as it is loaded:
// then not even the version is said.
TEST_F(Limits, LittleMemoryIsSaidInOneLine) {
  if (kSanitized) GTEST_SKIP() << "sanitizers take address space by the terabyte";
  int said = 0, enough = 0;
  for (int64_t mib = 48; mib <= 112; mib += 4) {
    const auto limit = limiting(RLIMIT_AS, mib << 20);
    if (run_nibble({"--version"}, {.in_child = limit}).exit_code != 0) {
      EXPECT_LT(mib, 64);
      continue;
    }
    for (auto words : {gptq(model(), out()), quantize("int4:g16"),
                       std::vector<std::string>{"train", "micro", "--steps", "2", "--batch", "2",
                                                "--data", "data/names.txt", "-o", out()}}) {
      SCOPED_TRACE(words[0] + " in " + std::to_string(mib) + " MiB");
      words.push_back("--quiet");
      const CommandResult r = run_nibble(words, {.limit_s = 60, .in_child = limit});
      if (r.exit_code != 0) {
        expect_rejected(r, 71, "out of memory");
        EXPECT_EQ(contents(outputs()).size(), 0u);
        ++said;
      } else {
        ++enough;
      }
      fs::remove_all(out());
    }
  }
  EXPECT_GT(said, 0);
  EXPECT_GT(enough, 0);
}

// The page's roofline wants 1 GiB to read: less will do, and it can be left out.
TEST_F(Limits, AReportNeedsNoGibibyte) {
  if (kSanitized) GTEST_SKIP() << "sanitizers take address space by the terabyte";
  const std::string page = outputs() + "/page.html";
  for (const int64_t mib : {300, 700}) {
    const CommandResult r =
        run_nibble({"compare", model(), "--text", "data/names.txt", "--heldout", "--runs", "1",
                    "--continuations", "0", "--threads", "1", "--report", page, "--force"},
                   {.limit_s = 60, .in_child = limiting(RLIMIT_AS, mib << 20)});
    expect_success(r);
    EXPECT_EQ(get_file(page).substr(0, 15), "<!DOCTYPE html>");
    EXPECT_NE(r.out.find("f32"), std::string::npos);
  }
}

TEST(Estimate, SaysThatItCannotMeasure) {
  if (kSanitized) GTEST_SKIP() << "sanitizers take address space by the terabyte";
  const auto small = limiting(RLIMIT_AS, 150 << 20);
  expect_rejected(run_nibble({"estimate", "--params", "7B", "--threads", "1"}, {.in_child = small}),
                  71, "--bandwidth");
  expect_success(run_nibble({"estimate", "--params", "7B", "--threads", "1", "--bandwidth", "10"},
                            {.in_child = small}));
}

// Writes through gzip without holding what is written: the command's peak memory is not counted
// below its parent's.
class GzipFile {
 public:
  explicit GzipFile(const std::string& path) : file_(gzopen(path.c_str(), "wb9")) {}
  ~GzipFile() { gzclose(file_); }
  GzipFile(const GzipFile&) = delete;
  GzipFile& operator=(const GzipFile&) = delete;
  GzipFile& header(const std::vector<uint32_t>& dims) {
    word(0x800 + static_cast<uint32_t>(dims.size()));
    for (const uint32_t d : dims) word(d);
    return *this;
  }
  GzipFile& zeros(int64_t count) {
    const std::string part(1 << 16, '\0');
    for (; count > 0; count -= std::ssize(part))
      gzwrite(file_, part.data(), static_cast<unsigned>(std::min(count, std::ssize(part))));
    return *this;
  }

 private:
  void word(uint32_t v) {
    for (int shift = 24; shift >= 0; shift -= 8) gzputc(file_, static_cast<int>(v >> shift & 0xFF));
  }
  gzFile file_;
};

class Bombs : public testing::Test {
 protected:
  static constexpr uint32_t kMany = 500'000;  // 392 MB of images

  std::string images() const { return folder_ / "t10k-images-idx3-ubyte.gz"; }
  std::string labels() const { return folder_ / "t10k-labels-idx1-ubyte.gz"; }

  void expect_refused(const std::string& words) {
    const auto size = static_cast<int64_t>(fs::file_size(images()) + fs::file_size(labels()));
    const CommandResult r =
        run_nibble({"train", "mlp", "--data", folder_.path(), "--steps", "2", "--threads", "1"},
                   {.limit_s = 30});
    expect_rejected(r, 65, words);
    const int64_t own = kSanitized ? int64_t{1} << 40 : 0;  // what sanitizers take
    EXPECT_LE(r.peak_rss_bytes, 2 * size + (64 << 20) + own);
  }

  TempFolder folder_;
};

TEST_F(Bombs, OtherNumbersOfImagesAndLabels) {
  GzipFile(images()).header({kMany, 28, 28}).zeros(int64_t{kMany} * 784);
  GzipFile(labels()).header({20}).zeros(20);
  expect_refused("expected as many images as labels");
}

TEST_F(Bombs, ImagesThatDoNotFitTheModel) {
  GzipFile(images()).header({20, 4428, 4428}).zeros(int64_t{20} * 4428 * 4428);
  GzipFile(labels()).header({20}).zeros(20);
  expect_refused("do not fit a model with 784 inputs");
}

TEST_F(Bombs, ImagesThatEndTooEarly) {
  GzipFile(images()).header({kMany, 28, 28}).zeros(int64_t{kMany} * 784 - 1);
  GzipFile(labels()).header({kMany}).zeros(kMany);
  expect_refused("needs 392000000 bytes of data, the file has 391999999");
}

TEST_F(Bombs, AWrongChecksumAtTheEnd) {
  GzipFile(images()).header({kMany, 28, 28}).zeros(int64_t{kMany} * 784);
  GzipFile(labels()).header({kMany}).zeros(kMany);
  std::fstream file(images(), std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(-8, std::ios::end);
  file.put('x');
  file.close();
  expect_refused("gzip data are damaged");
}

TEST_F(Bombs, LabelsOfClassesThatAreNotThere) {
  GzipFile(images()).header({kMany, 28, 28}).zeros(int64_t{kMany} * 784);
  {
    std::string text(kMany, '\0');
    text.back() = 10;
    const gzFile file = gzopen(labels().c_str(), "wb9");
    const std::string header{'\0', '\0', '\x08', '\x01', '\0', '\x07', '\xA1', '\x20'};
    gzwrite(file, header.data(), 8);
    gzwrite(file, text.data(), kMany);
    gzclose(file);
  }
  expect_refused("label 499999 is 10, the model has 10 classes");
}

}  // namespace
}  // namespace nibble::test
