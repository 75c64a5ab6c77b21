#include "nibble/text/load.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "nibble/core/error.h"
#include "nibble/core/mapped_file.h"
#include "nibble/text/char_tokenizer.h"
#include "nibble/text/json_tree.h"
#include "nibble/text/sections.h"

namespace nibble {
namespace {

constexpr int64_t kMaxFile = int64_t{256} << 20;
constexpr int64_t kMaxConfig = int64_t{16} << 20;

// A token of the config: a text, or an object with its content.
std::optional<std::string> token_of(const JsonNode& root, std::string_view name) {
  const JsonNode* node = root.find(name);
  if (node == nullptr) return std::nullopt;
  return node->type == JsonNode::Type::object ? node->string("content") : root.string(name);
}

std::optional<bool> flag_of(const JsonNode& root, std::string_view name) {
  if (root.find(name) == nullptr) return std::nullopt;
  return root.boolean_or(name, false);
}

AddedToken config_token(const JsonNode& node) {
  node.only({"content", "single_word", "lstrip", "rstrip", "normalized", "special"});
  AddedToken token{.content = node.string("content"),
                   .single_word = node.boolean_or("single_word", false),
                   .lstrip = node.boolean_or("lstrip", false),
                   .rstrip = node.boolean_or("rstrip", false),
                   .special = node.boolean_or("special", false)};
  token.normalized = node.boolean_or("normalized", !token.special);
  if (node.key.empty() || node.key.size() > 9 ||
      node.key.find_first_not_of("0123456789") != std::string::npos) {
    throw node.wrong("an id as its key");
  }
  token.id = static_cast<int32_t>(std::stol(node.key));
  return token;
}

int32_t id_of(const TokenTable& tokens, const std::string& text, std::string_view key) {
  const int32_t id = tokens.find(text);
  if (id >= 0) return id;
  throw corrupt(fmt::format("{} is not in the vocabulary", in_quotes(text)))
      .at(fmt::format("key {}", in_quotes(key)));
}

// Adds or takes away a token at the edge of the template, as the config's flag says.
void set_edge(const std::optional<bool>& wanted, const std::optional<int32_t>& token,
              std::string_view flag, std::vector<int32_t>& ids) {
  if (!wanted) return;
  if (*wanted && !token) {
    throw corrupt("true, but no such token is named").at(fmt::format("key {}", in_quotes(flag)));
  }
  if (!token) return;
  const bool there = std::find(ids.begin(), ids.end(), *token) != ids.end();
  if (*wanted && !there) ids.push_back(*token);
  if (!*wanted) std::erase(ids, *token);
}

// Runs `read` on a file's content; errors name the file.
template <class Read>
auto from_file(const std::string& path, int64_t limit, Read&& read) {
  const std::string content = read_file(path, limit);
  try {
    return read(content);
  } catch (Error& e) {
    throw std::move(e).in_file(path);
  }
}

std::span<const std::byte> bytes_of(const std::string& content) {
  return std::as_bytes(std::span(content));
}

// Tells nibble's own file by its type, without looking further.
bool is_characters(std::string_view json) {
  return json.substr(0, 4096).find("\"nibble.characters\"") != std::string_view::npos;
}

std::unique_ptr<Tokenizer> finish(const std::string& file, BpeParts parts,
                                  const TokenizerConfig& config, const std::string& config_path) {
  parts.file = file;
  try {
    apply_config(config, parts);
  } catch (Error& e) {
    throw std::move(e).in_file(config_path);
  }
  return std::make_unique<BpeTokenizer>(std::move(parts));
}

}  // namespace

TokenizerConfig parse_tokenizer_config(std::string_view json) {
  JsonTreeBuilder builder;
  parse_json(json, builder);
  const JsonNode& root = builder.root;
  TokenizerConfig config;
  config.tokenizer_class = root.string_or("tokenizer_class", "");
  config.bos = token_of(root, "bos_token");
  config.eos = token_of(root, "eos_token");
  config.unknown = token_of(root, "unk_token");
  config.add_bos = flag_of(root, "add_bos_token");
  config.add_eos = flag_of(root, "add_eos_token");
  if (const JsonNode* added = root.find("added_tokens_decoder")) {
    if (added->type != JsonNode::Type::object) throw added->wrong("an object");
    for (const JsonNode& node : added->children) config.added.push_back(config_token(node));
  }
  return config;
}

void apply_config(const TokenizerConfig& config, BpeParts& parts) {
  for (const AddedToken& token : config.added) {
    const auto same = [&](const AddedToken& known) { return known.id == token.id; };
    parts.tokens.add_or_match(token.content, token.id);
    if (std::none_of(parts.added.begin(), parts.added.end(), same)) parts.added.push_back(token);
  }
  parts.tokens.check_complete();
  if (config.bos) parts.bos = id_of(parts.tokens, *config.bos, "bos_token");
  if (config.eos) parts.eos = id_of(parts.tokens, *config.eos, "eos_token");
  set_edge(config.add_bos, parts.bos, "add_bos_token", parts.before);
  set_edge(config.add_eos, parts.eos, "add_eos_token", parts.after);
  for (const auto id : {parts.bos, parts.eos}) {
    if (id) parts.special_ids.push_back(*id);
  }
}

std::unique_ptr<Tokenizer> load_tokenizer(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  const bool folder = fs::is_directory(path, ignored);
  const fs::path base = folder ? fs::path(path) : fs::path(path).parent_path();
  const std::string only = folder ? "" : fs::path(path).filename().string();
  const auto there = [&](const char* name) {
    if (!folder) return only == name;
    return fs::exists(base / name, ignored);
  };
  const auto at = [&](const char* name) { return (base / name).string(); };

  const std::string config_path = at("tokenizer_config.json");
  TokenizerConfig config;
  if (fs::exists(config_path, ignored)) {
    config = from_file(config_path, kMaxConfig, parse_tokenizer_config);
  }
  if (there("tokenizer.json")) {
    const std::string file = at("tokenizer.json");
    return from_file(file, kMaxFile, [&](const std::string& json) -> std::unique_ptr<Tokenizer> {
      if (is_characters(json))
        return std::make_unique<CharTokenizer>(CharTokenizer::from_json(json));
      return finish(file, parse_tokenizer_json(json), config, config_path);
    });
  }
  if (there("vocab.json") || there("merges.txt")) {
    TokenTable tokens = from_file(at("vocab.json"), kMaxFile, parse_vocab);
    const std::string file = at("merges.txt");
    return from_file(file, kMaxFile, [&](const std::string& merges) {
      return finish(file, parse_merges(std::move(tokens), merges, config), config, config_path);
    });
  }
  if (there("tokenizer.model") || only.ends_with(".model")) {
    const std::string file = folder ? at("tokenizer.model") : path;
    return from_file(file, kMaxFile, [&](const std::string& content) {
      return finish(file, parse_sentencepiece(bytes_of(content)), config, config_path);
    });
  }
  if (there("tokenizer.bin") || only.ends_with(".bin")) {
    const std::string file = folder ? at("tokenizer.bin") : path;
    return from_file(file, kMaxFile, [&](const std::string& content) {
      return finish(file, parse_llama2c_tokenizer(bytes_of(content)), config, config_path);
    });
  }
  throw not_found(
      "no tokenizer: expected tokenizer.json, vocab.json with merges.txt, "
      "tokenizer.model or tokenizer.bin")
      .in_file(path);
}

}  // namespace nibble
