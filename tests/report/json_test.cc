#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "nibble/report/classifier_report.h"
#include "nibble/report/demo_report.h"
#include "nibble/report/json_report.h"
#include "tests/report/invented_report.h"

namespace nibble {
namespace {

TEST(ModelsJson, HasTheFieldsOthersRelyOn) {
  const auto json = nlohmann::json::parse(demo_json(testing::invented_report()));
  EXPECT_EQ(json["schema_version"], kReportSchemaVersion);
  ASSERT_EQ(json["models"].size(), 8u);
  const auto& first = json["models"][0];
  EXPECT_EQ(first["name"], "f32");
  for (const char* key :
       {"name", "scheme", "file_bytes", "memory_bytes", "loss", "perplexity", "top1_agreement",
        "kl_mean", "tokens_per_second", "samples", "loss_difference", "bits_per_weight", "tokens",
        "weight_bytes", "kernel", "folder", "parameters", "standard_error", "kl_p99"}) {
    EXPECT_TRUE(first.contains(key)) << key;
  }
  EXPECT_EQ(json["models"][1]["loss_difference"], 0.0004);
  EXPECT_EQ(first["samples"].size(), 10u);
  EXPECT_EQ(first["latency"]["runs"], 20);
  EXPECT_EQ(json["training"]["steps"], 3000);
  EXPECT_EQ(json["busy"], false);
}

TEST(ModelsJson, HasTheSpreadOfEveryTime) {
  auto models = testing::invented_models();
  models[1].latency.seconds = {2, 2, 2, 2, 2, 2, 2, 3, 4, 9};
  models[1].base_latency.seconds = {3, 3, 3, 3, 3, 3, 3, 3, 4, 9};
  const auto json = nlohmann::json::parse(demo_json(testing::demo_of(models)));
  const auto& l = json["models"][1]["latency"];
  EXPECT_EQ(l["runs"], 10);
  EXPECT_EQ(l["median_seconds"], 2.0);
  EXPECT_EQ(l["q1_seconds"], 2.0);
  EXPECT_EQ(l["q3_seconds"], 2.75);
  EXPECT_EQ(l["minimum_seconds"], 2.0);
  EXPECT_EQ(l["maximum_seconds"], 9.0);
  EXPECT_EQ(l["mean_seconds"], 3.0);
  const auto& s = json["models"][1]["speedup"];
  EXPECT_EQ(s["rounds"], 10);
  EXPECT_EQ(s["median"], 1.5);
  EXPECT_EQ(s["low"], 1.0);  // of ten the second from either end
  EXPECT_EQ(s["high"], 1.5);
  EXPECT_EQ(s["verdict"], "unclear");
  EXPECT_TRUE(json["models"][0]["speedup"].is_null());
  EXPECT_EQ(json["models"][1]["waited_share"], 0.0);
}

TEST(ModelsJson, HasNoIntervalOfTooFewRounds) {
  auto models = testing::invented_models();
  models[1].latency.seconds = {1, 1};
  models[1].base_latency.seconds = {66, 66};
  const auto json = nlohmann::json::parse(demo_json(testing::demo_of(models)));
  const auto& s = json["models"][1]["speedup"];
  EXPECT_EQ(s["rounds"], 2);
  EXPECT_TRUE(s["low"].is_null());
  EXPECT_TRUE(s["high"].is_null());
  EXPECT_EQ(s["verdict"], "unknown");
}

TEST(ModelsJson, KeepsTextAndTurnsNanIntoNull) {
  auto models = testing::invented_models();
  models[1].name = "\"<\\\n\x01日本";
  models[1].loss = std::nan("");
  const auto json = nlohmann::json::parse(demo_json(testing::demo_of(models)));
  EXPECT_EQ(json["models"][1]["name"], models[1].name);
  EXPECT_TRUE(json["models"][1]["loss"].is_null());
}

TEST(ModelsJson, OfClassifiersHasNoAccuracyWithoutLabels) {
  std::vector<ClassifierMeasurement> models(2);
  models[0].accuracy = 0.96;
  models[1].accuracy = -1;
  models[1].output_mse = 1.5e-6;
  const auto json = nlohmann::json::parse(classifiers_json(models));
  EXPECT_EQ(json["models"][0]["accuracy"], 0.96);
  EXPECT_TRUE(json["models"][1]["accuracy"].is_null());
  EXPECT_EQ(json["models"][1]["output_mse"], 1.5e-6);
}

}  // namespace
}  // namespace nibble
