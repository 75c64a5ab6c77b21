#include "nibble/model/companions.h"

#include <filesystem>
#include <utility>

#include "nibble/core/error.h"
#include "nibble/core/files.h"
#include "nibble/model/carry_over.h"
#include "nibble/text/chat_template.h"

namespace nibble {
namespace {

constexpr int64_t kLongestSettings = 1 << 20;

class FolderCompanions : public Companions {
 public:
  FolderCompanions(std::string folder, bool has_settings)
      : folder_(std::move(folder)), has_settings_(has_settings) {}

  std::shared_ptr<const Tokenizer> tokenizer() const override {
    if (tokenizer_ == nullptr) tokenizer_ = load_tokenizer(folder_);
    return tokenizer_;
  }
  std::vector<NamedTemplate> chat_templates() const override {
    return read_chat_templates(folder_);
  }
  std::optional<Text> settings(std::string_view file) const override {
    const std::string path = folder_ + "/" + std::string(file);
    std::error_code ignored;
    if (!has_settings_ || !std::filesystem::exists(path, ignored)) return std::nullopt;
    return Text{path, read_file(path, kLongestSettings)};
  }
  std::vector<std::string> carry(const std::string& to) const override {
    return carry_files(folder_, to);
  }

 private:
  std::string folder_;
  bool has_settings_;
  mutable std::shared_ptr<const Tokenizer> tokenizer_;
};

class TokenizerAlone : public Companions {
 public:
  explicit TokenizerAlone(std::shared_ptr<const Tokenizer> tokenizer)
      : tokenizer_(std::move(tokenizer)) {}
  std::shared_ptr<const Tokenizer> tokenizer() const override { return tokenizer_; }

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
};

}  // namespace

std::shared_ptr<const Companions> of_folder(std::string folder) {
  return std::make_shared<FolderCompanions>(std::move(folder), true);
}

std::shared_ptr<const Companions> of_file_in(std::string folder) {
  return std::make_shared<FolderCompanions>(std::move(folder), false);
}

std::shared_ptr<const Companions> tokenizer_alone(std::shared_ptr<const Tokenizer> tokenizer) {
  return std::make_shared<TokenizerAlone>(std::move(tokenizer));
}

}  // namespace nibble
