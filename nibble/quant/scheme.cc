#include "nibble/quant/scheme.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "nibble/core/error.h"

namespace nibble {
namespace {

constexpr int64_t kLargestGroup = int64_t{1} << 30;

// What may follow a type, as bits.
enum Part : unsigned {
  kTensor = 1,
  kChannel = 2,
  kGroup = 4,
  kAsym = 8,
  kA8 = 16,
  kA8Static = 32,
  kAfp8 = 64,
  kA8Outlier = 128,
  kA8Full = 256,
};
constexpr unsigned kActivations = kA8 | kA8Full | kA8Static | kA8Outlier | kAfp8;
constexpr unsigned kGranularities = kTensor | kChannel | kGroup;

// One row for each type, in the order of the enumeration: everything a scheme's spelling depends
// on.
struct TypeRow {
  NumberType type;
  std::string_view name;
  int bits;
  unsigned parts;
  int64_t default_group;  // 0: a scale for each channel where nothing is said
};
constexpr unsigned kInteger = kGranularities | kAsym | kActivations;
constexpr TypeRow kTypes[] = {
    {NumberType::f32, "f32", 32, 0, 0},
    {NumberType::f16, "f16", 16, 0, 0},
    {NumberType::bf16, "bf16", 16, 0, 0},
    {NumberType::int2, "int2", 2, kInteger, 0},
    {NumberType::int3, "int3", 3, kInteger, 0},
    {NumberType::int4, "int4", 4, kInteger, 0},
    {NumberType::int5, "int5", 5, kInteger, 0},
    {NumberType::int6, "int6", 6, kInteger, 0},
    {NumberType::int7, "int7", 7, kInteger, 0},
    {NumberType::int8, "int8", 8, kInteger, 0},
    {NumberType::ternary, "ternary", 2, kGranularities | kActivations, 0},
    {NumberType::nf4, "nf4", 4, kGroup, 64},
    {NumberType::fp4, "fp4", 4, kGroup, 64},
    {NumberType::fp8_e4m3, "fp8_e4m3", 8, kTensor | kChannel | kAfp8, 0},
    {NumberType::fp8_e5m2, "fp8_e5m2", 8, kTensor | kChannel | kAfp8, 0},
    {NumberType::mxfp4, "mxfp4", 4, 0, 32},
    {NumberType::nvfp4, "nvfp4", 4, 0, 16},
};

struct Alias {
  std::string_view name;
  NumberType type;
};
constexpr Alias kAliases[] = {{"fp32", NumberType::f32}, {"fp16", NumberType::f16}};

struct ActivationRow {
  ActivationType type;
  std::string_view name;
  unsigned part;
};
constexpr ActivationRow kActivationRows[] = {
    {ActivationType::a8, "a8", kA8},
    {ActivationType::a8_full, "a8full", kA8Full},
    {ActivationType::a8_static, "a8static", kA8Static},
    {ActivationType::a8_outlier, "a8outlier", kA8Outlier},
    {ActivationType::afp8, "afp8", kAfp8},
};

const TypeRow& row(NumberType type) {
  const TypeRow& found = kTypes[static_cast<size_t>(type)];
  NIBBLE_CHECK(found.type == type);
  return found;
}

std::string allowed_after(const TypeRow& type) {
  std::vector<std::string_view> words;
  if ((type.parts & kTensor) != 0) words.push_back("tensor");
  if ((type.parts & kChannel) != 0) words.push_back("channel");
  if ((type.parts & kGroup) != 0) words.push_back("gN");
  if ((type.parts & kAsym) != 0) words.push_back("asym");
  for (const ActivationRow& a : kActivationRows) {
    if ((type.parts & a.part) != 0) words.push_back(a.name);
  }
  return words.empty() ? "nothing" : fmt::format("{}", fmt::join(words, ", "));
}

Error bad(std::string_view text, std::string reason) {
  return invalid_argument(fmt::format("{}: {}", in_quotes(text), reason)).at("scheme");
}

const TypeRow& parse_type(std::string_view word, std::string_view text) {
  for (const Alias& a : kAliases) {
    if (a.name == word) return row(a.type);
  }
  for (const TypeRow& r : kTypes) {
    if (r.name == word) return r;
  }
  std::vector<std::string_view> names;
  for (const TypeRow& r : kTypes) names.push_back(r.name);
  throw bad(text,
            fmt::format("unknown type {}; use one of {}", in_quotes(word), fmt::join(names, ", ")));
}

// "g128" as 128; nothing where the word is not of that form.
std::optional<int64_t> parse_group(std::string_view word) {
  if (word.size() < 2 || word[0] != 'g' || word[1] == '0') return std::nullopt;
  int64_t value = 0;
  const char* end = word.data() + word.size();
  const auto [stop, error] = std::from_chars(word.data() + 1, end, value);
  if (error != std::errc() || stop != end || value < 1 || value > kLargestGroup)
    return std::nullopt;
  return value;
}

// The parts come in one order, each once; `stage` is how far along it the text is.
struct Parser {
  std::string_view text;
  const TypeRow& type;
  QuantScheme scheme;
  int stage = 0;

  void take(unsigned part, int at, std::string_view word) {
    if ((type.parts & part) == 0) {
      throw bad(text, fmt::format("{} cannot follow {} (allowed: {})", in_quotes(word), type.name,
                                  allowed_after(type)));
    }
    if (stage >= at) {
      throw bad(text, fmt::format("{} is repeated or out of order; write "
                                  "TYPE[:tensor|channel|gN][:asym]"
                                  "[:a8|a8full|a8static|a8outlier|afp8]",
                                  in_quotes(word)));
    }
    stage = at;
  }

  void granularity(Granularity g, unsigned part, std::string_view word) {
    take(part, 1, word);
    scheme.granularity = g;
    scheme.group = 0;
  }

  void part(std::string_view word) {
    if (word == "tensor") return granularity(Granularity::tensor, kTensor, word);
    if (word == "channel") return granularity(Granularity::channel, kChannel, word);
    if (const auto group = parse_group(word)) {
      granularity(Granularity::group, kGroup, word);
      scheme.group = *group;
      return;
    }
    if (word == "asym") {
      take(kAsym, 2, word);
      scheme.asymmetric = true;
      return;
    }
    for (const ActivationRow& a : kActivationRows) {
      if (a.name != word) continue;
      take(a.part, 3, word);
      scheme.activations = a.type;
      return;
    }
    throw bad(text, fmt::format("unknown part {} (allowed after {}: {}; N from 1 to {})",
                                in_quotes(word), type.name, allowed_after(type), kLargestGroup));
  }
};

QuantScheme defaults(const TypeRow& type) {
  QuantScheme s;
  s.type = type.type;
  s.granularity = type.default_group == 0 ? Granularity::channel : Granularity::group;
  s.group = type.default_group;
  return s;
}

}  // namespace

int QuantScheme::bits() const { return row(type).bits; }
bool QuantScheme::is_integer() const {
  return type >= NumberType::int2 && type <= NumberType::int8;
}
bool QuantScheme::is_float() const { return type <= NumberType::bf16; }
bool QuantScheme::has_codebook() const { return type >= NumberType::nf4; }
bool QuantScheme::has_int8_activations() const {
  return activations != ActivationType::none && activations != ActivationType::afp8;
}

int64_t QuantScheme::group_size(int64_t k) const {
  return granularity == Granularity::group ? std::min(group, k) : k;
}

QuantScheme parse_scheme(std::string_view text) {
  const size_t first = std::min(text.find(':'), text.size());
  const TypeRow& type = parse_type(text.substr(0, first), text);
  Parser parser{text, type, defaults(type)};
  for (size_t at = first; at < text.size();) {
    const size_t end = std::min(text.find(':', at + 1), text.size());
    parser.part(text.substr(at + 1, end - at - 1));
    at = end;
  }
  return parser.scheme;
}

std::string to_string(const QuantScheme& scheme) {
  const TypeRow& type = row(scheme.type);
  std::string out(type.name);
  if (scheme.granularity == Granularity::tensor) out += ":tensor";
  const bool group_is_said = (type.parts & kGroup) != 0;
  if (scheme.granularity == Granularity::group && group_is_said)
    out += fmt::format(":g{}", scheme.group);
  if (scheme.asymmetric) out += ":asym";
  for (const ActivationRow& a : kActivationRows) {
    if (a.type == scheme.activations) out += fmt::format(":{}", a.name);
  }
  return out;
}

std::vector<std::string_view> scheme_examples() {
  return {"f32",           "f16",           "bf16",           "int8",          "int8:tensor",
          "int8:a8",       "int8:a8static", "int8:a8outlier", "int4:g128",     "int4:g16",
          "int4:g32:asym", "int4:g128:a8",  "int3:g16",       "int2:g16:asym", "ternary",
          "nf4:g64",       "fp4:g64",       "fp8_e4m3",       "fp8_e5m2",      "mxfp4",
          "nvfp4"};
}

QuantScheme storable_scheme(const QuantScheme& scheme, int64_t k) {
  // mxfp4 and nvfp4 are stored two codes a byte, and nothing says how many columns there are.
  const bool pairs = scheme.type == NumberType::mxfp4 || scheme.type == NumberType::nvfp4;
  if (k % scheme.group_size(k) == 0 && !(pairs && k % 2 != 0)) return scheme;
  QuantScheme out;
  out.type = NumberType::int8;
  out.activations = scheme.activations;
  return out;
}

}  // namespace nibble
