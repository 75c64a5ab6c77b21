// Every field of the documents for machines has the number that it names.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "nibble/report/classifier_report.h"
#include "nibble/report/compare_report.h"
#include "nibble/report/demo_report.h"
#include "nibble/report/json_report.h"
#include "tests/report/invented_report.h"

namespace nibble {
namespace {

using nlohmann::json;

// A measurement of which no two numbers are alike.
Measurement all_different() {
  Measurement m;
  m.name = "a", m.scheme = "int8", m.folder = "b", m.kernel = "c";
  m.parameters = 1, m.file_bytes = 2, m.memory_bytes = 3, m.weight_bytes = 4;
  m.bits_per_weight = 5.5, m.loss = 6.5, m.standard_error = 7.5, m.perplexity = 8.5, m.tokens = 9;
  m.loss_difference = 10.5, m.loss_difference_standard_error = 11.5;
  m.divergence = {12.5, 13.5, 14.5, 15.5,
                  16.5, 17.5, 18.5, 19.5,
                  20.5, 21.5, 22.5, {{23, 24, 25, 26.5, 27.5}, {28, 29, 30, 31.5, 32.5}}};
  m.latency.seconds = {1, 1, 1, 1, 1, 2};
  m.base_latency.seconds = {4, 4, 4, 4, 4, 8};
  m.dequantized_latency.seconds = {8, 8, 8, 8, 8, 16};
  m.tokens_per_second = 33.5, m.dequantized_tokens_per_second = 34.5, m.waited_share = 0.125;
  m.samples = {"s", "t"};
  m.throughput = {35,
                  36,
                  {{2, 2, 2, 2, 2, 2}},
                  {{3, 3, 3, 3, 3, 3}},
                  {{1, 1, 1, 1, 1, 1}},
                  {{9, 9, 9, 9, 9, 9}},
                  37.5,
                  38.5,
                  39,
                  40};
  m.text = {"some text", 41, 42, 43, {0.75, 0.25}};
  return m;
}

TEST(MeasurementJson, EveryFieldIsItsOwn) {
  const json all = json::parse(demo_json(testing::demo_of({all_different()})));
  const json& j = all["models"][0];
  const std::pair<const char*, json> fields[] = {{"name", "a"},
                                                 {"scheme", "int8"},
                                                 {"folder", "b"},
                                                 {"kernel", "c"},
                                                 {"parameters", 1},
                                                 {"file_bytes", 2},
                                                 {"memory_bytes", 3},
                                                 {"weight_bytes", 4},
                                                 {"bits_per_weight", 5.5},
                                                 {"loss", 6.5},
                                                 {"standard_error", 7.5},
                                                 {"perplexity", 8.5},
                                                 {"tokens", 9},
                                                 {"loss_difference", 10.5},
                                                 {"loss_difference_standard_error", 11.5},
                                                 {"kl_mean", 12.5},
                                                 {"kl_standard_error", 13.5},
                                                 {"kl_median", 14.5},
                                                 {"kl_p90", 15.5},
                                                 {"kl_p99", 16.5},
                                                 {"kl_p999", 17.5},
                                                 {"kl_max", 18.5},
                                                 {"top1_agreement", 19.5},
                                                 {"top1_standard_error", 20.5},
                                                 {"rms_delta_p", 21.5},
                                                 {"rms_delta_p_standard_error", 22.5},
                                                 {"tokens_per_second", 33.5},
                                                 {"dequantized_tokens_per_second", 34.5},
                                                 {"waited_share", 0.125},
                                                 {"samples", {"s", "t"}},
                                                 {"prefill_tokens", 35},
                                                 {"decode_tokens", 36},
                                                 {"prefill_tokens_per_second", 37.5},
                                                 {"decode_tokens_per_second", 38.5},
                                                 {"text", "some text"},
                                                 {"text_tokens", 41},
                                                 {"first_difference", 42},
                                                 {"continuations", 43},
                                                 {"prefix_agreement", {0.75, 0.25}}};
  for (const auto& [key, value] : fields) EXPECT_EQ(j.at(key), value) << key;
  EXPECT_EQ(j["by_position"][0], (json{{"first", 23},
                                       {"last", 24},
                                       {"tokens", 25},
                                       {"top1_agreement", 26.5},
                                       {"kl_mean", 27.5}}));
  EXPECT_EQ(j["by_position"][1]["last"], 29);
}

// Of each kind of work its own times, and the ratios the right way round.
TEST(MeasurementJson, EveryTimeAndRatioIsOfItsOwnWork) {
  const json all = json::parse(demo_json(testing::demo_of({all_different()})));
  const json& j = all["models"][0];
  EXPECT_EQ(j["latency"]["median_seconds"], 1);
  EXPECT_EQ(j["latency"]["maximum_seconds"], 2);
  EXPECT_EQ(j["prefill_latency"]["median_seconds"], 2);
  EXPECT_EQ(j["decode_latency"]["median_seconds"], 3);
  EXPECT_EQ(j["speedup"]["median"], 4);
  EXPECT_EQ(j["dequantized_speedup"]["median"], 8);
  EXPECT_EQ(j["prefill_speedup"]["median"], 0.5);
  EXPECT_EQ(j["decode_speedup"]["median"], 3);
  EXPECT_EQ(j["speedup"]["verdict"], "faster");
  EXPECT_EQ(j["prefill_speedup"]["verdict"], "slower");
}

TEST(MeasurementJson, LeavesOutWhatWasNotAskedFor) {
  const json all = json::parse(demo_json(testing::demo_of({Measurement{}})));
  const json& j = all["models"][0];
  for (const char* key : {"prefill_tokens", "prefill_latency", "decode_speedup", "text",
                          "first_difference", "prefix_agreement"})
    EXPECT_FALSE(j.contains(key)) << key;
  EXPECT_EQ(j["by_position"], json::array());
  EXPECT_EQ(j["latency"]["runs"], 0);
}

TEST(MeasurementJson, ATextThatNeverPartsHasNoFirstDifference) {
  Measurement m = all_different();
  m.text.first_difference = -1;
  const json all = json::parse(demo_json(testing::demo_of({m})));
  EXPECT_TRUE(all["models"][0]["first_difference"].is_null());
}

TEST(DemoJson, TellsHowTheModelWasTrained) {
  DemoResult r = testing::invented_report();
  r.seed = 7, r.data_seed = 8;
  const json j = json::parse(demo_json(r));
  EXPECT_EQ(j["nibble_version"], "0.1.0");
  EXPECT_EQ(j["date"], r.run.date);
  EXPECT_EQ(j["machine"], r.run.machine);
  EXPECT_EQ(j["training"], (json{{"model", r.model},
                                 {"data", r.data},
                                 {"steps", 3000},
                                 {"batch", 32},
                                 {"seed", 7},
                                 {"data_seed", 8},
                                 {"seconds", 4.21},
                                 {"tokens_per_second", 164e3},
                                 {"heldout_loss", 2.1273}}));
}

TEST(ClassifierJson, EveryFieldIsItsOwn) {
  ClassifierMeasurement m;
  m.name = "a", m.scheme = "int4";
  m.parameters = 1, m.file_bytes = 2, m.memory_bytes = 3;
  m.compression_ratio = 4.5, m.accuracy = 0.5, m.prediction_agreement = 0.25, m.output_mse = 6.5;
  m.latency.seconds = {1, 1, 1, 1, 1, 1}, m.base_latency.seconds = {3, 3, 3, 3, 3, 3};
  m.waited_share = 0.75;
  const json all = json::parse(classifiers_json({m}));
  const json& j = all["models"][0];
  const std::pair<const char*, json> fields[] = {
      {"name", "a"},       {"scheme", "int4"},
      {"parameters", 1},   {"file_bytes", 2},
      {"memory_bytes", 3}, {"compression_ratio", 4.5},
      {"accuracy", 0.5},   {"prediction_agreement", 0.25},
      {"output_mse", 6.5}, {"waited_share", 0.75}};
  for (const auto& [key, value] : fields) EXPECT_EQ(j.at(key), value) << key;
  EXPECT_EQ(j["speedup"]["median"], 3);
  EXPECT_EQ(j["latency"]["median_seconds"], 1);
}

TEST(CompareJson, HasRatiosToTheFirstAndAVerdictForEach) {
  CompareResult r;
  r.measured_on = "windows of 16", r.prompt = "Once", r.run.machine = "m", r.run.date = "d",
  r.run.version = "v";
  r.models = {all_different(), all_different()};
  r.models[0].file_bytes = 8, r.models[0].base_latency = {};
  r.models[0].throughput.base_prefill = r.models[0].throughput.base_decode = {};
  r.models[1].loss_difference = 0.02, r.models[1].loss_difference_standard_error = 0.001;
  const json j = json::parse(compare_json(r));
  EXPECT_EQ(j["schema_version"], kReportSchemaVersion);
  EXPECT_EQ(j["measured_on"], "windows of 16");
  EXPECT_EQ(j["own_text"], false);
  EXPECT_EQ(j["prompt"], "Once");
  EXPECT_EQ(j["busy"], true) << "12.5 % of the time without a processor";
  const json &base = j["models"][0], &model = j["models"][1];
  for (const char* key : {"file_ratio", "prefill_ratio", "decode_ratio", "latency_ratio"})
    EXPECT_EQ(base[key], 1) << key;
  EXPECT_EQ(base["verdict"], "baseline");
  EXPECT_EQ(base["speed_verdict"], "baseline");
  EXPECT_EQ(model["file_ratio"], 0.25);
  EXPECT_EQ(model["prefill_ratio"], 0.5);
  EXPECT_EQ(model["decode_ratio"], 3);
  EXPECT_EQ(model["latency_ratio"], 0.25) << "four times as fast";
  EXPECT_EQ(model["verdict"], "+2.0% perplexity, significant");
  EXPECT_EQ(model["speed_verdict"], "4.00x as fast (4.00x to 4.00x)");
}

TEST(CompareJson, HasNoRatioOfWhatWasNotTimed) {
  CompareResult r;
  r.models = std::vector<Measurement>(2);
  const json j = json::parse(compare_json(r));
  for (const json& m : j["models"]) {
    for (const char* key : {"file_ratio", "prefill_ratio", "decode_ratio", "latency_ratio"})
      EXPECT_TRUE(m[key].is_null()) << key;
  }
  EXPECT_EQ(j["models"][1]["verdict"], "loss not measured");
}

}  // namespace
}  // namespace nibble
