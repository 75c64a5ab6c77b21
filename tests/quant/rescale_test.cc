// Rescalers against their purpose: less error than no scale at all, never more; and rotations.
#include "nibble/quant/rescale.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "nibble/core/random.h"
#include "nibble/quant/rotate.h"

namespace nibble {
namespace {

constexpr int64_t kSampleRows = 300, kK = 64, kN = 48;

// Rows with a few loud channels, and a weight.
struct RescaledLayer {
  std::vector<float> x, w;
  InputStatistics input;
};

RescaledLayer layer(uint64_t seed, float loud) {
  PyRandom random(seed);
  RescaledLayer out;
  for (int64_t i = 0; i < kSampleRows * kK; ++i)
    out.x.push_back(static_cast<float>(random.gauss(0, 1)) * (i % kK % 17 == 3 ? loud : 1));
  for (int64_t i = 0; i < kN * kK; ++i) out.w.push_back(static_cast<float>(random.gauss(0, 0.1)));
  StatisticsCollector collector(kK, {true, false, 0});
  collector.add({out.x, {}, {}}, kSampleRows, 1);
  out.input = collector.finish(1);
  return out;
}

SiteTask task_of(const RescaledLayer& l, const std::string& scheme) {
  return {l.input, l.x, {{l.w, kN, parse_scheme(scheme)}}, DType::f32, {}, 1};
}

TEST(Awq, LoudChannelsGetLargerWeightsAndTheErrorFalls) {
  for (uint64_t seed = 1; seed < 6; ++seed) {
    const RescaledLayer l = layer(seed, 12);
    const SiteScales s = find_rescaler("awq")->choose(task_of(l, "int3:g32"));
    EXPECT_LT(s.error, 0.8 * s.plain_error);
    EXPECT_GT(s.scales[3], 1.5 * s.scales[4]);
    EXPECT_GT(s.exponent, 0);
  }
}

TEST(SmoothQuant, OutliersMoveIntoTheWeights) {
  const RescaledLayer l = layer(2, 60);
  const SiteScales s = find_rescaler("smoothquant")->choose(task_of(l, "int8:a8"));
  EXPECT_LT(s.error, 0.2 * s.plain_error);
  EXPECT_GT(s.scales[3], 3 * s.scales[4]);
  const SiteScales fixed = find_rescaler("smoothquant")->choose(task_of(l, "int8:a8static"));
  EXPECT_LT(fixed.error, 0.2 * fixed.plain_error);
}

// The two ways of computing an error agree where both are exact: on the rows that H was made of.
TEST(Rescale, TheErrorOfTheSampleIsThatOfTheHessian) {
  RescaledLayer l = layer(4, 5);
  SiteTask task = task_of(l, "int4:g32");
  std::vector<float> scales(kK, 1.0F);
  scales[7] = 2;
  const double by_hessian = site_error(task, scales);
  l.input.hessian.clear();
  EXPECT_NEAR(site_error(task, scales), by_hessian, 1e-3 * by_hessian);
}

TEST(Rescale, NoScaleIsChosenThatIsWorseThanNone) {
  const RescaledLayer l = layer(5, 1);
  for (const Rescaler& r : rescalers()) {
    for (const char* scheme : {"int8:a8", "int4:g32", "int2:g32:asym", "int8:a8outlier"}) {
      const SiteTask task = task_of(l, scheme);
      const SiteScales s = r.choose(task);
      EXPECT_LE(s.error, s.plain_error);
      EXPECT_NEAR(site_error(task, s.scales), s.error, 1e-9 + 1e-6 * s.error);
      EXPECT_TRUE(std::all_of(s.scales.begin(), s.scales.end(),
                              [](float v) { return v > 0 && std::isfinite(v); }));
    }
  }
}

TEST(Rescale, ScalesThatOverflowAreNoChoice) {
  RescaledLayer l = layer(5, 12);
  float largest = 0;
  for (const float v : l.w) largest = std::max(largest, std::fabs(v));
  for (float& v : l.w) v = v / largest * 3e38f;  // a little more, and the largest is infinite
  for (const Rescaler& r : rescalers()) {
    const SiteTask task = task_of(l, "int4:g32");
    const SiteScales s = r.choose(task);
    EXPECT_NO_THROW(site_error(task, s.scales)) << r.name;
    EXPECT_TRUE(std::all_of(s.scales.begin(), s.scales.end(),
                            [](float v) { return v > 0 && std::isfinite(v); }));
  }
  SiteTask narrow = task_of(l, "int4:g32");
  narrow.scale_dtype = DType::f16;  // which holds no scale of theirs at all
  for (const Rescaler& r : rescalers()) EXPECT_THROW(r.choose(narrow), Error) << r.name;
}

TEST(Rescale, ChannelsThatWereNeverActiveAreHarmless) {
  RescaledLayer l = layer(6, 3);
  for (size_t i = 5; i < l.x.size(); i += kK) l.x[i] = 0;
  StatisticsCollector collector(kK, {true, false, 0});
  collector.add({l.x, {}, {}}, kSampleRows, 1);
  l.input = collector.finish(1);
  for (const Rescaler& r : rescalers()) {
    const SiteScales s = r.choose(task_of(l, "int4:g32:a8"));
    EXPECT_TRUE(std::isfinite(s.error));
    EXPECT_GT(s.scales[5], 0);
  }
}

TEST(Rotation, IsOrthogonalForEveryWidth) {
  for (const int64_t width : {1, 2, 3, 7, 8, 12, 40, 64, 192, 768}) {
    const Rotation turn(width, 5);
    std::vector<std::vector<float>> rows;
    for (int64_t i = 0; i < width; ++i) {
      rows.emplace_back(static_cast<size_t>(width), 0.0F);
      rows.back()[static_cast<size_t>(i)] = 1;
      turn.apply(rows.back());
    }
    const int64_t step = std::max<int64_t>(1, width / 16);
    for (int64_t a = 0; a < width; a += step) {
      for (int64_t b = 0; b < width; ++b) {
        double dot = 0;
        for (size_t i = 0; i < static_cast<size_t>(width); ++i)
          dot += double{rows[static_cast<size_t>(a)][i]} * rows[static_cast<size_t>(b)][i];
        ASSERT_NEAR(dot, a == b ? 1 : 0, 2e-6) << width << " " << a << " " << b;
      }
    }
  }
}

TEST(Rotation, SpreadsOneLoudChannelOverAll) {
  std::vector<float> row(256, 0.0F);
  row[17] = 16;
  Rotation(256, 1).apply(row);
  for (const float v : row) EXPECT_NEAR(std::fabs(v), 1, 1e-5);
}

}  // namespace
}  // namespace nibble
