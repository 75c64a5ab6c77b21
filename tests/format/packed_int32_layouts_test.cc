// GPTQ's and AWQ's tensors, written here element by element as their papers' programs define them,
// come back as the numbers that they stand for; what does not fit is refused by name.
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "nibble/core/random.h"
#include "nibble/format/quantized_layout.h"
#include "tests/support/expect_error.h"

namespace nibble {
namespace {

using nlohmann::json;
using test::expect_error;

// A weight as its codes, zero points and scales: w[r][i] = (q - z[r][g]) s[r][g], g = group[i].
struct Plain {
  int bits = 4;
  int64_t n = 16, k = 64, group = 16;
  bool symmetric = false;
  std::vector<int32_t> of_input;  // the group of each
  uint64_t seed = 1;

  int64_t groups() const { return (k + group - 1) / group; }
  uint64_t drawn(int64_t a, int64_t b, uint64_t kind) const {
    PyRandom random(seed * 7919 + static_cast<uint64_t>(a * 1009 + b) * 4 + kind);
    return random.below(1u << 20);
  }
  uint32_t code(int64_t r, int64_t i) const {
    return static_cast<uint32_t>(drawn(r, i, 0) % (1u << bits));
  }
  uint32_t zero(int64_t r, int64_t g) const {
    return symmetric ? 1u << (bits - 1) : static_cast<uint32_t>(drawn(r, g, 1) % (1u << bits));
  }
  float scale(int64_t r, int64_t g) const {
    return static_cast<float>(1 + drawn(r, g, 2) % 100) / 64;
  }
  int64_t group_of(int64_t i) const {
    return of_input.empty() ? i / group : of_input[static_cast<size_t>(i)];
  }
  float value(int64_t r, int64_t i) const {
    const int64_t g = group_of(i);
    return (static_cast<float>(code(r, i)) - static_cast<float>(zero(r, g))) * scale(r, g);
  }
};

// Bits [at, at + count) of a stream of words, down a column of a tensor or along a row.
void put_bits(Tensor& words, int64_t at, int count, uint32_t value,
              const std::function<int64_t(int64_t)>& index_of_word) {
  for (int b = 0; b < count; ++b) {
    const uint32_t bit = value >> b & 1u;
    auto& word = words.mutable_data<int32_t>()[static_cast<size_t>(index_of_word((at + b) / 32))];
    word = static_cast<int32_t>(static_cast<uint32_t>(word) | bit << ((at + b) % 32));
  }
}

Tensor turned_scales_of(const Plain& p) {
  Tensor out(DType::f32, Shape{p.groups(), p.n});
  for (int64_t g = 0; g < p.groups(); ++g)
    for (int64_t r = 0; r < p.n; ++r)
      out.mutable_data<float>()[static_cast<size_t>(g * p.n + r)] = p.scale(r, g);
  return out;
}

TensorMap as_gptq(const Plain& p, int version) {
  const int64_t rows = (p.k * p.bits + 31) / 32, columns = (p.n * p.bits + 31) / 32;
  Tensor weights(DType::i32, Shape{rows, p.n}), zeros(DType::i32, Shape{p.groups(), columns});
  for (int64_t r = 0; r < p.n; ++r) {
    for (int64_t i = 0; i < p.k; ++i)
      put_bits(weights, i * p.bits, p.bits, p.code(r, i), [&](int64_t w) { return w * p.n + r; });
    for (int64_t g = 0; g < p.groups(); ++g) {
      const uint32_t stored = (p.zero(r, g) - (version == 1 ? 1u : 0u)) & ((1u << p.bits) - 1);
      put_bits(zeros, r * p.bits, p.bits, stored, [&](int64_t w) { return g * columns + w; });
    }
  }
  Tensor order(DType::i32, Shape{p.k});
  for (int64_t i = 0; i < p.k; ++i)
    order.mutable_data<int32_t>()[static_cast<size_t>(i)] = static_cast<int32_t>(p.group_of(i));
  return {{"x.qweight", weights},
          {"x.qzeros", zeros},
          {"x.scales", turned_scales_of(p)},
          {"x.g_idx", order}};
}

TensorMap as_awq(const Plain& p) {
  constexpr int64_t kOrder[] = {0, 2, 4, 6, 1, 3, 5, 7};  // the output in each nibble of a word
  Tensor weights(DType::i32, Shape{p.k, p.n / 8}), zeros(DType::i32, Shape{p.groups(), p.n / 8});
  const auto fill = [&](Tensor& t, int64_t row, const std::function<uint32_t(int64_t)>& of_output) {
    for (int64_t c = 0; c < p.n / 8; ++c)
      for (int nibble = 0; nibble < 8; ++nibble)
        put_bits(t, 4 * nibble, 4, of_output(8 * c + kOrder[nibble]),
                 [&](int64_t) { return row * (p.n / 8) + c; });
  };
  for (int64_t i = 0; i < p.k; ++i) fill(weights, i, [&](int64_t r) { return p.code(r, i); });
  for (int64_t g = 0; g < p.groups(); ++g) fill(zeros, g, [&](int64_t r) { return p.zero(r, g); });
  return {{"x.qweight", weights}, {"x.qzeros", zeros}, {"x.scales", turned_scales_of(p)}};
}

json gptq_config(const Plain& p, int version) {
  return {{"quant_method", "gptq"},
          {"bits", p.bits},
          {"group_size", p.group},
          {"sym", p.symmetric},
          {"desc_act", !p.of_input.empty()},
          {"checkpoint_format", version == 1 ? "gptq" : "gptq_v2"},
          {"meta", {{"quantizer", {"gptqmodel:7.0"}}}}};
}

json awq_config(const Plain& p) {
  return {{"quant_method", "awq"},      {"bits", 4},         {"group_size", p.group},
          {"zero_point", !p.symmetric}, {"version", "gemm"}, {"modules_to_not_convert", nullptr}};
}

QuantizedTensor read_packed(const json& config, const TensorMap& tensors) {
  const MatrixModule module{"x", "Linear"};
  const MemorySource source(tensors);
  const StoredModules modules = read_quantization_config(
      JsonFields::parse(json({{"quantization_config", config}}).dump()), {&module, 1}, source);
  require_stored(source, "x.weight", modules.schemes.at("x"), modules.layout);
  return from_tensors(source, "x.weight", modules.schemes.at("x"), modules.layout);
}

void expect_values(const QuantizedTensor& q, const Plain& p) {
  ASSERT_EQ(q.shape, (Shape{p.n, p.k}));
  EXPECT_EQ(q.scheme.asymmetric, !p.symmetric);
  const Tensor w = dequantize(q);
  for (int64_t r = 0; r < p.n; ++r)
    for (int64_t i = 0; i < p.k; ++i)
      ASSERT_EQ(w.data<float>()[static_cast<size_t>(r * p.k + i)], p.value(r, i))
          << "row " << r << " input " << i;
}

TEST(GptqLayout, EveryWidthVersionAndKindOfZeroComesBack) {
  for (const int bits : {2, 3, 4, 8}) {
    for (const bool symmetric : {false, true}) {
      for (const int version : {1, 2}) {
        const Plain p{bits, 24, 96, 32, symmetric, {}, static_cast<uint64_t>(bits)};
        SCOPED_TRACE(testing::Message() << bits << " bits, version " << version);
        expect_values(read_packed(gptq_config(p, version), as_gptq(p, version)), p);
      }
    }
  }
}

TEST(GptqLayout, GroupsOfAnyColumnsAndOfWholeRows) {
  Plain p;
  for (int32_t i = 0; i < p.k; ++i) p.of_input.push_back((i * 5 + 3) % 4);
  const QuantizedTensor q = read_packed(gptq_config(p, 1), as_gptq(p, 1));
  EXPECT_TRUE(q.input_order.has_value());
  expect_values(q, p);
  Plain rows;
  rows.group = rows.k;
  json config = gptq_config(rows, 1);
  config["group_size"] = -1;
  const QuantizedTensor whole = read_packed(config, as_gptq(rows, 1));
  EXPECT_EQ(whole.scheme.granularity, Granularity::channel);
  expect_values(whole, rows);
  TensorMap without = as_gptq(rows, 1);
  without.erase("x.g_idx");
  expect_values(read_packed(config, without), rows);
}

TEST(GptqLayout, ModulesThatDifferAreReadByTheirTensorsWhereTheConfigSaysSo) {
  const Plain p{8, 16, 64, 32, false, {}, 3};
  json config = gptq_config(Plain{}, 2);
  expect_error(ErrorKind::corrupt, "tensor \"x.qweight\": holds 8 bits a weight",
               [&] { read_packed(config, as_gptq(p, 2)); });
  config["dynamic"] = {{"+:.*x", {{"bits", 8}, {"group_size", 32}}}};
  expect_values(read_packed(config, as_gptq(p, 2)), p);
  const MatrixModule plain{"y", "Linear"};
  const auto modules =
      read_quantization_config(JsonFields::parse(json({{"quantization_config", config}}).dump()),
                               {&plain, 1}, MemorySource(as_gptq(p, 2)));
  EXPECT_TRUE(modules.schemes.empty()) << "no tensors of y are packed";
}

// Up to 8 inputs take one word whether a code has 2, 3 or 4 bits: the config's width counts.
TEST(GptqLayout, OfFewInputsTheConfigSaysHowWideCodesAre) {
  for (const int bits : {2, 3, 4}) {
    const Plain p{bits, 32, 8, 8, false, {}, 9};
    json config = gptq_config(p, 2);
    expect_values(read_packed(config, as_gptq(p, 2)), p);
    config["dynamic"] = {{"+:.*other", {{"bits", 8}}}};
    expect_values(read_packed(config, as_gptq(p, 2)), p);
  }
}

TEST(GptqLayout, RefusesByName) {
  const Plain p;
  const TensorMap good = as_gptq(p, 1);
  const auto refused = [&](const std::string& key, const json& value, std::string_view words) {
    json config = gptq_config(p, 1);
    config[key] = value;
    expect_error(ErrorKind::unsupported, words, [&] { read_packed(config, good); });
  };
  refused("bits", 5, "quantization_config.bits");
  refused("checkpoint_format", "marlin", "quantization_config.checkpoint_format");
  refused("checkpoint_format", "gptq_p", "quantization_config.checkpoint_format");
  refused("is_marlin_format", true, "is_marlin_format");
  refused("pack_dtype", "int64", "pack_dtype");
  refused("act_bits", 8, "act_bits");
  refused("data_type", "mx_fp", "data_type");
  refused("novelty", 1, "novelty");
  json config = gptq_config(p, 1);
  config["sym"] = true;
  expect_error(ErrorKind::corrupt, "tensor \"x.qzeros\": holds the zero point",
               [&] { read_packed(config, good); });
  config = gptq_config(p, 1);
  config["group_size"] = 32;
  expect_error(ErrorKind::corrupt, "64 inputs in groups of 32", [&] { read_packed(config, good); });
  for (const char* part : {"x.qzeros", "x.scales"}) {
    TensorMap less = good;
    less.erase(part);
    expect_error(ErrorKind::corrupt, part, [&] { read_packed(gptq_config(p, 1), less); });
  }
  TensorMap odd = good;
  odd["x.g_idx"].mutable_data<int32_t>()[0] = 9;
  expect_error(ErrorKind::corrupt, "x.g_idx", [&] { read_packed(gptq_config(p, 1), odd); });
  odd = as_gptq(p, 1);
  odd["x.qweight"] = Tensor(DType::i32, Shape{8});
  expect_error(ErrorKind::corrupt, "x.qweight", [&] { read_packed(gptq_config(p, 1), odd); });
}

TEST(AwqLayout, ComesBack) {
  for (const bool symmetric : {false, true}) {
    const Plain p{4, 32, 64, 16, symmetric, {}, 5};
    expect_values(read_packed(awq_config(p), as_awq(p)), p);
  }
}

TEST(AwqLayout, RefusesByName) {
  const Plain p;
  const auto refused = [&](const std::string& key, const json& value, std::string_view words) {
    json config = awq_config(p);
    config[key] = value;
    expect_error(ErrorKind::unsupported, words, [&] { read_packed(config, as_awq(p)); });
  };
  refused("bits", 8, "quantization_config.bits");
  refused("version", "gemv", "quantization_config.version");
  refused("novelty", true, "novelty");
  json config = awq_config(p);
  config["zero_point"] = false;
  expect_error(ErrorKind::corrupt, "tensor \"x.qzeros\"", [&] { read_packed(config, as_awq(p)); });
  TensorMap less = as_awq(p);
  less.erase("x.scales");
  expect_error(ErrorKind::corrupt, "x.scales", [&] { read_packed(awq_config(p), less); });
}

}  // namespace
}  // namespace nibble
