// merge(), and jobs with adapters beside a model: one function, three ways to come to it.
#include "nibble/jobs/merge.h"

#include <gtest/gtest.h>

#include <cstring>

#include "nibble/jobs/compare.h"
#include "nibble/jobs/eval.h"
#include "nibble/jobs/inspect.h"
#include "nibble/jobs/quantize.h"
#include "tests/support/adapters.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"

namespace nibble {
namespace {

using test::expect_error;

class MergeJobs : public testing::Test {
 protected:
  MergeJobs()
      : base_(write_tiny_model(t_ / "base")), adapter_(test::adapter_for(base_, t_ / "a", 1)) {}

  MergeJob job(const std::string& model, std::vector<std::string> adapters) const {
    MergeJob out;
    out.model = model;
    out.out = t_ / "out";
    out.options.adapters = std::move(adapters);
    out.text = Text{"tiny", kTinyText};
    return out;
  }
  double loss(const std::string& model, const std::vector<std::string>& adapters = {},
              const std::string& scheme = "") const {
    EvalJob eval;
    eval.model.model = model;
    eval.model.in.scheme = scheme;
    eval.model.adapters = adapters;
    eval.text = Text{"tiny", kTinyText};
    return evaluate(eval, {}).loss.loss;
  }
  // The base in codes, in a folder of its own.
  std::string quantized(const std::string& scheme) const {
    QuantizeJob quantize_job;
    quantize_job.model = base_;
    quantize_job.out = t_ / "packed";
    quantize_job.options.scheme = parse_scheme(scheme);
    quantize_job.options.keep = {parse_keep_rule("w?e.*"), parse_keep_rule("*mlp*")};
    quantize(quantize_job, {});
    return quantize_job.out;
  }

  test::TempFolder t_;
  std::string base_, adapter_;
};

TEST_F(MergeJobs, AModelAndItsAdaptersBecomeOne) {
  const std::string other = test::adapter_for(base_, t_ / "b", 2);
  const MergeResult r = merge(job(base_, {adapter_ + "=0.5", other}), {});
  const double beside = loss(base_, {adapter_ + "=0.5", other});
  EXPECT_GT(std::abs(beside - loss(base_)), 1e-3);
  EXPECT_NEAR(loss(t_ / "out"), beside, 1e-6 * beside);
  EXPECT_EQ(r.written.changed, 6);  // q, k, v, o, up, down
  EXPECT_EQ(r.written.quantized, 0);
  EXPECT_EQ(r.written.stored.at("f32"), 9);
  ASSERT_EQ(r.models.size(), 2u);
  EXPECT_EQ(r.models[0].loss, beside);
  EXPECT_EQ(r.models[1].loss, loss(t_ / "out"));
  EXPECT_LT(r.models[1].divergence.kl_mean, 1e-9);
  EXPECT_TRUE(open_model(t_ / "out").companions->tokenizer()->vocab_size() > 0);
}

TEST_F(MergeJobs, ToAnotherTypeOfFloats) {
  MergeJob m = job(base_, {adapter_});
  m.options.to = "bf16";
  const MergeResult r = merge(m, {});
  EXPECT_EQ(r.written.stored.at("bf16"), 9);
  EXPECT_EQ(r.models[1].scheme, "bf16");
  EXPECT_GT(r.models[1].divergence.kl_mean, 0);
  EXPECT_LT(r.models[1].divergence.kl_mean, 1e-2);
}

TEST_F(MergeJobs, CodesAreChosenAnewWhereAnAdapterChangesThem) {
  const std::string packed = quantized("int8");
  PeftAdapter only_q = test::random_adapter(open_model(packed).config, 3);
  const std::string q = "layers.0.attn.wq";
  ASSERT_TRUE(only_q.pairs.contains(q));
  std::erase_if(only_q.pairs, [&](const auto& pair) { return pair.first != q; });
  const MergeResult r = merge(job(packed, {test::put_adapter(t_ / "q", only_q)}), {});
  EXPECT_EQ(r.written.changed, 1);
  EXPECT_EQ(r.written.quantized, 1);
  const Model before = open_model(packed), after = open_model(t_ / "out");
  EXPECT_EQ(schemes_of(after), schemes_of(before));
  for (const ParamSpec& p : parameter_table(before.config)) {
    const Weight x = before.weights->get(p.name), y = after.weights->get(p.name);
    ASSERT_EQ(x.is_quantized(), y.is_quantized()) << p.name;
    if (!x.is_quantized()) continue;
    const Tensor &a = x.quantized().codes, &b = y.quantized().codes;
    EXPECT_EQ(std::memcmp(a.raw(), b.raw(), a.bytes()) == 0, module_of(p.name) != q) << p.name;
  }
  // What is written is measured against the codes with the change beside them.
  EXPECT_EQ(r.models[0].loss, loss(packed, {t_ / "q"}));
  EXPECT_EQ(r.models[1].loss, loss(t_ / "out"));
  EXPECT_GT(r.models[1].divergence.kl_mean, 0);
}

TEST_F(MergeJobs, ToASchemeIsWhatQuantizingTheMergedModelGives) {
  MergeJob plain = job(base_, {adapter_});
  plain.options.to = "f32";
  merge(plain, {});
  MergeJob direct = job(base_, {adapter_});
  direct.out = t_ / "direct";
  direct.options.to = "int4:g16";
  const MergeResult r = merge(direct, {});
  EXPECT_GT(r.written.quantized, 0);
  for (const bool from_adapter : {false, true}) {
    QuantizeJob q;
    q.model = from_adapter ? base_ : t_ / "out";
    q.out = t_ / (from_adapter ? "once" : "twice");
    q.options.scheme = parse_scheme("int4:g16");
    if (from_adapter) q.options.adapters = {adapter_};
    quantize(q, {});
    EXPECT_EQ(test::get_file(q.out + "/model.safetensors"),
              test::get_file(t_ / "direct/model.safetensors"));
  }
  EXPECT_NE(test::get_file(t_ / "once/nibble.json").find("\"adapters\""), std::string::npos);
}

TEST_F(MergeJobs, AnAdapterLiesOnWhatASchemeHasMade) {
  const double fine = loss(base_, {adapter_}), coarse = loss(base_, {adapter_}, "int4:g16");
  EXPECT_NE(fine, coarse);
  const std::string packed = quantized("int8");
  EXPECT_EQ(loss(packed, {adapter_ + "=0"}), loss(packed));
  CompareJob compare_job;
  compare_job.models = {base_};
  compare_job.schemes = {"int4:g16"};
  compare_job.adapters = {adapter_};
  compare_job.text = Text{"tiny", kTinyText};
  compare_job.measure.runs = 0;
  compare_job.measure.continuations = 0;
  const CompareResult r = compare(compare_job, {});
  ASSERT_EQ(r.models.size(), 2u);
  EXPECT_EQ(r.models[0].loss, fine);
  EXPECT_EQ(r.models[1].loss, coarse);
  EXPECT_EQ(r.models[1].scheme, "int4:g16");
}

TEST_F(MergeJobs, InspectShowsWhatIsAdded) {
  const InspectResult r = inspect(base_, {}, {}, {adapter_});
  EXPECT_EQ(r.parameters_by_scheme.count("f32 + rank 2"), 1u);
  const InspectResult alone = inspect(base_, {});
  EXPECT_GT(r.file_bytes, alone.file_bytes);
  EXPECT_GT(r.memory->weights, alone.memory->weights);
  const OutlierStats with = inspect_tensor(base_, "layers.0.attn.wq.weight", 6, {}, {adapter_});
  const OutlierStats without = inspect_tensor(base_, "layers.0.attn.wq.weight", 6);
  EXPECT_NE(with.moments.standard_deviation, without.moments.standard_deviation);
  ActivationJob study;
  study.model = base_;
  study.adapters = {adapter_};
  study.text.samples = 32;
  EXPECT_FALSE(inspect_activations(study, {}).inputs.empty());
}

TEST_F(MergeJobs, WhatCannotBeMergedIsSaidBeforeAnythingIsWritten) {
  const size_t before = t_.size();
  expect_error(ErrorKind::invalid_argument, "`adapter` is needed",
               [&] { merge(job(base_, {}), {}); });
  expect_error(ErrorKind::invalid_argument, "behind '=' stands the weight",
               [&] { merge(job(base_, {adapter_ + "=x"}), {}); });
  expect_error(ErrorKind::not_found, "no such file", [&] { merge(job(base_, {t_ / "no"}), {}); });
  MergeJob bad = job(base_, {adapter_});
  bad.options.to = "int9";
  expect_error(ErrorKind::invalid_argument, "int9", [&] { merge(bad, {}); });
  bad.options.to = "q4_k";
  expect_error(ErrorKind::unsupported, "q4_k", [&] { merge(bad, {}); });
  bad = job(base_, {adapter_});
  bad.text->text = "";
  expect_error(ErrorKind::corrupt, "tiny", [&] { merge(bad, {}); });
  bad = job(base_, {adapter_});
  for (const std::string& input : {base_, adapter_}) {
    bad.out = input;
    bad.options.force = true;
    expect_error(ErrorKind::invalid_argument, "", [&] { merge(bad, {}); });
  }
  EXPECT_EQ(t_.size(), before);
  merge(job(base_, {adapter_}), {});
  expect_error(IoCause::cannot_create, "exists already",
               [&] { merge(job(base_, {adapter_}), {}); });
}

}  // namespace
}  // namespace nibble
