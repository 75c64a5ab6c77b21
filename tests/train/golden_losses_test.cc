// The first losses of training against PyTorch's (golden/make_losses.py): same weights, same data.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "nibble/core/files.h"
#include "nibble/core/json.h"
#include "nibble/model/model.h"
#include "nibble/train/adam_schedule.h"
#include "nibble/train/decoder_step.h"
#include "nibble/train/lora_parts.h"
#include "nibble/train/whole_decoder.h"
#include "tests/support/shared.h"

namespace nibble {
namespace {

const std::string kGoldenLosses = "tests/train/golden/losses.json";

JsonFields golden_losses() { return JsonFields::parse(read_file(kGoldenLosses)); }

std::vector<double> numbers_at(const JsonFields& golden, const std::string& path) {
  std::vector<double> out;
  for (int i = 0; golden.contains(path + "." + std::to_string(i)); ++i)
    out.push_back(golden.number(path + "." + std::to_string(i)));
  return out;
}

// The windows of all steps, as the rule has them.
std::vector<Batch> batches_of(const Model& model, const JsonFields& golden) {
  const std::string text = read_file("../shared/data/" + golden.string("text"));
  const auto ids = model.require_tokenizer().encode(
      text.substr(0, static_cast<size_t>(golden.integer("characters"))), false);
  const auto window = static_cast<size_t>(golden.integer("window_ids"));
  std::vector<Batch> out(static_cast<size_t>(golden.integer("steps")));
  size_t at = 0;
  for (Batch& batch : out) {
    for (int64_t w = 0; w < golden.integer("windows"); ++w, at += window)
      batch.append(std::span(ids).subspan(at, window));
  }
  return out;
}

// As the rule has them: PEFT's names, A by a formula, B 0.
LoraOptions golden_adapter(const Model& model, const JsonFields& golden) {
  LoraOptions out;
  for (const std::string& module : golden.strings("runs.llama_lora.modules")) {
    const auto table = parameter_table(model.decoder_config());
    const auto p = std::find_if(table.begin(), table.end(), [&](const ParamSpec& spec) {
      return spec.name == module + ".weight";
    });
    LoraModule m{*p, module, 8, 2.0};
    const int64_t k = p->shape[1];
    m.a = Tensor(DType::f32, {8, k});
    m.b = Tensor(DType::f32, {p->shape[0], 8});
    for (int64_t i = 0; i < 8 * k; ++i)
      m.a.mutable_data<float>()[static_cast<size_t>(i)] = static_cast<float>(
          std::sin(1.0 + static_cast<double>(i)) / std::sqrt(static_cast<double>(k)));
    out.modules.push_back(std::move(m));
  }
  return out;
}

class GoldenLosses : public testing::Test {
 protected:
  void check(const std::string& run, StepOptions options, double student = 1, double decay = 0.1) {
    const JsonFields golden = golden_losses();
    const std::string path = "../shared/data/" + golden.string("runs." + run + ".model");
    if (test::lacks_shared(path)) GTEST_SKIP() << path;
    const Model model = open_model(path);
    const WeightLoader load = [&](const ParamSpec& p) { return load_weight(model, p); };
    const ParamLayout layout = make_layout(model.decoder_config());
    if (run == "gpt2_distill")
      options.teacher = std::make_shared<Teacher>(layout.config, load, best_train_ops());
    const auto begin = [&](const FlatLayout& places, float* trained) {
      load_weights(places, load, trained);
      for (size_t i = 0; i < places.table.size(); ++i) {
        const ParamSpec& p = places.table[i];
        if (p.layer < 0 || !is_weight(p)) continue;
        float* const w = trained + places.offsets[i];
        for (int64_t j = 0; j < p.shape.elements(); ++j) w[j] *= static_cast<float>(student);
      }
    };
    std::unique_ptr<TrainedParts> parts;
    if (run == "llama_lora")
      parts = std::make_unique<LoraParts>(layout, best_train_ops(), load,
                                          golden_adapter(model, golden));
    else
      parts = std::make_unique<WholeDecoder>(layout, best_train_ops(), begin);
    DecoderStep decoder(layout.config, layout.plans, best_train_ops(), std::move(parts), options);
    decoder.parts->begin(decoder.runner.weights.data());
    const AdamOptions adam{.learning_rate = 1e-3,
                           .beta1 = 0.9,
                           .beta2 = 0.95,
                           .weight_decay = decay,
                           .warmup_steps = 5,
                           .schedule = Schedule::constant};
    const std::vector<double> expected = numbers_at(golden, "runs." + run + ".loss");
    const std::vector<Batch> batches = batches_of(model, golden);
    ASSERT_EQ(expected.size(), batches.size());
    double worst = 0;
    for (size_t s = 0; s < batches.size(); ++s) {
      const auto step = static_cast<int64_t>(s);
      const double loss = decoder.step(batches[s], adam_of_step(adam, step, 1000), 1.0, 2);
      EXPECT_NEAR(loss, expected[s], 1e-4) << run << ", step " << s;
      worst = std::max(worst, std::abs(loss - expected[s]));
    }
    RecordProperty("worst_" + run, std::to_string(worst));
    std::printf("%s: worst difference %.2e\n", run.c_str(), worst);
  }
};

TEST_F(GoldenLosses, Gpt2) { check("gpt2", {}); }
TEST_F(GoldenLosses, Llama) { check("llama", {}); }
TEST_F(GoldenLosses, Mixtral) { check("mixtral", {}); }
// transformers takes the balance of the whole batch.
TEST_F(GoldenLosses, MixtralWithABalanceLoss) {
  check("mixtral_balanced", {.chunks = 1, .expert_balance = 0.02});
}
TEST_F(GoldenLosses, Distilled) { check("gpt2_distill", {}, 0.9); }
TEST_F(GoldenLosses, LlamaWithAnAdapter) { check("llama_lora", {}, 1, 0); }

}  // namespace
}  // namespace nibble
