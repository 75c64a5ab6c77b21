// A model that is quantized already, quantized again.
#include <gtest/gtest.h>

#include <algorithm>

#include "nibble/compress/quantize.h"
#include "nibble/model/plain_model.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

class QuantizedSource : public testing::Test {
 protected:
  QuantizedSource() { write(original_, folder_ / "in"); }

  static void write(const Model& model, const std::string& path) {
    std::vector<WritableParameter> parameters;
    for (const ParamSpec& p : parameter_table(model.config))
      parameters.push_back({p, std::nullopt, DType::f32, [&, p] { return load_weight(model, p); }});
    std::filesystem::create_directories(path);
    const CharTokenizer tokenizer = CharTokenizer::from_text(kTinyText, true);
    write_model(path, model.config, parameters, &tokenizer);
  }
  static QuantizeOptions with(const std::string& scheme, std::vector<std::string> also = {}) {
    QuantizeOptions out;
    out.scheme = parse_scheme(scheme);
    out.also = std::move(also);
    return out;
  }
  // The file or folder `name` made of `from`.
  std::string make(const std::string& from, const std::string& name, const QuantizeOptions& o) {
    result_ = quantize_model(from, folder_ / name, o, {}, {&text_});
    return folder_ / name;
  }
  bool warned(const std::string& words) const {
    return std::any_of(result_.warnings.begin(), result_.warnings.end(),
                       [&](const std::string& w) { return w.find(words) != std::string::npos; });
  }
  static Weight weight(const std::string& path, const std::string& name) {
    return open_model(path).weights->get(name);
  }

  const test::TempFolder folder_;
  const Model original_ = tiny_decoder(blocky_decoder_config(2), 5);
  CalibrationText text_ = some_text();
  QuantizeResult result_;

 private:
  static CalibrationText some_text() {
    CalibrationText out;
    PyRandom random(9);
    for (int s = 0; s < 16; ++s) {
      out.samples.emplace_back();
      for (int i = 0; i < 32; ++i)
        out.samples.back().push_back(static_cast<int32_t>(random.below(50)));
    }
    return out;
  }
};

const std::string kSourceHead = "lm_head.weight", kSourceTable = "model.embed_tokens.weight",
                  kSourceDown = "model.layers.1.mlp.down_proj.weight";

TEST_F(QuantizedSource, IsReadAsTheFloatsThatItStandsFor) {
  const Model packed = open_model(make(folder_ / "in", "four", with("int4:g32")));
  const Model plain = plain_model(packed);
  EXPECT_FALSE(is_quantized(plain));
  ASSERT_EQ(plain.warnings.size(), 1u);
  EXPECT_NE(plain.warnings[0].find("14 matrices in int4:g32"), std::string::npos);
  for (const ParamSpec& p : parameter_table(packed.config))
    EXPECT_EQ(plain.weights->get(p.name).values(), packed.weights->get(p.name).values()) << p.name;
  EXPECT_TRUE(plain_model(original_).warnings.empty());
  EXPECT_EQ(plain_model(original_).weights, original_.weights);
}

// The same bytes as of a folder that holds those floats.
TEST_F(QuantizedSource, GivesWhatItsFloatsWouldGive) {
  const std::string four = make(folder_ / "in", "four", with("int4:g32"));
  write(plain_model(open_model(four)), folder_ / "floats");
  const std::string once = make(folder_ / "floats", "a", with("int3:g64"));
  EXPECT_FALSE(warned("quantized already"));
  const std::string again = make(four, "b", with("int3:g64"));
  EXPECT_TRUE(warned("this model is quantized already, 14 matrices in int4:g32"));
  EXPECT_EQ(weight(again, kSourceDown).values(), weight(once, kSourceDown).values());
}

TEST_F(QuantizedSource, LeavesWithItsCodesWhatNobodyCovers) {
  const std::string first = make(folder_ / "in", "a.gguf", with("q6_k", {"lm_head", "embeddings"}));
  const std::string second = make(first, "b.gguf", with("q3_k"));
  for (const std::string& name : {kSourceHead, kSourceTable}) {
    const Weight before = weight(first, name), after = weight(second, name);
    ASSERT_TRUE(after.is_quantized()) << name;
    EXPECT_EQ(after.stored_as(), "q6_k");
    EXPECT_EQ(after.values(), before.values());
  }
  EXPECT_EQ(weight(second, kSourceDown).stored_as(), "q3_k");
}

TEST_F(QuantizedSource, SaysWhatTheOutputCannotKeep) {
  const std::string first = make(folder_ / "in", "a.gguf", with("q6_k", {"lm_head", "embeddings"}));
  const std::string folder = make(first, "b", with("int4:g32"));
  EXPECT_TRUE(warned("tensor \"lm_head.weight\": q6_k, which it is stored in, cannot be kept"));
  EXPECT_EQ(weight(folder, kSourceHead).stored_as(), "f16");
  const std::string eight = make(folder_ / "in", "c", with("int8", {"lm_head"}));
  const std::string four = make(eight, "d", with("int4:g32"));
  EXPECT_EQ(weight(four, kSourceHead).stored_as(), "int8");
  EXPECT_EQ(weight(four, kSourceHead).values(), weight(eight, kSourceHead).values());
  QuantizeOptions kept = with("int4:g32");
  kept.keep = {parse_keep_rule("lm_head=f32")};
  EXPECT_EQ(weight(make(eight, "e", kept), kSourceHead).stored_as(), "f32");
}

// Scales of any float type stay in folders; GGUF's are halves, and what they are not becomes f16.
TEST_F(QuantizedSource, ScalesThatStayAreTheirOwn) {
  for (const DType dtype : {DType::f16, DType::bf16, DType::f32}) {
    SCOPED_TRACE(to_string(dtype));
    QuantizeOptions first = with("int8", {"lm_head"}), then = with("int4:g32");
    first.scale_dtype = dtype;
    first.force = then.force = true;
    const std::string eight = make(folder_ / "in", "eight", first);
    const std::string folder = make(eight, "four", then);
    EXPECT_EQ(weight(folder, kSourceHead).stored_as(), "int8");
    EXPECT_EQ(weight(folder, kSourceHead).values(), weight(eight, kSourceHead).values());
    then.scheme = parse_scheme("q4_k");
    const std::string file = make(eight, "four.gguf", then);
    const bool halves = dtype != DType::f32;
    EXPECT_EQ(weight(file, kSourceHead).stored_as(), halves ? "int8:g32" : "f16");
    EXPECT_EQ(warned("cannot be kept there"), !halves);
  }
}

// A step that changes weights in front of the rounding leaves the others their codes.
TEST_F(QuantizedSource, KeepsCodesThroughStepsThatDoNotTouchThem) {
  const std::string first = make(folder_ / "in", "a.gguf", with("q6_k", {"lm_head", "embeddings"}));
  QuantizeOptions o = with("q4_k");
  o.method = "awq+gptq";
  const std::string second = make(first, "b.gguf", o);
  EXPECT_EQ(weight(second, kSourceHead).stored_as(), "q6_k");
  EXPECT_EQ(weight(second, kSourceTable).values(), weight(first, kSourceTable).values());
  o.method = "rotate+gptq";
  const std::string turned = make(first, "c.gguf", o);
  EXPECT_EQ(weight(turned, kSourceHead).stored_as(), "f32") << "it is another weight now";
}

TEST_F(QuantizedSource, InMemoryIsExactWhereNothingIsAsked) {
  const Model packed =
      open_model(make(folder_ / "in", "a.gguf", with("q6_k", {"lm_head", "embeddings"})));
  const Model made = quantize_in_memory(packed, with("int4:g32"), {});
  EXPECT_EQ(made.weights->get(kSourceHead).stored_as(), "q6_k");
  EXPECT_EQ(made.weights->get(kSourceTable).values(), packed.weights->get(kSourceTable).values());
}

TEST_F(QuantizedSource, CalibratedMethodsWorkOnIt) {
  const std::string four = make(folder_ / "in", "four", with("int4:g32"));
  QuantizeOptions o = with("q2_k");
  o.method = "gptq";
  EXPECT_EQ(weight(make(four, "two.gguf", o), kSourceDown).stored_as(), "q2_k");
}

}  // namespace
}  // namespace nibble
