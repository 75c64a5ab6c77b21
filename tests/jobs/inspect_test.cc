// What inspect() says a model holds, against the model itself.
#include "nibble/jobs/inspect.h"

#include <gtest/gtest.h>

#include <cmath>

#include "nibble/compress/quantize.h"
#include "nibble/report/inspect_report.h"
#include "tests/jobs/models.h"
#include "tests/support/expect_error.h"
#include "tests/support/gguf_blocks.h"
#include "tests/support/gguf_model.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

using test::expect_error;

TEST(InspectJob, ListsEveryTensor) {
  const test::TempFolder folder;
  const std::string path = write_tiny_model(folder / "a");
  const InspectResult r = inspect(path, {});
  const Model model = open_model(path);
  EXPECT_EQ(r.parameters, parameter_count(model.decoder_config()));
  EXPECT_EQ(r.tensors.size(), parameter_table(model.config).size());
  EXPECT_EQ(r.parameters_by_scheme, (std::map<std::string, int64_t>{{"f32", r.parameters}}));
  EXPECT_EQ(r.bits_per_weight, 32);
  int64_t bytes = 0;
  for (const TensorRow& t : r.tensors) bytes += t.bytes;
  EXPECT_EQ(bytes, 4 * r.parameters);
  ASSERT_TRUE(r.memory);
  EXPECT_EQ(r.memory->weights, static_cast<int64_t>(load_decoder(model).memory_bytes()));
  EXPECT_EQ(r.memory->chunk, model.decoder_config().context);
  EXPECT_EQ(r.memory->kv_per_token[2].first, "int8");
}

TEST(InspectJob, TellsSchemesAndKernelsApart) {
  const test::TempFolder folder;
  QuantizeOptions options;
  options.scheme = parse_scheme("int8");
  options.keep = {{"wte.*", {}}};
  quantize_model(write_tiny_model(folder / "a"), folder / "q", options, {});
  const InspectResult r = inspect(folder / "q", {});
  EXPECT_EQ(r.parameters_by_scheme.size(), 2u);
  EXPECT_LT(r.bits_per_weight, 32);
  for (const TensorRow& t : r.tensors)
    EXPECT_EQ(t.scheme, t.name == "wte.weight" ? "f32" : "int8") << t.name;
}

TEST(InspectJob, SaysWhatAGgufFileCallsItsTypes) {
  const test::TempFolder folder;
  DecoderConfig c = tiny_decoder_config("llama");
  c.hidden_size = c.intermediate_size = 256;
  c.head_dim = 64;
  PyRandom random(5);
  const auto encode = [&](const ParamSpec& p) {
    if (!p.is_matrix())
      return std::pair(
          0u, test::bytes_of_all(std::vector<float>(static_cast<size_t>(p.shape.elements()), 1)));
    const char* type = p.role == Role::down ? "IQ2_XS" : "Q2_0";
    for (const test::GgufBlockRow& row : test::gguf_block_rows()) {
      if (row.type == type)
        return std::pair(find_gguf_type(type)->id,
                         test::random_gguf_blocks(row, p.shape.elements(), random));
    }
    return std::pair(0u, std::string());
  };
  test::put_file(folder / "model.gguf", test::GgufOfModel(c, encode).file().bytes());
  const InspectResult r = inspect(folder / "model.gguf", {});
  std::map<std::string, std::string> types;
  for (const TensorRow& t : r.tensors) types[t.scheme] += types[t.scheme].empty() ? t.type : "";
  EXPECT_EQ(types, (std::map<std::string, std::string>{
                       {"f32", "F32"}, {"int2:g64", "Q2_0"}, {"iq2_xs", "IQ2_XS"}}));
  EXPECT_NE(render_terminal(r).find(" Q2_0         int2:g64 "), std::string::npos);
  EXPECT_NE(inspect_json(r).find(R"("type": "Q2_0")"), std::string::npos);
}

TEST(InspectJob, HasNoMemoryPlanOfAClassifier) {
  const test::TempFolder folder;
  const InspectResult r = inspect(test::write_classifier(folder / "mlp"), {});
  EXPECT_EQ(r.model_type, "mlp");
  EXPECT_FALSE(r.memory);
  EXPECT_EQ(r.parameters, 784 * 8 + 8 + 8 * 10 + 10);
}

TEST(InspectJob, LooksAtOneTensor) {
  const test::TempFolder folder;
  const std::string path = write_tiny_model(folder / "a");
  const OutlierStats s = inspect_tensor(path, "wte.weight", 2);
  const Model model = open_model(path);
  const auto values = model.weights->get("wte.weight").plain();
  EXPECT_EQ(s.moments.count, values.elements());
  EXPECT_EQ(s.moments.absmax, moments(values.data<float>()).absmax);
  EXPECT_GT(s.outliers, 0) << "beyond two deviations of a normal distribution lie 4.6 %";
  expect_error(ErrorKind::not_found, "nothing", [&] { inspect_tensor(path, "nothing", 6); });
}

TEST(InspectJob, RunsTheModelForItsActivations) {
  const test::TempFolder folder;
  ActivationJob job;
  job.model = write_tiny_model(folder / "a");
  job.text.samples = 8;
  std::vector<std::string> told;
  const ActivationStudy s = inspect_activations(job, {}, [&](const Notice& n) { told = n.lines; });
  EXPECT_EQ(told, std::vector<std::string>{std::string(kGeneratedText)});
  EXPECT_FALSE(s.inputs.empty());
  job.model = test::write_classifier(folder / "mlp");
  expect_error(ErrorKind::unsupported, "MLP", [&] { inspect_activations(job, {}); });
}

}  // namespace
}  // namespace nibble
