// Tensors that a file holds and its architecture has no use for (BAD_INPUTS G16): said, not
// refused.
#include <gtest/gtest.h>

#include "nibble/compress/quantize.h"
#include "nibble/format/safetensors.h"
#include "nibble/model/model.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_model.h"

namespace nibble {
namespace {

class UnusedTensors : public ::testing::Test {
 protected:
  UnusedTensors() : path_(write_tiny_model(files_ / "m")) {}

  // The warnings of the model with these tensors of two values beside its own.
  std::vector<std::string> with(const std::vector<std::string>& names) const {
    const auto stored = open_safetensors_folder(path_);
    std::vector<LazyTensor> tensors;
    for (const TensorInfo& i : stored->list())
      tensors.push_back({i, [&stored, i] { return stored->get(i.name); }});
    for (const std::string& n : names)
      tensors.push_back({{n, DType::f32, Shape{2}}, [] { return Tensor(DType::f32, Shape{2}); }});
    const std::string out = files_ / "out";
    std::filesystem::remove_all(out);
    std::filesystem::create_directory(out);
    for (const char* file : {"/config.json", "/tokenizer.json"})
      std::filesystem::copy_file(path_ + file, out + file);
    write_safetensors_folder(out, tensors);
    return open_model(out).warnings;
  }

  test::TempFolder files_;
  std::string path_;
};

TEST_F(UnusedTensors, AreNamedAndCounted) {
  EXPECT_TRUE(with({}).empty());
  EXPECT_EQ(with({"a"}), std::vector<std::string>{
                             "1 tensor in the file is not used by this architecture: \"a\""});
  const auto many = with({"a", "b\n", "c", "d", "layers.9.attn.wq.weight"});
  ASSERT_EQ(many.size(), 1u);
  EXPECT_EQ(
      many[0],
      "5 tensors in the file are not used by this architecture: \"a\", \"b\\x0a\", \"c\", ...");
}

TEST_F(UnusedTensors, ThatEveryFileCarriesAreSilent) {
  EXPECT_TRUE(
      with({"h.0.attn.bias", "h.0.attn.masked_bias", "l.0.self_attn.rotary_emb.inv_freq"}).empty());
}

TEST_F(UnusedTensors, AreNotThePartsOfQuantizedOnes) {
  QuantizeOptions o;
  o.scheme = parse_scheme("int4:g16:asym");
  quantize_model(path_, files_ / "q", o, Exec{});
  EXPECT_TRUE(open_model(files_ / "q").warnings.empty());
}

}  // namespace
}  // namespace nibble
