#include "nibble/text/load.h"

#include <fmt/format.h>

#include <filesystem>

#include "nibble/core/error.h"
#include "nibble/core/mapped_file.h"
#include "nibble/format/recognise.h"
#include "nibble/text/char_tokenizer.h"

namespace nibble {
namespace {

constexpr int64_t kMaxFile = int64_t{256} << 20;

// Runs `read` on a file's content; errors name the file.
template <class Read>
auto from_file(const std::string& path, int64_t limit, Read&& read) {
  const std::string content = read_file(path, limit);
  try {
    refuse_other_text(content, "a tokenizer");
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
                                  const TokenizerConfig& config) {
  parts.file = file;
  apply_config(config, parts);
  return std::make_unique<BpeTokenizer>(std::move(parts));
}

}  // namespace

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

  const TokenizerConfig config = read_tokenizer_config(base);
  if (there("tokenizer.json")) {
    const std::string file = at("tokenizer.json");
    return from_file(file, kMaxFile, [&](const std::string& json) -> std::unique_ptr<Tokenizer> {
      if (is_characters(json))
        return std::make_unique<CharTokenizer>(CharTokenizer::from_json(json));
      return finish(file, parse_tokenizer_json(json, config), config);
    });
  }
  if (there("vocab.json") || there("merges.txt")) {
    TokenTable tokens = from_file(at("vocab.json"), kMaxFile, parse_vocab);
    const std::string file = at("merges.txt");
    return from_file(file, kMaxFile, [&](const std::string& merges) {
      return finish(file, parse_merges(std::move(tokens), merges, config), config);
    });
  }
  if (there("tokenizer.model") || only.ends_with(".model")) {
    const std::string file = folder ? at("tokenizer.model") : path;
    return from_file(file, kMaxFile, [&](const std::string& content) {
      return finish(file, parse_sentencepiece(bytes_of(content), config), config);
    });
  }
  if (there("tokenizer.bin") || only.ends_with(".bin")) {
    const std::string file = folder ? at("tokenizer.bin") : path;
    return from_file(file, kMaxFile, [&](const std::string& content) {
      return finish(file, parse_llama2c_tokenizer(bytes_of(content)), config);
    });
  }
  throw not_found(
      "no tokenizer: expected tokenizer.json, vocab.json with merges.txt, "
      "tokenizer.model or tokenizer.bin")
      .in_file(path);
}

}  // namespace nibble
