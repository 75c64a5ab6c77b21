// bench(): what is timed, and of which model the sizes are.
#include "nibble/jobs/bench.h"

#include <gtest/gtest.h>

#include "tests/jobs/models.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"

namespace nibble {
namespace {

using test::expect_error;

BenchJob quick_bench(const std::string& model) {
  BenchJob job;
  job.model.model = model;
  job.speed.prefill = 6;
  job.speed.decode = 3;
  job.speed.runs = 2;
  return job;
}

TEST(BenchJob, TimesAModelAsItIsStored) {
  const test::TempFolder folder;
  const std::string path = write_tiny_model(folder / "a");
  const BenchResult r = bench(quick_bench(path), {});
  const Model model = open_model(path);
  const Decoder decoder = load_decoder(model);
  EXPECT_EQ(r.scheme, "f32");
  EXPECT_EQ(r.load.file_bytes, model.weights->file_bytes());
  EXPECT_EQ(r.weight_bytes, static_cast<int64_t>(decoder.weight_bytes()));
  EXPECT_EQ(r.memory_bytes, static_cast<int64_t>(decoder.memory_bytes()));
  EXPECT_EQ(r.speed.decode.runs(), 2);
  EXPECT_DOUBLE_EQ(r.speed.decode_tokens_per_second * r.speed.decode.median(), 3);
  EXPECT_DOUBLE_EQ(r.weight_bytes_per_second() * r.speed.decode.median(),
                   3 * static_cast<double>(r.weight_bytes));
  EXPECT_FALSE(r.compared());
  EXPECT_FALSE(r.kernel.empty());
}

TEST(BenchJob, TimesABaselineAsItIsStored) {
  const test::TempFolder folder;
  BenchJob job = quick_bench(write_tiny_model(folder / "a"));
  job.against = job.model.model;
  job.model.in.scheme = "int8";
  const BenchResult r = bench(job, {});
  EXPECT_EQ(r.scheme, "int8");
  EXPECT_EQ(r.against_scheme, "f32");
  EXPECT_TRUE(r.compared());
  EXPECT_EQ(r.decode_speedup().rounds, 2);
  EXPECT_EQ(r.load.file_bytes, 0) << "quantizing would be what takes the time";
}

TEST(BenchJob, RefusesWhatItCannotTime) {
  const test::TempFolder folder;
  const std::string path = write_tiny_model(folder / "a");
  expect_error(ErrorKind::invalid_argument, "one of them", [] { bench({}, {}); });
  BenchJob job = quick_bench(path);
  job.shape = "gpt2-124m";
  expect_error(ErrorKind::invalid_argument, "one of them", [&] { bench(job, {}); });
  job = quick_bench(path);
  job.speed.prefill = 1000;
  expect_error(ErrorKind::invalid_argument, "context", [&] { bench(job, {}); });
  job = quick_bench(test::write_classifier(folder / "mlp"));
  expect_error(ErrorKind::unsupported, "an MLP", [&] { bench(job, {}); });
}

}  // namespace
}  // namespace nibble
