// train() of an adapter beside a model that stays as it is.
#include "nibble/jobs/train_lora.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "nibble/compress/quantize.h"
#include "nibble/core/files.h"
#include "nibble/eval/perplexity.h"
#include "nibble/model/adapted_model.h"
#include "nibble/text/line_data.h"
#include "tests/jobs/models.h"
#include "tests/support/adapters.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"

namespace nibble {
namespace {

using test::expect_error;

class TrainLora : public testing::Test {
 protected:
  TrainLora() : base_(test::write_reader(folder_ / "base")) {}

  TrainJob job(const std::string& base, const std::string& out) const {
    TrainJob job;
    job.from = base;
    job.lora.options = "r=4,alpha=8,dropout=0.05";
    job.text = {"text", test::reader_text()};
    job.out = out.empty() ? "" : folder_ / out;
    job.steps = 60;
    job.batch = 4;
    job.samples = 0;
    job.learning_rate = 2e-2;
    return job;
  }
  double loss_of(const std::string& base, const std::string& adapter = "") const {
    Model model = open_model(base);
    if (!adapter.empty()) model = with_adapters(model, {{folder_ / adapter}});
    const auto data = sequences(test::reader_text(), model.require_tokenizer(),
                                model.decoder_config().context, 42);
    return measure_loss(logits_of(load_decoder(model)), all_scored(data.heldout), {}, "").loss;
  }
  std::string quantized(const std::string& scheme) const {
    QuantizeOptions options;
    options.scheme = parse_scheme(scheme);
    for (const ParamSpec& p : parameter_table(open_model(base_).config))
      if (p.layer < 0) options.keep.push_back(parse_keep_rule(p.name));
    quantize_model(base_, folder_ / scheme, options, {});
    return folder_ / scheme;
  }

  const test::TempFolder folder_;
  const std::string base_;
};

TEST_F(TrainLora, WritesAnAdapterWithTheLossThatTrainingSaw) {
  for (const std::string& base : {base_, quantized("nf4"), quantized("int4:g8")}) {
    TrainJob j = job(base, "adapter");
    j.force = true;
    const std::string before = read_file(base + "/model.safetensors");
    const TrainSummary r = train(j, {});
    EXPECT_EQ(r.heldout_loss, loss_of(base, "adapter")) << base;
    EXPECT_NEAR(r.looks.back().loss, r.heldout_loss, 1e-4) << base;
    EXPECT_NEAR(r.looks.front().loss, loss_of(base), 1e-4) << base;
    EXPECT_LT(r.heldout_loss, loss_of(base) - 0.3) << base;
    EXPECT_EQ(before, read_file(base + "/model.safetensors"));
    EXPECT_FALSE(std::filesystem::exists(folder_ / "adapter/model.safetensors"));
    const PeftAdapter adapter = read_peft_adapter(folder_ / "adapter");
    EXPECT_EQ(adapter.config.base, base);
    EXPECT_EQ(adapter.config.rank, 4);
    EXPECT_NE(read_file(folder_ / "adapter/adapter_config.json").find("\"lora_dropout\": 0.05"),
              std::string::npos);
    EXPECT_EQ(adapter.pairs.size(), 6u) << "the matrices of the one layer";
  }
}

TEST_F(TrainLora, AdaptsWhatIsNamed) {
  TrainJob j = job(base_, "some");
  j.lora.options = "r=2,alpha=3,targets=wq+mlp.fc2,rslora";
  j.steps = 2;
  train(j, {});
  const PeftAdapter adapter = read_peft_adapter(folder_ / "some");
  ASSERT_EQ(adapter.pairs.size(), 2u);
  for (const auto& [module, pair] : adapter.pairs) {
    EXPECT_TRUE(module.ends_with("wq") || module.ends_with("mlp.fc2")) << module;
    EXPECT_NEAR(pair.scale, 3 / std::sqrt(2.0), 1e-12);
  }
}

TEST_F(TrainLora, GoesOnWithAnAdapter) {
  train(job(base_, "first"), {});
  TrainJob j = job(base_, "second");
  j.lora = {"dropout=0.1", folder_ / "first", ""};
  const TrainSummary r = train(j, {});
  EXPECT_NEAR(r.looks.front().loss, loss_of(base_, "first"), 1e-4);
  EXPECT_EQ(r.heldout_loss, loss_of(base_, "second"));
  EXPECT_LT(r.heldout_loss, loss_of(base_, "first"));
}

TEST_F(TrainLora, RefusesInOneLine) {
  const auto refuses = [&](const std::string& options, const std::string& what) {
    TrainJob j = job(base_, "");
    j.lora.options = options;
    expect_error(ErrorKind::invalid_argument, what, [&] { train(j, {}); });
  };
  refuses("r=0", "`lora`: r is \"0\"");
  refuses("r", "`lora`: r is missing");
  refuses("r=8x", "`lora`: r is \"8x\"");
  refuses("dropout=1", "`lora`: dropout is \"1\"");
  refuses("alpha=nan", "`lora`: alpha is \"nan\"");
  refuses("rank=8", "`lora`: \"rank=8\" is none of r=8");
  refuses("r=8,", "`lora`: \"\" is none of r=8");
  refuses("targets=wq+nothing", "`lora`: no matrix inside the layers is called \"nothing\"");
  TrainJob j = job(base_, "");
  j.qat.scheme = "int4:g8";
  expect_error(ErrorKind::invalid_argument, "`qat` and `lora`", [&] { train(j, {}); });
  j = job(base_, "");
  j.freeze = {"*"};
  expect_error(ErrorKind::invalid_argument, "`freeze` and `lora`", [&] { train(j, {}); });
  j = job("", "");
  expect_error(ErrorKind::invalid_argument, "`lora` needs a model", [&] { train(j, {}); });
  train(job(base_, "adapter"), {});
  j = job(base_, "");
  j.lora.adapter = folder_ / "adapter";
  expect_error(ErrorKind::invalid_argument, "beside `adapter`", [&] { train(j, {}); });
}

TEST_F(TrainLora, TrainsNoWholeParametersOfAnAdapter) {
  PeftAdapter adapter = test::random_adapter(open_model(base_).config, 3);
  adapter.config.saved = {"lm_head"};
  const Weight head = open_model(base_).weights->get("lm_head.weight");
  adapter.replaced["lm_head.weight"] = {head.plain(), true};
  TrainJob j = job(base_, "");
  j.lora = {"", test::put_adapter(folder_ / "saved", adapter), ""};
  expect_error(ErrorKind::unsupported, "changes whole parameters", [&] { train(j, {}); });
}

TEST_F(TrainLora, BeginsWithWhatQuantizationLost) {
  const std::string packed = quantized("int3:g8");
  TrainJob j = job(packed, "");
  j.steps = 1;
  j.lora.options = "r=8,alpha=4";
  j.lora.loftq = base_;
  const double exact = loss_of(base_), lost = std::abs(loss_of(packed) - exact);
  EXPECT_LT(std::abs(train(j, {}).looks.front().loss - exact), 0.6 * lost);
  j.lora.options = "r=16";
  EXPECT_NEAR(train(j, {}).looks.front().loss, exact, 1e-4) << "all of it, of matrices 16 wide";
  j.lora.options = "r=17";
  expect_error(ErrorKind::invalid_argument, "`loftq`: a rank of 17", [&] { train(j, {}); });
}

// Where one is read, as PEFT would have it, is checked by tests/interop/peft_adapters.py.
TEST(LoraChoice, ReadsItsWords) {
  const LoraChoice all = parse_lora("r=16,alpha=4.5,targets=q_proj+v_proj,dropout=0.05,rslora");
  EXPECT_EQ(all.rank, 16);
  EXPECT_EQ(all.alpha, 4.5);
  EXPECT_EQ(all.dropout, 0.05);
  EXPECT_TRUE(all.rank_stabilized);
  EXPECT_EQ(all.targets, (std::vector<std::string>{"q_proj", "v_proj"}));
  EXPECT_TRUE(parse_lora("targets=all-linear").targets.empty());
  EXPECT_FALSE(parse_lora("dropout=0.1").shaped);
}

}  // namespace
}  // namespace nibble
