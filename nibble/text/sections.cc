#include "nibble/text/sections.h"

#include <fmt/format.h>

#include <algorithm>

#include "nibble/core/error.h"
#include "nibble/core/utf8.h"
#include "nibble/text/utf8.h"

namespace nibble {
namespace {

[[noreturn]] void unknown_type(const JsonNode& node, std::string_view what) {
  throw node.at("type").not_supported(
      fmt::format("the {} {}", what, in_quotes(node.string("type"), 60)));
}

// {"String": "x"} or {"Regex": "x"}, as a pattern.
Regex read_pattern(const JsonNode& node) {
  node.only({"String", "Regex"});
  try {
    if (node.find("String") != nullptr) return Regex::literal(node.string("String"));
    return Regex(node.string("Regex"));
  } catch (Error& e) {
    throw std::move(e).at(fmt::format("key {}", in_quotes(node.path)));
  }
}

std::string read_character(const JsonNode& node, std::string_view name,
                           std::string_view otherwise) {
  std::string text = node.string_or(name, std::string(otherwise));
  if (text.empty() || utf8_length(text, 0) != text.size()) {
    throw node.at(name).wrong("a single character");
  }
  return text;
}

PrefixSpace read_prefix_scheme(const JsonNode& node) {
  const std::string scheme = node.string_or(
      "prepend_scheme", node.boolean_or("add_prefix_space", true) ? "always" : "never");
  if (scheme == "always") return PrefixSpace::always;
  if (scheme == "first") return PrefixSpace::first;
  if (scheme == "never") return PrefixSpace::never;
  throw node.at("prepend_scheme").not_supported(in_quotes(scheme));
}

SplitBehavior read_behavior(const JsonNode& node) {
  const std::string name = node.string("behavior");
  if (name == "Removed") return SplitBehavior::removed;
  if (name == "Isolated") return SplitBehavior::isolated;
  if (name == "MergedWithPrevious") return SplitBehavior::merged_with_previous;
  if (name == "MergedWithNext") return SplitBehavior::merged_with_next;
  if (name == "Contiguous") return SplitBehavior::contiguous;
  throw node.at("behavior").not_supported(in_quotes(name));
}

void read_byte_level(const JsonNode& node, BpeParts& parts) {
  node.only({"type", "add_prefix_space", "trim_offsets", "use_regex"});
  PreTokenizer& out = parts.pre_tokenizer;
  if (node.boolean_or("add_prefix_space", true)) {
    if (!out.splitters.empty() || !out.space.empty()) {
      throw node.not_supported("a prefix space behind another step");
    }
    out.prefix = PrefixSpace::always;
  }
  if (node.boolean_or("use_regex", true)) out.splitters.push_back({Regex(kGpt2Pattern)});
  parts.byte_level = true;
}

void read_metaspace(const JsonNode& node, BpeParts& parts) {
  node.only({"type", "replacement", "add_prefix_space", "prepend_scheme", "split", "str_rep"});
  PreTokenizer& out = parts.pre_tokenizer;
  if (!out.splitters.empty() || !out.space.empty()) {
    throw node.not_supported("Metaspace behind another step");
  }
  out.space = read_character(node, "replacement", "\u2581");
  out.prefix = read_prefix_scheme(node);
  if (node.boolean_or("split", true)) {
    out.splitters.push_back({Regex::literal(out.space), SplitBehavior::merged_with_next});
  }
}

}  // namespace

void read_added_token(const JsonNode& node, BpeParts& parts) {
  node.only({"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"});
  AddedToken token{.content = node.string("content"),
                   .single_word = node.boolean_or("single_word", false),
                   .lstrip = node.boolean_or("lstrip", false),
                   .rstrip = node.boolean_or("rstrip", false),
                   .special = node.boolean_or("special", false)};
  token.normalized = node.boolean_or("normalized", !token.special);
  const int64_t id = node.integer_at("id");
  try {
    parts.tokens.add_or_match(token.content, id);
  } catch (Error& e) {
    throw std::move(e).at(fmt::format("key {}", in_quotes(node.path)));
  }
  token.id = static_cast<int32_t>(id);
  parts.added.push_back(std::move(token));
}

void read_normalizer(const JsonNode& node, BpeParts& parts) {
  const std::string type = node.string("type");
  const auto add = [&](std::unique_ptr<Normalizer> step) {
    parts.normalizers.push_back(std::move(step));
  };
  if (type == "Sequence") {
    node.only({"type", "normalizers"});
    for (const JsonNode& step : node.elements("normalizers")) read_normalizer(step, parts);
  } else if (type == "NFC" || type == "NFD" || type == "NFKC" || type == "NFKD") {
    node.only({"type"});
    constexpr NormalForm kForms[] = {NormalForm::nfc, NormalForm::nfd, NormalForm::nfkc,
                                     NormalForm::nfkd};
    add(make_normal_form(kForms[(type.size() == 4 ? 2 : 0) + (type.back() == 'D' ? 1 : 0)]));
  } else if (type == "Lowercase") {
    node.only({"type"});
    add(make_lowercase());
  } else if (type == "Prepend") {
    node.only({"type", "prepend"});
    add(make_prepend(node.string("prepend")));
  } else if (type == "Strip") {
    node.only({"type", "strip_left", "strip_right"});
    add(make_strip(node.boolean_or("strip_left", true), node.boolean_or("strip_right", true)));
  } else if (type == "Replace") {
    node.only({"type", "pattern", "content"});
    const JsonNode& pattern = node.at("pattern");
    const std::string content = node.string("content");
    add(pattern.find("String") != nullptr ? make_replace(pattern.string("String"), content)
                                          : make_replace(read_pattern(pattern), content));
  } else {
    unknown_type(node, "normalizer");
  }
  if (parts.normalizers.size() > 64) throw node.not_supported("more than 64 steps");
}

void read_pre_tokenizer(const JsonNode& node, BpeParts& parts) {
  const std::string type = node.string("type");
  if (parts.byte_level) throw node.not_supported("a step behind ByteLevel");
  std::vector<Splitter>& splitters = parts.pre_tokenizer.splitters;
  if (type == "Sequence") {
    node.only({"type", "pretokenizers"});
    for (const JsonNode& step : node.elements("pretokenizers")) read_pre_tokenizer(step, parts);
  } else if (type == "ByteLevel") {
    read_byte_level(node, parts);
  } else if (type == "Metaspace") {
    read_metaspace(node, parts);
  } else if (type == "Split") {
    node.only({"type", "pattern", "behavior", "invert"});
    splitters.push_back(
        {read_pattern(node.at("pattern")), read_behavior(node), node.boolean_or("invert", false)});
  } else if (type == "Digits") {
    node.only({"type", "individual_digits"});
    const bool each = node.boolean_or("individual_digits", false);
    splitters.push_back(
        {Regex(R"(\p{N})"), each ? SplitBehavior::isolated : SplitBehavior::contiguous});
  } else {
    unknown_type(node, "pre-tokenizer");
  }
  if (splitters.size() > 16) throw node.not_supported("more than 16 steps");
}

void read_post_processor(const JsonNode& node, BpeParts& parts) {
  const std::string type = node.string("type");
  if (type == "ByteLevel") {
    node.only({"type", "add_prefix_space", "trim_offsets", "use_regex"});  // moves offsets only
  } else if (type == "Sequence") {
    node.only({"type", "processors"});
    for (const JsonNode& step : node.elements("processors")) read_post_processor(step, parts);
  } else if (type == "TemplateProcessing") {
    node.only({"type", "single", "pair", "special_tokens"});
    std::vector<int32_t> before, after;
    bool seen = false;
    for (const JsonNode& item : node.elements("single")) {
      item.only({"SpecialToken", "Sequence"});
      if (item.find("Sequence") != nullptr) {
        if (std::exchange(seen, true)) throw item.not_supported("the text twice");
        continue;
      }
      const std::string name = item.at("SpecialToken").string("id");
      for (const JsonNode& id : node.at("special_tokens").at(name).elements("ids")) {
        if (id.type != JsonNode::Type::integer) throw id.wrong("an id");
        if (id.integer < 0 || id.integer >= parts.tokens.size()) throw id.wrong("a token's id");
        if (before.size() + after.size() == 64) throw node.not_supported("more than 64 tokens");
        (seen ? after : before).push_back(static_cast<int32_t>(id.integer));
      }
    }
    if (!seen) throw node.at("single").wrong("a place for the text (Sequence)");
    if (!parts.before.empty() || !parts.after.empty())
      throw node.not_supported("a second template");
    parts.before = std::move(before), parts.after = std::move(after);
  } else {
    unknown_type(node, "post-processor");
  }
}

void read_decoder(const JsonNode& node, PieceDecoder& decoder) {
  const std::string type = node.string("type");
  if (type == "Sequence") {
    node.only({"type", "decoders"});
    bool fused = false;
    for (const JsonNode& step : node.elements("decoders")) {
      const std::string kind = step.string("type");
      if (kind == "Strip" && !fused) throw step.not_supported("Strip that is not behind Fuse");
      if (fused && kind != "Strip") throw step.not_supported("a step other than Strip behind Fuse");
      fused = fused || kind == "Fuse";
      read_decoder(step, decoder);
    }
  } else if (type == "ByteLevel") {
    node.only({"type", "add_prefix_space", "trim_offsets", "use_regex"});
    if (!decoder.replace.empty() || decoder.byte_fallback) {
      throw node.not_supported("ByteLevel behind another step");
    }
    decoder.byte_level = true;
  } else if (type == "Fuse") {
    node.only({"type"});
  } else if (type == "ByteFallback") {
    node.only({"type"});
    decoder.byte_fallback = true;
  } else if (type == "Replace") {
    node.only({"type", "pattern", "content"});
    if (decoder.byte_level || decoder.byte_fallback) {
      throw node.not_supported("Replace behind ByteLevel or ByteFallback");
    }
    node.at("pattern").only({"String"});
    decoder.replace.emplace_back(node.at("pattern").string("String"), node.string("content"));
    if (decoder.replace.back().first.empty()) throw node.at("pattern").wrong("a text");
    if (decoder.replace.size() > 8) throw node.not_supported("more than 8 replacements");
  } else if (type == "Metaspace") {
    node.only({"type", "replacement", "add_prefix_space", "prepend_scheme", "split", "str_rep"});
    decoder.strip = read_character(node, "replacement", "\u2581");
    decoder.strip_first_piece = read_prefix_scheme(node) != PrefixSpace::never;
    decoder.replace.emplace_back(decoder.strip, " ");
    if (decoder.strip_first_piece) decoder.strip.assign(1, ' ');
  } else if (type == "Strip") {
    node.only({"type", "content", "start", "stop"});
    if (node.integer_at("stop") != 0) throw node.at("stop").not_supported("stripping the end");
    decoder.strip = read_character(node, "content", "");
    const int64_t count = node.integer_at("start");
    if (count < 0 || count > 1024) throw node.at("start").wrong("0 to 1024 characters");
    decoder.strip_count = static_cast<int>(count);
  } else {
    unknown_type(node, "decoder");
  }
}

}  // namespace nibble
