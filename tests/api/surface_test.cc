// The public surface beside what stands behind it: the same numbers, the same bytes, the same
// words.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <thread>

#include "nibble/api/array.h"
#include "nibble/api/evaluate.h"
#include "nibble/api/model.h"
#include "nibble/api/quantize.h"
#include "nibble/core/mapped_file.h"
#include "nibble/jobs/eval.h"
#include "nibble/jobs/generate.h"
#include "nibble/jobs/quantize.h"
#include "nibble/quant/rtn.h"
#include "nibble/report/generate_report.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_model.h"

namespace nibble::api {
namespace {

template <class F>
void expect_public(ErrorKind kind, std::string_view words, F&& f) {
  try {
    std::forward<F>(f)();
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), kind) << e.what();
    EXPECT_NE(std::string_view(e.what()).find(words), std::string_view::npos) << e.what();
  }
}

class Surface : public ::testing::Test {
 protected:
  std::string path() { return path_; }
  const test::TempFolder folder_;
  const std::string path_ = write_tiny_model(folder_ / "model");
};

TEST_F(Surface, OpensAModelAndSaysWhatItIs) {
  const Model model = Model::open(path());
  const nibble::Model inner = open_model(path());
  EXPECT_EQ(model.vocabulary(), inner.decoder_config().vocab_size);
  EXPECT_EQ(model.context(), inner.decoder_config().context);
  EXPECT_EQ(model.parameters(), parameter_count(inner.decoder_config()));
  EXPECT_EQ(model.scheme(), "f32");
  EXPECT_EQ(Model::open(path(), {.scheme = "int8:a8"}).scheme(), "int8:a8");
  const std::vector<int32_t> ids = model.encode("an");
  EXPECT_EQ(ids, inner.require_tokenizer().encode("an", true));
  EXPECT_EQ(model.decode(ids, true), inner.require_tokenizer().decode(ids, true));
}

TEST_F(Surface, LogitsAreTheDecodersForSeveralThreadsAtOnce) {
  const Model model = Model::open(path());
  const nibble::Model inner = open_model(path());
  const std::vector<int32_t> ids = inner.require_tokenizer().encode("ana", true);
  const Decoder decoder = load_decoder(inner);
  KvCache cache = decoder.make_cache(std::ssize(ids));
  const auto expected = decoder.forward(ids, cache, Decoder::Logits::all, {});
  std::vector<Floats> found(4);
  std::vector<std::thread> threads;
  for (Floats& f : found) threads.emplace_back([&] { f = model.logits(ids); });
  for (std::thread& t : threads) t.join();
  for (const Floats& f : found) {
    EXPECT_EQ(f.values, expected);
    EXPECT_EQ(f.shape, (std::vector<int64_t>{std::ssize(ids), model.vocabulary()}));
  }
}

TEST_F(Surface, WeightsAreWhatTheyStandFor) {
  const Model model = Model::open(path(), {.scheme = "int4:g16"});
  const nibble::Model inner = open_model(path());
  bool quantized = false;
  for (const WeightInfo& w : model.weights()) {
    const Floats floats = model.weight(w.name);
    EXPECT_EQ(floats.shape, w.shape);
    quantized |= w.stored_as.starts_with("int");
  }
  EXPECT_TRUE(quantized);
  const auto table = parameter_table(inner.config);
  const Weight first = load_weight(inner, table.front());
  EXPECT_EQ(Model::open(path()).weight(table.front().name).values, first.values());
}

TEST_F(Surface, WritesWhatTheJobWrites) {
  GenerateOptions options;
  options.prompts = {"an", "b"};
  options.samples = 2;
  options.top_k = 3;
  options.max_new_tokens = 5;
  GenerateJob job;
  job.model.model = path();
  job.prompts = options.prompts;
  job.samples = 2;
  job.sampling.top_k = 3;
  job.given = {"top_k"};
  job.max_new_tokens = 5;
  const GenerateResult expected = nibble::generate(job, {});
  const Model model = Model::open(path());
  std::string shown;
  for (int twice = 0; twice < 2; ++twice) {
    shown.clear();
    const Generated made =
        model.generate(options, {}, [&](std::string_view piece) { shown += piece; });
    ASSERT_EQ(made.texts.size(), expected.texts.size());
    std::string all;
    for (size_t i = 0; i < made.texts.size(); ++i) {
      EXPECT_EQ(made.texts[i].ids, expected.texts[i].ids);
      EXPECT_EQ(made.texts[i].text, expected.texts[i].text);
      all += made.texts[i].text + "\n";
    }
    EXPECT_EQ(shown, all);
  }
}

TEST_F(Surface, QuantizesToTheBytesOfTheJob) {
  const Quantized made = quantize(path(), folder_ / "a", {.scheme = "int4:g16", .method = "gptq"});
  nibble::QuantizeOptions options;
  options.scheme = parse_scheme("int4:g16");
  options.method = "gptq";
  const nibble::QuantizeResult expected =
      nibble::quantize({path(), folder_ / "b", options, {}}, {});
  EXPECT_EQ(read_file(folder_ / "a/model.safetensors", 1 << 30),
            read_file(folder_ / "b/model.safetensors", 1 << 30));
  EXPECT_EQ(made.bits_per_weight, expected.bits_per_weight);
  EXPECT_EQ(made.written, std::vector<std::string>{folder_ / "a"});
  EXPECT_NE(made.json.find("\"schema_version\""), std::string::npos);
}

TEST_F(Surface, MeasuresWhatTheJobMeasures) {
  const std::string file = folder_ / "text";
  test::put_file(file, kTinyText);
  EvaluateOptions options{.in = {.scheme = "int4:g16"}, .text = {.text = file}, .against = path()};
  const Evaluated e = evaluate(path(), options);
  EvalJob job;
  job.model = {path(), {"int4:g16", {}, {}}, ""};
  job.against = path();
  job.text = Text{file, kTinyText};
  const EvalResult expected = nibble::evaluate(job, {});
  EXPECT_EQ(e.loss, expected.loss.loss);
  EXPECT_EQ(e.tokens, expected.loss.tokens);
  EXPECT_EQ(e.kl_mean, expected.comparison->divergence.kl_mean);
  EXPECT_FALSE(evaluate(path(), {.text = options.text}).kl_mean.has_value());
}

TEST_F(Surface, AStopLeavesNothingBehind) {
  Control control;
  const Stop other = control.stop;  // asks the same calls
  control.progress = [stop = other](const Progress&) mutable { stop.request(); };
  expect_public(ErrorKind::cancelled, "", [&] {
    quantize(path(), folder_ / "out", {.scheme = "int4:g16", .method = "gptq"}, control);
  });
  EXPECT_TRUE(other.requested());
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path()))
    EXPECT_EQ(entry.path().filename(), "model");
}

TEST_F(Surface, ErrorsHaveKindFileAndWords) {
  const std::string none = folder_ / "none";
  try {
    Model::open(none);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::not_found);
    EXPECT_NE(std::string(e.what()).find(none), std::string::npos) << e.what();
    EXPECT_EQ(to_string(e.kind()), "not_found");
  }
  const Model model = Model::open(path());
  const auto wrong = ErrorKind::invalid_argument;
  expect_public(wrong, "scheme", [&] { Model::open(path(), {.scheme = "int99"}); });
  expect_public(wrong, "no ids", [&] { model.logits({}); });
  const std::vector<int32_t> outside = {static_cast<int32_t>(model.vocabulary())};
  expect_public(wrong, "", [&] { model.logits(outside); });
  const std::vector<int32_t> long_text(static_cast<size_t>(model.context() + 1), 0);
  expect_public(wrong, "", [&] { model.logits(long_text); });
  expect_public(ErrorKind::not_found, "no weight", [&] { model.weight("a"); });
  expect_public(wrong, "`samples`", [&] { model.generate({.samples = 0}); });
  expect_public(wrong, "temperature", [&] { model.generate({.temperature = -1}); });
  expect_public(wrong, "`chat`", [&] { model.generate({.system = "a"}); });
  expect_public(wrong, "", [&] { quantize(path(), path(), {.force = true}); });
  expect_public(wrong, "budget", [&] { choose_bits(path(), folder_ / "b", {}); });
}

TEST_F(Surface, AnOutputMayNotReplaceTheCalibrationText) {
  const std::string text = folder_ / "text";
  test::put_file(text, "some text");
  expect_public(ErrorKind::invalid_argument, "", [&] {
    quantize(path(), text, {.method = "gptq", .calibration_text = text, .force = true});
  });
  EXPECT_EQ(read_file(text, 100), "some text");
}

std::vector<float> some_matrix(int64_t count) {
  PyRandom random(3);
  std::vector<float> out(static_cast<size_t>(count));
  for (float& v : out) v = static_cast<float>(random.gauss(0, 1));
  return out;
}

TEST(QuantizeArray, IsRoundToNearestWithoutAHessian) {
  const std::vector<float> w = some_matrix(6 * 32);
  for (const char* scheme : {"int8", "int4:g16", "int4:g16:asym", "nf4:g16", "affine4:g32"}) {
    SCOPED_TRACE(scheme);
    const QuantizedArray a = quantize_array(w, 6, 32, scheme);
    const QuantizedTensor q =
        quantize_rtn(Tensor::from<float>({6, 32}, w), parse_scheme(scheme), {}, "w");
    const Tensor values = dequantize(q);
    EXPECT_TRUE(std::ranges::equal(a.values, values.data<float>()));
    EXPECT_EQ(a.codes.size(), w.size());
    EXPECT_EQ(a.zeros.has_value(), q.scheme.asymmetric);
    EXPECT_FALSE(a.error);
  }
  const QuantizedArray a = quantize_array(w, 6, 32, "int4:g16");
  for (size_t i = 0; i < w.size(); ++i)
    EXPECT_EQ(a.values[i], (static_cast<float>(a.codes[i]) - 8) * a.scales[i / 16]);
}

TEST(QuantizeArray, AHessianLowersTheErrorThatItMeasures) {
  const int64_t n = 8, k = 32, m = 200;
  const std::vector<float> w = some_matrix(n * k), x = some_matrix(m * k);
  std::vector<float> h(static_cast<size_t>(k * k));
  for (int64_t s = 0; s < m; ++s)
    for (int64_t i = 0; i < k * k; ++i)
      h[static_cast<size_t>(i)] +=
          (x[static_cast<size_t>(s * k + i / k)] + x[static_cast<size_t>(s * k)]) *
          (x[static_cast<size_t>(s * k + i % k)] + x[static_cast<size_t>(s * k)]) / m;
  const auto gptq = quantize_array(w, n, k, "int3:g16", {.hessian = h});
  const auto searched = quantize_array(w, n, k, "int3:g16", {.method = "imatrix", .hessian = h});
  EXPECT_LT(gptq.error.value(), searched.error.value());
  double by_hand = 0;
  for (int64_t r = 0; r < n; ++r)
    for (int64_t i = 0; i < k * k; ++i) {
      const auto off = [&](int64_t c) {
        const auto at = static_cast<size_t>(r * k + c);
        return double{gptq.values[at]} - w[at];
      };
      by_hand += off(i / k) * h[static_cast<size_t>(i)] * off(i % k) / n;
    }
  EXPECT_NEAR(gptq.error.value(), by_hand, 1e-4 * by_hand);
}

TEST(QuantizeArray, RefusesWhatDoesNotFit) {
  std::vector<float> w = some_matrix(8);
  const auto wrong = ErrorKind::invalid_argument;
  expect_public(wrong, "[3, 4]", [&] { quantize_array(w, 3, 4, "int8"); });
  expect_public(wrong, "", [&] { quantize_array(w, -2, -4, "int8"); });
  expect_public(wrong, "scheme", [&] { quantize_array(w, 2, 4, "f16"); });
  expect_public(wrong, "hessian", [&] { quantize_array(w, 2, 4, "int8", {.method = "gptq"}); });
  expect_public(wrong, "gradients", [&] { quantize_array(w, 2, 4, "int8", {.method = "yaqa"}); });
  expect_public(wrong, "[4, 4]", [&] { quantize_array(w, 2, 4, "int8", {.hessian = w}); });
  w[5] = std::numeric_limits<float>::quiet_NaN();
  expect_public(ErrorKind::corrupt, "", [&] { quantize_array(w, 2, 4, "int8"); });
}

}  // namespace
}  // namespace nibble::api
