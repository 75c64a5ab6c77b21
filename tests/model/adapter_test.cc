// Folders that hold a LoRA adapter: alone they are no model, beside one they are said to be unused.
#include "nibble/model/adapter.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "nibble/format/safetensors.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_model.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;
using test::expect_error;

void put_bare_adapter(const std::string& path) {
  write_safetensors(path, {{"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
                            Tensor(DType::f32, Shape{2, 4})}});
}

TEST(Adapter, AloneIsNoModel) {
  const test::TempFolder t;
  const std::string model = write_tiny_model(t / "model");
  fs::remove(model + "/model.safetensors");
  test::put_file(model + "/adapter_config.json", R"({"peft_type": "LORA"})");
  expect_error(ErrorKind::unsupported,
               "adapter_config.json is a LoRA adapter, not a model: merge it",
               [&] { open_model(model); });
  put_bare_adapter(model + "/adapter_model.safetensors");
  test::put_file(model + "/training_args.bin", "x");
  test::put_file(model + "/optimizer.pt", "x");
  expect_error(ErrorKind::unsupported, model + ": adapter_model.safetensors is a LoRA adapter",
               [&] { open_model(model); });
  fs::remove(model + "/config.json");  // as peft writes the folder
  expect_error(ErrorKind::unsupported, "adapter_model.safetensors is a LoRA adapter",
               [&] { open_model(model); });
  expect_error(ErrorKind::unsupported, "is a LoRA adapter",
               [&] { open_model(model + "/adapter_model.safetensors"); });
}

TEST(Adapter, BesideAModelIsSaidToBeUnused) {
  const test::TempFolder t;
  const std::string model = write_tiny_model(t / "model");
  EXPECT_TRUE(open_model(model).warnings.empty());
  put_bare_adapter(model + "/adapter_model.safetensors");
  const Model opened = open_model(model);
  ASSERT_EQ(opened.warnings.size(), 1u);
  EXPECT_EQ(
      opened.warnings[0],
      "adapter_model.safetensors beside the model is a LoRA adapter: it is not applied (`adapter` "
      "does)");
  // Named as the model, it is refused by what is in it.
  expect_error(ErrorKind::unsupported, "is a LoRA adapter",
               [&] { open_model(model + "/adapter_model.safetensors"); });
}

}  // namespace
}  // namespace nibble
