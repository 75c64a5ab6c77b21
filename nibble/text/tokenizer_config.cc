#include "nibble/text/tokenizer_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "nibble/core/in_file.h"
#include "nibble/core/mapped_file.h"
#include "nibble/format/recognise.h"
#include "nibble/text/json_tree.h"

namespace nibble {
namespace {

constexpr int64_t kMaxConfig = int64_t{16} << 20;
// transformers' names of special tokens.
constexpr std::array<std::string_view, 9> kNames = {
    "bos_token",           "eos_token", "unk_token",  "pad_token",
    "sep_token",           "cls_token", "mask_token", "additional_special_tokens",
    "extra_special_tokens"};

JsonNode tree_of(std::string_view json) {
  JsonTreeBuilder builder;
  parse_json(json, builder);
  return std::move(builder.root);
}

std::optional<bool> flag_of(const JsonNode& root, std::string_view name) {
  if (root.find(name) == nullptr) return std::nullopt;
  return root.boolean_or(name, false);
}

AddedToken token_with_flags(const JsonNode& node) {
  node.only({"__type", "content", "single_word", "lstrip", "rstrip", "normalized", "special"});
  AddedToken token{.content = node.string("content"),
                   .single_word = node.boolean_or("single_word", false),
                   .lstrip = node.boolean_or("lstrip", false),
                   .rstrip = node.boolean_or("rstrip", false),
                   .special = node.boolean_or("special", false)};
  token.normalized = node.boolean_or("normalized", !token.special);
  return token;
}

// Of "added_tokens_decoder": the id is the key.
AddedToken listed_token(const JsonNode& node) {
  AddedToken token = token_with_flags(node);
  if (node.key.empty() || node.key.size() > 9 ||
      node.key.find_first_not_of("0123456789") != std::string::npos) {
    throw node.wrong("an id as its key");
  }
  token.id = static_cast<int32_t>(std::stol(node.key));
  return token;
}

// A text, an object with its content, or several of them.
void read_named(const JsonNode& node, std::string_view key, const std::string& file,
                std::vector<NamedToken>& out) {
  AddedToken token;
  if (node.type == JsonNode::Type::string) {
    token.content = node.text;
    token.normalized = false;
  } else if (node.type == JsonNode::Type::object && node.find("content") != nullptr) {
    token = token_with_flags(node);
  } else if (node.type == JsonNode::Type::array || node.type == JsonNode::Type::object) {
    for (const JsonNode& one : node.children) read_named(one, key, file, out);
    return;
  } else {
    throw node.wrong("a token");
  }
  token.special = true;
  out.push_back({std::string(key), std::move(token), file, false});
}

std::vector<NamedToken> read_all_named(const JsonNode& root, const std::string& file) {
  std::vector<NamedToken> out;
  for (const std::string_view key : kNames) {
    if (const JsonNode* node = root.find(key)) read_named(*node, key, file, out);
  }
  return out;
}

void refuse_what_is_not_done(const JsonNode& root) {
  for (const char* key : {"split_special_tokens", "fix_mistral_regex"}) {
    if (root.boolean_or(key, false)) throw root.at(key).not_supported("this setting");
  }
  if (const JsonNode* settings = root.find("sp_model_kwargs")) {
    settings->only({});
  }
}

// The id of the token that is named so; nothing where there is none, or where a file that another
// one overrules names something else than a token.
std::optional<int32_t> id_of(const TokenizerConfig& config, std::string_view key,
                             const TokenTable& tokens) {
  const NamedToken* named = config.find(key);
  if (named == nullptr) return std::nullopt;
  const int32_t id = tokens.find(named->token.content);
  if (id >= 0) return id;
  if (named->overruled) return std::nullopt;
  throw corrupt(fmt::format("{} is not in the vocabulary", in_quotes(named->token.content)))
      .in_file(named->file)
      .at("key " + in_quotes(named->key));
}

// Adds or takes away a token at the edge of the template, as the config's flag says.
void set_edge(const std::optional<bool>& wanted, const std::optional<int32_t>& token,
              std::string_view flag, std::vector<int32_t>& ids) {
  if (!wanted) return;
  if (*wanted && !token) {
    throw corrupt("true, but no such token is named").at("key " + in_quotes(flag));
  }
  if (!token) return;
  const bool there = std::find(ids.begin(), ids.end(), *token) != ids.end();
  if (*wanted && !there) ids.push_back(*token);
  if (!*wanted) std::erase(ids, *token);
}

// The ids of `parts.added`.
std::vector<bool> added_ids(const BpeParts& parts) {
  std::vector<bool> out(static_cast<size_t>(kMaxTokens));
  for (const AddedToken& token : parts.added) out[static_cast<size_t>(token.id)] = true;
  return out;
}

void add_token(AddedToken token, std::vector<bool>& there, BpeParts& parts) {
  const auto id = static_cast<size_t>(token.id);
  if (there[id]) return;
  there[id] = true;
  // SentencePiece normalizes what lies between added tokens, not them.
  if (!parts.normalize_added) token.normalized = false;
  parts.added.push_back(std::move(token));
}

void apply_added(const TokenizerConfig& config, std::vector<bool>& there, BpeParts& parts) {
  naming_file(config.added_file, [&] {
    for (const AddedToken& token : config.added) {
      parts.tokens.add_or_match(token.content, token.id);
      add_token(token, there, parts);
    }
    parts.tokens.check_complete();
  });
}

// A token that is named and has no id stays text.
void apply_named(const TokenizerConfig& config, std::vector<bool>& there, BpeParts& parts) {
  for (const NamedToken& named : config.named) {
    if (!named.overruled) parts.named_tokens.emplace_back(named.key, named.token.content);
    AddedToken token = named.token;
    token.id = parts.tokens.find(token.content);
    if (token.id < 0) continue;
    if (named.key == "eos_token") parts.ends.push_back(token.id);
    if (named.overruled) continue;
    parts.special_ids.push_back(token.id);
    add_token(std::move(token), there, parts);
  }
}

}  // namespace

const NamedToken* TokenizerConfig::find(std::string_view key) const {
  const auto found = std::find_if(named.begin(), named.end(),
                                  [&](const NamedToken& token) { return token.key == key; });
  return found == named.end() ? nullptr : &*found;
}

Error TokenizerConfig::not_supported(std::string_view key, std::string_view what) const {
  return unsupported(fmt::format("{} is not supported", what))
      .in_file(file)
      .at("key " + in_quotes(key));
}

TokenizerConfig parse_tokenizer_config(std::string_view json, std::string file) {
  const JsonNode root = tree_of(json);
  refuse_what_is_not_done(root);
  TokenizerConfig config;
  config.tokenizer_class = root.string_or("tokenizer_class", "");
  config.named = read_all_named(root, file);
  config.add_bos = flag_of(root, "add_bos_token");
  config.add_eos = flag_of(root, "add_eos_token");
  config.add_prefix_space = flag_of(root, "add_prefix_space");
  config.legacy = root.boolean_or("legacy", false);
  if (const JsonNode* added = root.find("added_tokens_decoder")) {
    if (added->type != JsonNode::Type::object) throw added->wrong("an object");
    config.lists_added = true;
    config.added_file = file;
    for (const JsonNode& node : added->children) config.added.push_back(listed_token(node));
  }
  config.file = std::move(file);
  return config;
}

void parse_special_tokens_map(std::string_view json, const std::string& file,
                              TokenizerConfig& config) {
  std::vector<NamedToken> named = read_all_named(tree_of(json), file);
  for (NamedToken& token : config.lists_added ? named : config.named) {
    const auto same = [&](const NamedToken& other) { return other.key == token.key; };
    token.overruled = config.lists_added || std::any_of(named.begin(), named.end(), same);
  }
  config.named.insert(config.lists_added ? config.named.end() : config.named.begin(), named.begin(),
                      named.end());
}

void parse_added_tokens(std::string_view json, const std::string& file, TokenizerConfig& config) {
  if (config.lists_added) return;
  const JsonNode root = tree_of(json);
  if (root.type != JsonNode::Type::object) throw root.wrong("an object of tokens and their ids");
  std::set<std::string_view> named;
  for (const NamedToken& token : config.named) {
    if (!token.overruled) named.insert(token.token.content);
  }
  for (const JsonNode& node : root.children) {
    if (node.type != JsonNode::Type::integer) throw node.wrong("an id");
    if (node.integer < 0 || node.integer >= kMaxTokens) throw node.wrong("a token's id");
    const bool special = named.contains(node.key);
    config.added.push_back({.content = node.key,
                            .id = static_cast<int32_t>(node.integer),
                            .normalized = !special,
                            .special = special});
  }
  config.added_file = file;
}

TokenizerConfig read_tokenizer_config(const std::filesystem::path& folder) {
  TokenizerConfig config;
  const auto read = [&](const char* name, auto parse) {
    const std::string file = (folder / name).string();
    std::error_code ignored;
    if (!std::filesystem::exists(file, ignored)) return;
    naming_file(file, [&] {
      const std::string json = read_file(file, kMaxConfig);
      refuse_other_text(json, "what belongs to a tokenizer");
      parse(json, file);
    });
  };
  read("tokenizer_config.json", [&](const std::string& json, const std::string& file) {
    config = parse_tokenizer_config(json, file);
  });
  read("special_tokens_map.json", [&](const std::string& json, const std::string& file) {
    parse_special_tokens_map(json, file, config);
  });
  read("added_tokens.json", [&](const std::string& json, const std::string& file) {
    parse_added_tokens(json, file, config);
  });
  return config;
}

void apply_config(const TokenizerConfig& config, BpeParts& parts) {
  std::vector<bool> there = added_ids(parts);
  apply_added(config, there, parts);
  if (const auto bos = id_of(config, "bos_token", parts.tokens)) {
    if (parts.bos) std::replace(parts.before.begin(), parts.before.end(), *parts.bos, *bos);
    parts.bos = bos;
  }
  if (parts.eos) parts.ends.push_back(*parts.eos);
  if (const auto eos = id_of(config, "eos_token", parts.tokens)) parts.eos = eos;
  apply_named(config, there, parts);
  naming_file(config.file, [&] {
    set_edge(config.add_bos, parts.bos, "add_bos_token", parts.before);
    set_edge(config.add_eos, parts.eos, "add_eos_token", parts.after);
  });
  for (const auto id : {parts.bos, parts.eos}) {
    if (id) parts.special_ids.push_back(*id);
  }
}

}  // namespace nibble
