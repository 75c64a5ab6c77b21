// Quantizing by an importance matrix from a file instead of a text.
#include "nibble/compress/given_importance.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "nibble/compress/input_walk.h"
#include "nibble/compress/recipe.h"
#include "nibble/compress/unread_options.h"
#include "nibble/core/files.h"
#include "nibble/model/gguf_names.h"
#include "tests/support/expect_error.h"
#include "tests/support/importance_bytes.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

using test::expect_error;
using test::ImportanceRow;

std::vector<float> values(const Model& model, const std::string& name) {
  return model.weights->get(name).values();
}

class ByImportance : public testing::Test {
 protected:
  explicit ByImportance(const std::string& type = "llama") : type_(type) {
    DecoderConfig c = type == "llama" ? blocky_decoder_config(2) : tiny_decoder_config(type);
    if (type == "mixtral") c.hidden_size = c.intermediate_size = 32, c.head_dim = 8;
    original_ = tiny_decoder(c, 5);
    std::vector<WritableParameter> parameters;
    for (const ParamSpec& p : parameter_table(c))
      parameters.push_back(
          {p, std::nullopt, DType::f32, [this, p] { return load_weight(original_, p); }});
    std::filesystem::create_directories(in_);
    const CharTokenizer tokenizer = CharTokenizer::from_text(kTinyText, true);
    write_model(in_, c, parameters, &tokenizer);
    PyRandom random(9);
    for (int s = 0; s < 6; ++s) {
      text_.samples.emplace_back();
      for (int i = 0; i < 64; ++i)
        text_.samples.back().push_back(static_cast<int32_t>(random.below(50)));
    }
  }

  // What llama-imatrix would have of the text, by nibble's own walk: experts one behind the other.
  std::vector<ImportanceRow> rows() const {
    std::map<std::string, ImportanceRow> found;
    walk_inputs(original_, text_, {}, Exec{}, [&](const GroupInput& input) {
      for (const ParamSpec& p : input.reads) {
        ImportanceRow& row = found[gguf_name(p)];
        row.name = gguf_name(p);
        const auto count = static_cast<float>(input.statistics.rows);
        row.counts.push_back(count);
        for (const double m : input.statistics.mean_square)
          row.sums.push_back(static_cast<float>(m * count));
      }
    });
    std::vector<ImportanceRow> out;
    for (auto& [name, row] : found) out.push_back(std::move(row));
    return out;
  }
  QuantizeOptions options(const std::string& scheme, const std::string& bytes) {
    test::put_file(path_, bytes);
    QuantizeOptions o;
    o.scheme = parse_scheme(scheme);
    o.method = "imatrix";
    o.importance_file = path_;
    o.force = true;
    return o;
  }
  // The weights that the method gives for the sums of `row`, its counts being rows or chunks.
  std::vector<float> expected(const ParamSpec& p, const std::string& scheme,
                              const ImportanceRow& row) const {
    InputStatistics input;
    input.k = p.shape[1];
    input.rows = 1;
    const auto expert = static_cast<size_t>(std::max(p.expert, 0));
    for (size_t i = 0; i < static_cast<size_t>(input.k); ++i)
      input.mean_square.push_back(double{row.sums[expert * static_cast<size_t>(input.k) + i]} /
                                  double{row.counts[expert]});
    const Tensor w = load_weight(original_, p).plain();
    const MethodOptions tuning{.scale_dtype = DType::f16};
    const WeightResult made =
        method("imatrix").quantize({w, parse_scheme(scheme), tuning, p.name, &input, 1});
    const Tensor floats = dequantize(made.weight);
    return {floats.data<float>().begin(), floats.data<float>().end()};
  }
  // Every matrix of the layers is what the method makes of the file's sums.
  void expect_as_calibrated(const std::string& out, const std::string& scheme,
                            const std::vector<ImportanceRow>& rows) const {
    const Model made = open_model(out);
    int matrices = 0;
    for (const ParamSpec& p : parameter_table(original_.config)) {
      if (!p.is_matrix() || p.layer < 0) continue;
      const auto row = std::find_if(rows.begin(), rows.end(),
                                    [&](const ImportanceRow& r) { return r.name == gguf_name(p); });
      ASSERT_NE(row, rows.end()) << p.name;
      EXPECT_EQ(values(made, p.name), expected(p, scheme, *row)) << p.name;
      ++matrices;
    }
    EXPECT_GT(matrices, 10);
  }
  bool warned(const QuantizeResult& r, const std::string& words) const {
    return std::any_of(r.warnings.begin(), r.warnings.end(),
                       [&](const std::string& w) { return w.find(words) != std::string::npos; });
  }

  const test::TempFolder folder_;
  std::string type_, in_ = folder_ / "in", out_ = folder_ / "out", path_ = folder_ / "imatrix.gguf";
  Model original_;
  CalibrationText text_;
};

class ByImportanceOfExperts : public ByImportance {
 protected:
  ByImportanceOfExperts() : ByImportance("mixtral") {}
};

TEST_F(ByImportance, GivesTheCodesOfACalibrationWithTheSameSums) {
  const auto sums = rows();
  const QuantizeOptions o = options("int4:g32", test::importance_gguf(sums).bytes());
  std::vector<std::string> tasks;
  Exec exec;
  exec.progress = [&](const Progress& p) { tasks.emplace_back(p.task); };
  const QuantizeResult r = quantize_model(in_, out_, o, exec);
  expect_as_calibrated(out_, "int4:g32", sums);
  EXPECT_EQ(std::count(tasks.begin(), tasks.end(), "calibrate"), 0);
  EXPECT_EQ(r.layers.size(), 14u);
  EXPECT_EQ(r.calibration, "imatrix.gguf, 7 chunks of 512 tokens");
  EXPECT_FALSE(warned(r, "imatrix")) << "nothing is missing";
  // And they are others than without weights: the sums were looked at.
  EXPECT_LT(r.layers[0].error, r.layers[0].rtn_error);
  QuantizeOptions plain = o;
  plain.importance_file.clear(), plain.method = "rtn", plain.tuning.clip = true;
  quantize_model(in_, folder_ / "plain", plain, Exec{});
  const std::string name = "model.layers.1.mlp.down_proj.weight";
  EXPECT_NE(values(open_model(out_), name), values(open_model(folder_ / "plain"), name));
}

TEST_F(ByImportance, TheOlderFormGivesTheSame) {
  auto sums = rows();
  for (ImportanceRow& r : sums) r.counts = {4};  // chunks: what the sums are divided by
  quantize_model(in_, out_, options("int3:g32:asym", test::importance_dat(sums)), Exec{});
  expect_as_calibrated(out_, "int3:g32:asym", sums);
}

TEST_F(ByImportance, WritesGgufMixtures) {
  const auto sums = rows();
  QuantizeOptions o = options("int4:g32", test::importance_gguf(sums).bytes());
  o.type = "Q4_K_S";
  const QuantizeResult r = quantize_model(in_, folder_ / "out.gguf", o, Exec{});
  const Model made = open_model(folder_ / "out.gguf");
  EXPECT_EQ(r.stored.at("q4_k"), 13);  // v's are q5_k, the head q6_k
  const auto table = parameter_table(original_.config);
  const ParamSpec& q = *find_parameter(table, {Role::q, 1});
  const auto row = std::find_if(sums.begin(), sums.end(),
                                [&](const ImportanceRow& s) { return s.name == gguf_name(q); });
  EXPECT_EQ(values(made, q.name), expected(q, "q4_k", *row));
}

TEST_F(ByImportanceOfExperts, EachExpertHasARowOfItsOwn) {
  auto sums = rows();
  const QuantizeResult r =
      quantize_model(in_, out_, options("int4:g8", test::importance_gguf(sums).bytes()), Exec{});
  expect_as_calibrated(out_, "int4:g8", sums);
  // The older form has one count for a stack.
  for (ImportanceRow& row : sums) row.counts.assign(row.counts.size(), 2);
  quantize_model(in_, out_, options("int4:g8", test::importance_dat(sums)), Exec{});
  expect_as_calibrated(out_, "int4:g8", sums);
}

TEST_F(ByImportanceOfExperts, OneThatWasNeverChosenIsToldOf) {
  auto sums = rows();
  ImportanceRow& down = *std::find_if(sums.begin(), sums.end(), [](const ImportanceRow& s) {
    return s.name == "blk.1.ffn_down_exps.weight";
  });
  down.counts[2] = 0;
  std::fill_n(down.sums.begin() + 2 * 32, 32, 0.0f);
  const QuantizeResult r =
      quantize_model(in_, out_, options("int4:g8", test::importance_gguf(sums).bytes()), Exec{});
  EXPECT_TRUE(warned(r, "experts.2.w2.weight\": the inputs' importance is not usable"));
}

TEST_F(ByImportance, WhatHasNoEntryIsRoundedAllAlikeAndToldOf) {
  auto sums = rows();
  std::erase_if(sums, [](const ImportanceRow& r) { return r.name == "blk.1.ffn_down.weight"; });
  sums.push_back({"blk.7.ffn_down.weight", {1, 2}, {1}});
  QuantizeOptions o = options("int4:g32", test::importance_gguf(sums).bytes());
  const QuantizeResult r = quantize_model(in_, out_, o, Exec{});
  const std::string name = "model.layers.1.mlp.down_proj.weight";
  EXPECT_TRUE(warned(r, name + "\": no entry in \"imatrix.gguf\": all its inputs count alike"));
  EXPECT_TRUE(warned(r,
                     "1 of its 15 entries fits no weight of this model: "
                     "\"blk.7.ffn_down.weight\""));
  QuantizeOptions plain = o;
  plain.importance_file.clear(), plain.method = "rtn", plain.tuning.clip = true;
  quantize_model(in_, folder_ / "plain", plain, Exec{});
  EXPECT_EQ(values(open_model(out_), name), values(open_model(folder_ / "plain"), name));
  o.strict = true;
  expect_error(ErrorKind::corrupt, "no entry in", [&] { quantize_model(in_, out_, o, Exec{}); });
}

TEST_F(ByImportance, AFileOfAnotherModelIsRefused) {
  auto sums = rows();
  const auto refused = [&](std::string_view words) {
    const QuantizeOptions o = options("int4:g32", test::importance_gguf(sums).bytes());
    expect_error(ErrorKind::corrupt, words, [&] { quantize_model(in_, out_, o, Exec{}); });
    expect_error(ErrorKind::corrupt, "imatrix.gguf", [&] { quantize_model(in_, out_, o, Exec{}); });
  };
  ImportanceRow& q = *std::find_if(sums.begin(), sums.end(), [](const ImportanceRow& r) {
    return r.name == "blk.0.attn_q.weight";
  });
  q.sums.resize(192, 1);
  refused(
      "entry \"blk.0.attn_q.weight\": 192 values, but \"model.layers.0.self_attn.q_proj.weight\" "
      "has 256 inputs: it was made for another model");
  q.sums.resize(256, 1), q.counts = {1, 1};
  refused("entry \"blk.0.attn_q.weight\": 2 counts for 1 matrix");
  for (ImportanceRow& r : sums) r.name = "v." + r.name;
  refused("none of its 15 entries is for a weight that is quantized (\"v.blk.0.attn_k.weight\"");
}

TEST_F(ByImportance, MethodsThatSeeMoreOrNothingAreRefused) {
  const auto refused = [&](const std::string& name, std::string_view words) {
    QuantizeOptions o = options("int4:g32", "");
    o.method = name;
    expect_error(ErrorKind::invalid_argument, words, [&] { quantize_model(in_, out_, o, Exec{}); });
  };
  for (const char* name : {"gptq", "yaqa", "autoround", "llm_int8"})
    refused(name, "needs to know how inputs go together: use `method` imatrix");
  for (const char* name : {"rtn", "hqq"}) refused(name, "treats them all alike");
  for (const char* name : {"awq+imatrix", "rotate+imatrix", "smoothquant"})
    refused(name, "changes: use `method` imatrix");
}

TEST_F(ByImportance, NoTextIsReadUnlessInputsAreRoundedToo) {
  QuantizeOptions o = options("int8:a8static", "");
  EXPECT_TRUE(reads_text(o));
  o.scheme = parse_scheme("int4:g32");
  EXPECT_FALSE(reads_text(o));
  const std::vector<std::string> given = {"calibration_text", "calibration_samples", "inputs"};
  EXPECT_EQ(unread_options(o, given),
            "`calibration_text`, `calibration_samples`, `inputs`: without effect, since method "
            "imatrix with `importance_file` in scheme int4:g32 does not read them");
}

TEST_F(ByImportance, StandsInTheRecipeAndInTheProof) {
  const QuantizeOptions o = options("int4:g32", test::importance_gguf(rows()).bytes());
  quantize_model(in_, out_, o, Exec{});
  const std::string proof = read_file(out_ + "/nibble.json");
  for (const char* words : {R"("imatrix": "imatrix.gguf")", R"("entries": 15)", R"("chunks": 7)",
                            R"("chunk_size": 512)", R"("content_hash": "xxh3:)"})
    EXPECT_NE(proof.find(words), std::string::npos) << words;
  QuantizeOptions again = read_recipe(out_ + "/nibble.json");
  EXPECT_EQ(again.importance_file, path_);
  quantize_model(in_, folder_ / "again", again, Exec{});
  EXPECT_EQ(read_file(out_ + "/model.safetensors"), read_file(folder_ / "again/model.safetensors"));
}

TEST_F(ByImportance, AnInputIsNotReplaced) {
  QuantizeOptions o = options("int4:g32", test::importance_gguf(rows()).bytes());
  expect_error(ErrorKind::invalid_argument, "imatrix.gguf",
               [&] { quantize_model(in_, path_, o, Exec{}); });
}

}  // namespace
}  // namespace nibble
