// Layouts on disk that differ from the parameter table: GPT-2's Conv1D, names without their
// beginning, a head that should be tied, quantized matrices beside plain ones.
#include <gtest/gtest.h>

#include <filesystem>

#include "nibble/core/float_formats.h"
#include "nibble/core/transpose.h"
#include "nibble/format/safetensors.h"
#include "nibble/model/model.h"
#include "nibble/quant/method.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_model.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;
using test::expect_error;

const std::string kModels = "tests/golden/models/";

std::vector<float> logits_of_stored(const Model& model) {
  const std::vector<int32_t> ids{3, 1, 18, 7, 7, 2, 11};
  const Decoder decoder = load_decoder(model);
  KvCache cache = decoder.make_cache(12);
  return decoder.forward(ids, cache, Decoder::Logits::all, Exec{});
}

// Every parameter of a model, its blocks' matrices in `scheme` where one is given.
std::vector<WritableParameter> parameters(const Model& model, std::optional<QuantScheme> scheme) {
  std::vector<WritableParameter> out;
  for (const ParamSpec& p : parameter_table(model.config)) {
    const bool quantized = scheme && p.layer >= 0 && p.is_matrix();
    out.push_back({p, quantized ? scheme : std::nullopt, quantized ? DType::f16 : DType::f32,
                   [&model, p, quantized, scheme]() -> Weight {
                     Weight w = load_weight(model, p);
                     if (!quantized) return w;
                     return quantize_rtn(w.plain(), *scheme, {}, p.name);
                   }});
  }
  return out;
}

TEST(Transpose, ExchangesRowsAndColumnsOfEveryWidth) {
  for (const DType dtype : {DType::u8, DType::f16, DType::f32, DType::f64}) {
    const int64_t n = 37, k = 70, size = size_of(dtype);
    Tensor t(dtype, Shape{n, k});
    for (size_t i = 0; i < t.bytes(); ++i) t.mutable_raw()[i] = static_cast<std::byte>(i * 7 % 251);
    const Tensor turned = transpose(t);
    ASSERT_EQ(turned.shape(), (Shape{k, n}));
    for (int64_t r = 0; r < n; ++r) {
      for (int64_t c = 0; c < k; ++c) {
        ASSERT_TRUE(std::equal(t.raw() + (r * k + c) * size, t.raw() + (r * k + c + 1) * size,
                               turned.raw() + (c * n + r) * size));
      }
    }
  }
}

class StoredLayout : public testing::TestWithParam<const char*> {};

TEST_P(StoredLayout, PlainFoldersComeBackAsTheyWere) {
  const Model model = open_model(kModels + GetParam());
  const test::TempFolder folder;
  write_model(folder.path(), model.config, parameters(model, std::nullopt), nullptr);
  const Model back = open_model(folder.path());
  EXPECT_EQ(back.decoder_config(), model.decoder_config());
  EXPECT_EQ(logits_of_stored(back), logits_of_stored(model));
  // The same tensors under the same names, in the same bytes.
  const auto before = open_safetensors_folder(kModels + GetParam());
  const auto after = open_safetensors_folder(folder.path());
  EXPECT_EQ(after->list().size(), before->list().size());
  for (const TensorInfo& info : before->list()) {
    const Tensor a = before->get(info.name), b = after->get(info.name);
    ASSERT_EQ(a.shape(), b.shape()) << info.name;
    ASSERT_TRUE(std::equal(a.raw(), a.raw() + a.bytes(), b.raw())) << info.name;
  }
}

TEST_P(StoredLayout, QuantizedFoldersComeBack) {
  const Model model = open_model(kModels + GetParam());
  for (const char* scheme : {"int8", "int8:a8", "int4:g8:asym"}) {
    const test::TempFolder folder;
    const auto all = parameters(model, parse_scheme(scheme));
    write_model(folder.path(), model.config, all, nullptr);
    const Model back = open_model(folder.path());
    EXPECT_EQ(back.decoder_config(), model.decoder_config());
    // The same weights, never written.
    const Decoder direct(model.decoder_config(), [&](const ParamSpec& p) {
      return std::find_if(all.begin(), all.end(),
                          [&](const auto& w) { return w.spec.name == p.name; })
          ->make();
    });
    const std::vector<int32_t> ids{3, 1, 18, 7, 7, 2, 11};
    KvCache cache = direct.make_cache(12);
    EXPECT_EQ(logits_of_stored(back), direct.forward(ids, cache, Decoder::Logits::all, Exec{}))
        << scheme;
    EXPECT_NE(logits_of_stored(back), logits_of_stored(model)) << scheme;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, StoredLayout,
                         testing::Values("gpt2", "gpt2-bare", "llama", "opt-bare", "qwen3"),
                         [](const auto& param) {
                           std::string name = param.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// A copy of a committed model whose tensors `change` may edit.
class Changed {
 public:
  template <class F>
  Changed(const std::string& name, F change) {
    const auto source = open_safetensors_folder(kModels + name);
    TensorMap tensors;
    for (const TensorInfo& info : source->list())
      tensors.emplace(info.name, source->get(info.name));
    change(tensors);
    std::vector<NamedTensor> list;
    for (const auto& [tensor, value] : tensors) list.push_back({tensor, value});
    write_safetensors(folder_ / "model.safetensors", list);
    fs::copy_file(kModels + name + "/config.json", folder_ / "config.json");
  }
  const std::string& path() const { return folder_.path(); }

 private:
  test::TempFolder folder_;
};

TEST(TiedHead, MayStandInTheFileWhereItIsTheSame) {
  const Changed same(
      "gpt2", [](TensorMap& t) { t.emplace("lm_head.weight", t.at("transformer.wte.weight")); });
  EXPECT_EQ(logits_of_stored(open_model(same.path())),
            logits_of_stored(open_model(kModels + "gpt2")));
  const Changed other("gpt2", [](TensorMap& t) {
    Tensor head = t.at("transformer.wte.weight").clone();
    head.mutable_data<float>().back() += 1;
    t.emplace("lm_head.weight", head);
  });
  expect_error(ErrorKind::corrupt, "lm_head.weight", [&] { open_model(other.path()); });
}

TEST(StoredNames, BuffersAreIgnored) {
  const Changed folder("gpt2", [](TensorMap& t) {
    t.emplace("transformer.h.0.attn.bias", Tensor(DType::u8, Shape{1, 1, 64, 64}));
    t.emplace("transformer.h.0.attn.masked_bias", Tensor(DType::f32, Shape{}));
  });
  EXPECT_EQ(logits_of_stored(open_model(folder.path())),
            logits_of_stored(open_model(kModels + "gpt2")));
}

TEST(StoredNames, MissingAndMisshapenAreNamedAsStored) {
  const std::string name = "transformer.h.1.attn.c_attn.weight";
  const Changed missing("gpt2", [&](TensorMap& t) { t.erase(name); });
  expect_error(ErrorKind::corrupt, name, [&] { open_model(missing.path()); });
  const Changed turned("gpt2", [&](TensorMap& t) { t.at(name) = transpose(t.at(name)); });
  expect_error(ErrorKind::corrupt, "expected shape [16, 48]", [&] { open_model(turned.path()); });
  expect_error(ErrorKind::corrupt, "found [48, 16]", [&] { open_model(turned.path()); });
}

TEST(OpenModel, TakesASafetensorsFileInItsFolder) {
  const Model model = open_model(kModels + "llama/model.safetensors");
  EXPECT_EQ(logits_of_stored(model), logits_of_stored(open_model(kModels + "llama")));
  EXPECT_EQ(model.path, kModels + "llama");
}

TEST(OpenModel, RefusesOtherFilesWithAWord) {
  const test::TempFolder folder;
  test::put_file(folder / "model.pt", std::string("PK\x03\x04") + std::string(100, 'x'));
  expect_error(ErrorKind::unsupported, "convert it to safetensors",
               [&] { open_model(folder / "model.pt"); });
  test::put_file(folder / "pytorch_model.bin", std::string("PK\x03\x04") + std::string(100, 'x'));
  expect_error(ErrorKind::unsupported, "convert it to safetensors",
               [&] { open_model(folder / "pytorch_model.bin"); });
  test::put_file(folder / "notes.txt", "hello");
  expect_error(ErrorKind::unsupported, "model folder", [&] { open_model(folder / "notes.txt"); });
}

}  // namespace
}  // namespace nibble
