// Tensors as releases of compressed-tensors write them and nibble does not: integers as plain I8,
// zero points as I8, the packing of releases up to 2025, scales of the inputs in the model's type.
#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "nibble/core/float_formats.h"
#include "nibble/core/random.h"
#include "nibble/format/quantized_layout.h"
#include "nibble/quant/rtn.h"
#include "tests/support/expect_error.h"

namespace nibble {
namespace {

using test::expect_error;

constexpr int64_t kN = 37, kK = 64;

QuantizedTensor quantized(const QuantScheme& scheme) {
  PyRandom random(3);
  Tensor w(DType::f32, Shape{kN, kK});
  for (float& v : w.mutable_data<float>()) v = static_cast<float>(random.gauss(0, 1));
  return quantize_rtn(w, scheme, {}, "x");
}

// Unsigned codes [n, k], a byte each.
std::vector<uint8_t> codes_of(const QuantizedTensor& q) {
  std::vector<uint8_t> out(static_cast<size_t>(kN * kK));
  const auto stride = static_cast<size_t>(q.codes.shape()[1]), k = static_cast<size_t>(kK);
  for (size_t r = 0; r < static_cast<size_t>(kN); ++r)
    unpack_codes(q.codes.data<uint8_t>().subspan(r * stride, stride), q.scheme.bits(),
                 std::span(out).subspan(r * k, k));
  return out;
}

Tensor as_bytes(std::span<const uint8_t> codes, int bits, Shape shape) {
  Tensor out(DType::i8, std::move(shape));
  for (size_t i = 0; i < codes.size(); ++i)
    out.mutable_data<int8_t>()[i] = static_cast<int8_t>(codes[i] - (1 << (bits - 1)));
  return out;
}

// 32 / bits whole codes to a word, along `lines` lines of `count` codes.
Tensor old_words(std::span<const uint8_t> codes, int bits, int64_t lines, int64_t count,
                 bool down) {
  const int64_t each = 32 / bits, words = (count + each - 1) / each;
  Tensor out(DType::i32, down ? Shape{words, lines} : Shape{lines, words});
  for (int64_t line = 0; line < lines; ++line) {
    for (int64_t i = 0; i < count; ++i) {
      const uint8_t code = codes[static_cast<size_t>(down ? i * lines + line : line * count + i)];
      const int64_t at = down ? i / each * lines + line : line * words + i / each;
      auto& word = out.mutable_data<int32_t>()[static_cast<size_t>(at)];
      word = static_cast<int32_t>(static_cast<uint32_t>(word) | static_cast<uint32_t>(code)
                                                                    << (i % each * bits));
    }
  }
  return out;
}

TensorMap map_of(const QuantizedTensor& q) {
  TensorMap out;
  for (NamedTensor& t : to_tensors("x.weight", q)) out.emplace(t.name, t.tensor);
  return out;
}

void expect_same(const QuantizedTensor& q, TensorMap tensors) {
  const MemorySource source(std::move(tensors));
  EXPECT_NO_THROW(require_stored(source, "x.weight", q.scheme));
  const QuantizedTensor back = from_tensors(source, "x.weight", q.scheme);
  const Tensor a = dequantize(back), b = dequantize(q);
  ASSERT_EQ(a.shape(), b.shape());
  EXPECT_EQ(std::memcmp(a.raw(), b.raw(), a.bytes()), 0) << to_string(q.scheme);
}

class Integers : public testing::TestWithParam<const char*> {};

TEST_P(Integers, AsPlainBytes) {
  const QuantizedTensor q = quantized(parse_scheme(GetParam()));
  const int bits = q.scheme.bits();
  TensorMap tensors = map_of(q);
  for (const char* gone : {"x.weight_packed", "x.weight_shape", "x.weight_zero_point"})
    tensors.erase(gone);
  tensors.insert_or_assign("x.weight", as_bytes(codes_of(q), bits, q.shape));
  if (q.zeros) {
    tensors.insert_or_assign("x.weight_zero_point",
                             as_bytes(q.zeros->data<uint8_t>(), bits, q.zeros->shape()));
  }
  expect_same(q, tensors);
  if (bits == 8) return;
  Tensor& codes = tensors.at("x.weight");
  codes.mutable_data<int8_t>()[kK + 1] = static_cast<int8_t>(1 << (bits - 1));
  expect_error(ErrorKind::corrupt, "tensor \"x.weight\": element 65",
               [&] { from_tensors(MemorySource(tensors), "x.weight", q.scheme); });
}

TEST_P(Integers, WithZeroPointsThatAreNotPacked) {
  const QuantizedTensor q = quantized(parse_scheme(GetParam()));
  if (!q.zeros) return;
  TensorMap tensors = map_of(q);
  if (q.scheme.granularity == Granularity::tensor)
    tensors.insert_or_assign("x.weight_zero_point",
                             as_bytes(q.zeros->data<uint8_t>(), q.scheme.bits(), Shape{1}));
  else
    tensors.insert_or_assign("x.weight_zero_point",
                             as_bytes(q.zeros->data<uint8_t>(), q.scheme.bits(), q.zeros->shape()));
  expect_same(q, tensors);
}

TEST_P(Integers, InThePackingOfReleasesUpTo2025) {
  const QuantizedTensor q = quantized(parse_scheme(GetParam()));
  TensorMap tensors = map_of(q);
  if (!tensors.contains("x.weight_packed")) return;
  const int bits = q.scheme.bits();
  tensors.insert_or_assign("x.weight_packed", old_words(codes_of(q), bits, kN, kK, false));
  if (q.zeros && q.scheme.granularity != Granularity::tensor) {
    tensors.insert_or_assign("x.weight_zero_point", old_words(q.zeros->data<uint8_t>(), bits,
                                                              q.zeros->shape()[1], kN, true));
  }
  expect_same(q, tensors);
}

INSTANTIATE_TEST_SUITE_P(Schemes, Integers,
                         testing::Values("int2:g16:asym", "int3:g32", "int3:g16:asym", "int4:g32",
                                         "int4:g16:asym:a8", "int4:tensor:asym", "int5:asym",
                                         "int6:g32:asym", "int7", "int8", "int8:a8", "int8:asym",
                                         "int8:g32:a8"));

// 128 columns of 3 bits: 12 words as one stream, 13 with ten codes to a word.
TEST(CompressedTensorsLayouts, TellsTheTwoPackingsByTheirWidth) {
  std::vector<uint8_t> codes(128);
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<uint8_t>(i * 5 % 8);
  EXPECT_EQ(old_words(codes, 3, 1, 128, false).shape(), (Shape{1, 13}));
  EXPECT_EQ(packed_row_bytes(128, 3), 12 * 4);
}

// Column c has the scale of group g_idx[c] (compressed-tensors of 2024 to 2026, actorder: group).
class ColumnOrder : public testing::Test {
 protected:
  ColumnOrder() : q_(quantized(parse_scheme("int4:g16:asym"))), good_(map_of(q_)) {
    for (size_t c = 0; c < groups_.size(); ++c) groups_[c] = static_cast<int32_t>(c * 5 % 64 / 16);
  }
  QuantizedTensor read(const std::vector<int32_t>& groups) const {
    TensorMap tensors = good_;
    const auto count = static_cast<int64_t>(groups.size());
    tensors.insert_or_assign("x.weight_g_idx", Tensor::from<int32_t>(Shape{count}, groups));
    const MemorySource source(tensors);
    EXPECT_EQ(stored_names(source, "x.weight", q_.scheme).size(), tensors.size());
    return from_tensors(source, "x.weight", q_.scheme);
  }
  void refuse(size_t column, int32_t group, std::string_view words) const {
    std::vector<int32_t> groups = groups_;
    groups[column] = group;
    expect_error(ErrorKind::corrupt, words, [&] { read(groups); });
  }
  QuantizedTensor q_;
  TensorMap good_;
  std::vector<int32_t> groups_ = std::vector<int32_t>(kK);
};

TEST_F(ColumnOrder, GivesEveryColumnTheScaleOfItsGroup) {
  const Tensor found = dequantize(read(groups_));
  const std::vector<uint8_t> codes = codes_of(q_);
  for (size_t r = 0; r < static_cast<size_t>(kN); ++r) {
    for (size_t c = 0; c < static_cast<size_t>(kK); ++c) {
      const auto at = r * 4 + static_cast<size_t>(groups_[c]);
      const int code = codes[r * kK + c] - q_.zeros->data<uint8_t>()[at];
      ASSERT_EQ(found.data<float>()[r * kK + c],
                static_cast<float>(code) * q_.scale(static_cast<int64_t>(at)));
    }
  }
}

TEST_F(ColumnOrder, SaysNothingWhereGroupsLieBehindEachOther) {
  for (size_t c = 0; c < groups_.size(); ++c) groups_[c] = static_cast<int32_t>(c / 16);
  EXPECT_FALSE(read(groups_).input_order.has_value());
  EXPECT_FALSE(read(std::vector<int32_t>(kK, -1)).input_order.has_value());
}

TEST_F(ColumnOrder, GroupsThatAreNotFullOrNotThereAreRefused) {
  refuse(3, 4, "column 3 is of group 4, which is none of the 4");
  refuse(3, -1, "column 3 is of group -1");
  refuse(0, 1, "is of group 1, which is full");
  refuse(0, std::numeric_limits<int32_t>::max(), "column 0 is of group 2147483647");
  expect_error(ErrorKind::corrupt, "weight_g_idx", [&] { read(std::vector<int32_t>(kK - 1)); });
}

TEST(CompressedTensorsLayouts, TakesTheScaleOfInputsInTheModelsType) {
  QuantizedTensor q = quantized(parse_scheme("int8:a8static"));
  const float scale = 0.0390625f;  // fits bf16
  q.activation = Tensor::from<float>(Shape{1}, std::span(&scale, 1));
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    TensorMap tensors = map_of(q);
    Tensor stored = convert(*q.activation, dtype);
    tensors.insert_or_assign("x.input_scale", stored);
    const auto back = from_tensors(MemorySource(tensors), "x.weight", q.scheme);
    EXPECT_EQ(back.activation->data<float>()[0], scale);
  }
}

// What is missing is named with what asks for it: bad data, not a missing input.
TEST(CompressedTensorsLayouts, NamesWhatIsMissingAndWhatAsksForIt) {
  for (const char* spelling :
       {"int4:g16:asym", "int8:a8", "fp8_e4m3", "mxfp4", "nvfp4", "nf4", "fp4:g32"}) {
    const QuantizedTensor q = quantized(parse_scheme(spelling));
    const TensorMap good = map_of(q);
    EXPECT_EQ(stored_names(MemorySource(good), "x.weight", q.scheme).size(), good.size());
    for (const auto& [name, tensor] : good) {
      TensorMap some = good;
      some.erase(name);
      // Without its codes an integer weight may be either of two.
      const std::string words = name.find("weight_packed") != std::string::npos ||
                                        name == "x.weight" ||
                                        name.find("nested") != std::string::npos
                                    ? "tensor \"x.weight"
                                    : "tensor " + in_quotes(name) +
                                          ": quantization_config has \"x\" stored as " + spelling;
      const auto look = [&] {
        require_stored(MemorySource(some), "x.weight", q.scheme);
        from_tensors(MemorySource(some), "x.weight", q.scheme);
      };
      expect_error(ErrorKind::corrupt, words, look);
    }
  }
}

}  // namespace
}  // namespace nibble
