// The estimate of a model, of a shape, of sizes: one of them.
#include "nibble/jobs/estimate.h"

#include <gtest/gtest.h>

#include "tests/jobs/models.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"

namespace nibble {
namespace {

using test::expect_error;

TEST(EstimateJob, IsOfTheModelAsItIsStored) {
  const test::TempFolder folder;
  EstimateJob job;
  job.model = write_tiny_model(folder / "a");
  job.bandwidth = 1e9;
  job.schemes = {"f32", "int8"};
  const EstimateResult r = estimate(job, {});
  const DecoderConfig config = open_model(job.model).decoder_config();
  EXPECT_EQ(r.parameters, parameter_count(config));
  EXPECT_EQ(r.context, config.context);
  EXPECT_EQ(r.kv_bytes_per_token, kv_bytes_per_token(config, DType::f16));
  EXPECT_FALSE(r.measured);
  ASSERT_EQ(r.schemes.size(), 2u);
  EXPECT_EQ(r.schemes[0].memory_bytes,
            estimate(config, parse_scheme("f32"), {.kv = DType::f16}).memory_bytes);
  EXPECT_LT(r.schemes[1].memory_bytes, r.schemes[0].memory_bytes);
  EXPECT_TRUE(r.fits(r.schemes[0]));
}

TEST(EstimateJob, IsOfOneThing) {
  expect_error(ErrorKind::invalid_argument, "one of them", [] { estimate(EstimateJob{}, {}); });
  EstimateJob job;
  job.sizes.parameters = 7e9;
  job.bandwidth = 1e9;
  EXPECT_NEAR(static_cast<double>(estimate(job, {}).parameters), 7e9, 0.7e9);
  job.shape = "gpt2-124m";
  expect_error(ErrorKind::invalid_argument, "one of them", [&] { estimate(job, {}); });
  job.shape = "";
  job.also = {"norms"};
  expect_error(ErrorKind::invalid_argument, "`also` \"norms\"", [&] { estimate(job, {}); });
}

}  // namespace
}  // namespace nibble
