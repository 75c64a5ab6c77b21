#include "nibble/quant/scheme.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "nibble/core/error.h"
#include "nibble/quant/number.h"

namespace nibble {
namespace {

constexpr int64_t kLargestGroup = int64_t{1} << 30;

struct Alias {
  std::string_view name, stands_for;
};
constexpr Alias kAliases[] = {{"fp32", "f32"}, {"fp16", "f16"}};

struct ActivationRow {
  ActivationType type;
  std::string_view name;
  unsigned part;
};
constexpr ActivationRow kActivationRows[] = {
    {ActivationType::a8, "a8", kA8Part},
    {ActivationType::a8_full, "a8full", kA8FullPart},
    {ActivationType::a8_static, "a8static", kA8StaticPart},
    {ActivationType::a8_outlier, "a8outlier", kA8OutlierPart},
    {ActivationType::afp8, "afp8", kAfp8Part},
};

std::string allowed_after(const NumberTraits& type) {
  std::vector<std::string_view> words;
  if ((type.parts & kTensorPart) != 0) words.push_back("tensor");
  if ((type.parts & kChannelPart) != 0) words.push_back("channel");
  if ((type.parts & kGroupPart) != 0) words.push_back("gN");
  if ((type.parts & kAsymPart) != 0) words.push_back("asym");
  for (const ActivationRow& a : kActivationRows) {
    if ((type.parts & a.part) != 0) words.push_back(a.name);
  }
  return words.empty() ? "nothing" : fmt::format("{}", fmt::join(words, ", "));
}

Error bad(std::string_view text, std::string reason) {
  return invalid_argument(fmt::format("{}: {}", in_quotes(text), reason)).at("scheme");
}

const NamedNumber& parse_type(std::string_view word, std::string_view text) {
  for (const Alias& a : kAliases) {
    if (a.name == word) word = a.stands_for;
  }
  if (const NamedNumber* found = find_number(word)) return *found;
  std::vector<std::string_view> names;
  for (const NamedNumber& n : numbers()) {
    if (!n.traits.only_read) names.push_back(n.traits.name);
  }
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
  const NumberTraits& type;
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
    if (word == "tensor") return granularity(Granularity::tensor, kTensorPart, word);
    if (word == "channel") return granularity(Granularity::channel, kChannelPart, word);
    if (const auto group = parse_group(word)) {
      granularity(Granularity::group, kGroupPart, word);
      scheme.group = *group;
      return;
    }
    if (word == "asym") {
      take(kAsymPart, 2, word);
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

QuantScheme defaults(const NamedNumber& type) {
  QuantScheme s;
  s.type = type.type;
  s.group = type.traits.default_group;
  s.granularity = s.group == 0 ? Granularity::channel : Granularity::group;
  return s;
}

}  // namespace

int QuantScheme::bits() const { return number(type).bits; }
bool QuantScheme::is_integer() const { return number(type).kind == NumberKind::integers; }
bool QuantScheme::is_float() const { return number(type).kind == NumberKind::floats; }
bool QuantScheme::has_codebook() const { return number(type).table != nullptr; }
bool QuantScheme::has_int8_activations() const {
  return activations != ActivationType::none && activations != ActivationType::afp8;
}

int64_t QuantScheme::group_size(int64_t k) const {
  return granularity == Granularity::group ? std::min(group, k) : k;
}

QuantScheme parse_scheme(std::string_view text) {
  const QuantScheme out = parse_any_scheme(text);
  require_makeable(out);
  return out;
}

QuantScheme parse_any_scheme(std::string_view text) {
  const size_t first = std::min(text.find(':'), text.size());
  const NamedNumber& type = parse_type(text.substr(0, first), text);
  Parser parser{text, type.traits, defaults(type)};
  for (size_t at = first; at < text.size();) {
    const size_t end = std::min(text.find(':', at + 1), text.size());
    parser.part(text.substr(at + 1, end - at - 1));
    at = end;
  }
  return parser.scheme;
}

std::string to_string(const QuantScheme& scheme) {
  const NumberTraits& type = number(scheme);
  std::string out(type.name);
  if (scheme.granularity == Granularity::tensor) out += ":tensor";
  const bool group_is_said = (type.parts & kGroupPart) != 0;
  if (scheme.granularity == Granularity::group && group_is_said)
    out += fmt::format(":g{}", scheme.group);
  if (scheme.asymmetric) out += ":asym";
  for (const ActivationRow& a : kActivationRows) {
    if (a.type == scheme.activations) out += fmt::format(":{}", a.name);
  }
  return out;
}

std::vector<std::string_view> scheme_examples() {
  std::vector<const NumberTraits*> by_bits;
  for (const NamedNumber& n : numbers()) by_bits.push_back(&n.traits);
  const auto wider = [](const NumberTraits* a, const NumberTraits* b) { return a->bits > b->bits; };
  std::stable_sort(by_bits.begin(), by_bits.end(), wider);
  std::vector<std::string_view> out;
  for (const NumberTraits* n : by_bits)
    out.insert(out.end(), n->examples.begin(), n->examples.end());
  return out;
}

QuantScheme storable_scheme(const QuantScheme& scheme, int64_t k) {
  const std::string_view ragged = number(scheme).ragged;
  if (!ragged.empty() && k % kSuperBlock != 0) {
    QuantScheme out = parse_scheme(ragged);
    out.activations = scheme.activations;
    return storable_scheme(out, k);
  }
  const bool half_a_byte = number(scheme).even_columns && k % 2 != 0;
  if (k % scheme.group_size(k) == 0 && !half_a_byte) return scheme;
  QuantScheme out;
  out.type = NumberType::int8;
  out.activations = scheme.activations;
  return out;
}

}  // namespace nibble
