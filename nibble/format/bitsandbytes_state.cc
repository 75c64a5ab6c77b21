#include "nibble/format/bitsandbytes_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "nibble/core/checked.h"
#include "nibble/core/json.h"
#include "nibble/quant/nested_scales.h"
#include "nibble/quant/number.h"

namespace nibble::bitsandbytes {
namespace {

constexpr int64_t kPlainBytes = 256, kNestedBytes = 384, kStateLimit = 1 << 16;

void require_text(const JsonFields& f, const std::string& key, std::string_view wanted) {
  const std::string found = f.string(key);
  if (found == wanted) return;
  throw unsupported(fmt::format("is {}, expected {}", in_quotes(found), in_quotes(wanted)))
      .at("key " + in_quotes(key));
}

State parse(std::string_view text, NumberType type) {
  const JsonFields f = JsonFields::parse(text);
  State s;
  s.type = type;
  require_text(f, "quant_type", number(type).name);
  s.block = f.integer("blocksize");
  s.shape = Shape(f.integers("shape"));
  const bool matrix = s.shape.rank() == 2 && s.shape[0] >= 1 && s.shape[1] >= 1 &&
                      checked_mul(s.shape[0], s.shape[1]).has_value();
  if (s.block < 1 || !matrix) {
    throw corrupt(fmt::format("blocksize {} and shape {} are not those of a weight", s.block,
                              s.shape.to_string()));
  }
  if (!f.contains("nested_offset") || f.is_null("nested_offset")) return s;
  if (f.integer("nested_blocksize") != kNestedBlock) {
    throw unsupported(fmt::format("nested_blocksize is {}, expected {}",
                                  f.integer("nested_blocksize"), kNestedBlock));
  }
  require_text(f, "nested_dtype", "float32");
  s.nested_offset = static_cast<float>(f.number("nested_offset"));
  if (!std::isfinite(*s.nested_offset)) throw corrupt("nested_offset does not fit f32");
  return s;
}

}  // namespace

std::string state_name(const std::string& module, NumberType type) {
  return fmt::format("{}.weight.quant_state.bitsandbytes__{}", module, number(type).name);
}

int64_t state_bytes(bool nested) { return nested ? kNestedBytes : kPlainBytes; }

Tensor write_state(const State& s) {
  JsonWriter out;
  out.begin_object().field("quant_type", number(s.type).name).field("blocksize", s.block);
  const auto dims = s.shape.dims();
  out.field("dtype", "float32").array("shape", std::vector<int64_t>(dims.begin(), dims.end()));
  if (s.nested_offset) {
    out.field("nested_blocksize", kNestedBlock).field("nested_dtype", "float32");
    out.field("nested_offset", static_cast<double>(*s.nested_offset));
  }
  std::string text = out.end_object().finish();
  const int64_t bytes = state_bytes(s.nested_offset.has_value());
  NIBBLE_CHECK(static_cast<int64_t>(text.size()) <= bytes);
  text.resize(static_cast<size_t>(bytes), ' ');
  Tensor tensor(DType::u8, Shape{bytes});
  std::memcpy(tensor.mutable_raw(), text.data(), text.size());
  return tensor;
}

State read_state(const TensorSource& source, const std::string& module, NumberType type) {
  const std::string name = state_name(module, type);
  try {
    const Tensor t = source.get(name);
    if (t.dtype() != DType::u8 || t.shape().rank() != 1 || t.elements() > kStateLimit) {
      throw corrupt(fmt::format("expected at most {} bytes of JSON, found {} {}", kStateLimit,
                                to_string(t.dtype()), t.shape().to_string()));
    }
    return parse({reinterpret_cast<const char*>(t.raw()), t.bytes()}, type);
  } catch (const Error& e) {
    if (e.where().starts_with("tensor")) throw;
    const std::string reason =
        e.where().empty() ? e.reason() : fmt::format("{}: {}", e.where(), e.reason());
    throw Error(e.kind(), reason).at("tensor " + in_quotes(name));
  }
}

}  // namespace nibble::bitsandbytes
