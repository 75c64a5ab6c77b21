#include "nibble/format/gguf_type.h"

#include <algorithm>
#include <cctype>

#include "nibble/format/gguf_blocks.h"

namespace nibble {
namespace {

GgufType plain(std::string_view name, uint32_t id, DType dtype) {
  return {.name = name, .id = id, .bytes = size_of(dtype), .plain = dtype};
}

GgufType known_by_name(std::string_view name, uint32_t id, int64_t elements, int64_t bytes) {
  return {.name = name, .id = id, .elements = elements, .bytes = bytes};
}

using Unpack = decltype(GgufType::unpack);
using Pack = decltype(GgufType::pack);

GgufType blocks(std::string_view name, uint32_t id, int64_t elements, int64_t bytes,
                std::string_view scheme, Unpack unpack, Pack pack, DType scales = DType::f16) {
  return {.name = name,
          .id = id,
          .elements = elements,
          .bytes = bytes,
          .scheme = parse_any_scheme(scheme),
          .scale_dtype = scales,
          .unpack = unpack,
          .pack = pack};
}

GgufType codebook(std::string_view name, uint32_t id, int64_t bytes, std::string_view scheme,
                  Unpack unpack) {
  return blocks(name, id, kLargestGgufBlock, bytes, scheme, unpack, nullptr, DType::i8);
}

bool same_word(std::string_view a, std::string_view b) {
  const auto upper = [](char c) { return std::toupper(static_cast<unsigned char>(c)); };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](char x, char y) { return upper(x) == upper(y); });
}

}  // namespace

std::span<const GgufType> gguf_types() {
  static const GgufType kTypes[] = {
      plain("F32", 0, DType::f32),
      plain("F16", 1, DType::f16),
      blocks("Q4_0", 2, 32, 18, "int4:g32", unpack_q4_0, pack_q4_0),
      blocks("Q4_1", 3, 32, 20, "q4_1", unpack_q4_1, pack_q4_1),
      blocks("Q5_0", 6, 32, 22, "int5:g32", unpack_q5_0, pack_q5_0),
      blocks("Q5_1", 7, 32, 24, "q5_1", unpack_q5_1, pack_q5_1),
      blocks("Q8_0", 8, 32, 34, "int8:g32", unpack_q8_0, pack_q8_0),
      known_by_name("Q8_1", 9, 32, 36),
      blocks("Q2_K", 10, 256, 84, "q2_k", unpack_q2_k, pack_q2_k, DType::i8),
      blocks("Q3_K", 11, 256, 110, "q3_k", unpack_q3_k, pack_q3_k, DType::i8),
      blocks("Q4_K", 12, 256, 144, "q4_k", unpack_q4_k, pack_q4_k, DType::i8),
      blocks("Q5_K", 13, 256, 176, "q5_k", unpack_q5_k, pack_q5_k, DType::i8),
      blocks("Q6_K", 14, 256, 210, "q6_k", unpack_q6_k, pack_q6_k, DType::i8),
      known_by_name("Q8_K", 15, 256, 292),
      codebook("IQ2_XXS", 16, 66, "iq2_xxs", unpack_iq2_xxs),
      codebook("IQ2_XS", 17, 74, "iq2_xs", unpack_iq2_xs),
      codebook("IQ3_XXS", 18, 98, "iq3_xxs", unpack_iq3_xxs),
      codebook("IQ1_S", 19, 50, "iq1_s", unpack_iq1_s),
      blocks("IQ4_NL", 20, 32, 18, "iq4_nl", unpack_iq4_nl, pack_iq4_nl),
      codebook("IQ3_S", 21, 110, "iq3_s", unpack_iq3_s),
      codebook("IQ2_S", 22, 82, "iq2_s", unpack_iq2_s),
      blocks("IQ4_XS", 23, 256, 136, "iq4_xs", unpack_iq4_xs, pack_iq4_xs, DType::i8),
      plain("I8", 24, DType::i8),
      plain("I16", 25, DType::i16),
      plain("I32", 26, DType::i32),
      plain("I64", 27, DType::i64),
      plain("F64", 28, DType::f64),
      codebook("IQ1_M", 29, 56, "iq1_m", unpack_iq1_m),
      plain("BF16", 30, DType::bf16),
      blocks("TQ1_0", 34, 256, 54, "ternary:g256", unpack_tq1_0, nullptr),
      blocks("TQ2_0", 35, 256, 66, "int2:g256", unpack_tq2_0, nullptr),
      blocks("MXFP4", 39, 32, 17, "mxfp4", unpack_byte_scale, pack_byte_scale, DType::u8),
      blocks("NVFP4", 40, 64, 36, "nvfp4", unpack_byte_scales, pack_byte_scales, DType::f8_e4m3),
      blocks("Q1_0", 41, 128, 18, "ternary:g128", unpack_q1_0, nullptr),
      blocks("Q2_0", 42, 64, 18, "int2:g64", unpack_q2_0, nullptr),
  };
  return kTypes;
}

const GgufType* find_gguf_type(uint32_t id) {
  for (const GgufType& t : gguf_types()) {
    if (t.id == id) return &t;
  }
  return nullptr;
}

const GgufType* find_gguf_type(std::string_view name) {
  for (const GgufType& t : gguf_types()) {
    if (same_word(t.name, name)) return &t;
  }
  return nullptr;
}

}  // namespace nibble
