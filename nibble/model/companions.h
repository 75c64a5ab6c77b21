// What comes with the weights of a model, wherever its format keeps it: tokenizer, chat template,
// settings, licence.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/text/chat_template.h"
#include "nibble/text/tokenizer.h"

namespace nibble {

class Companions {
 public:
  virtual ~Companions() = default;
  /// The same object each time; the first call may load it, and is not for several threads at once.
  /// Errors name the file, or where it was looked for.
  virtual std::shared_ptr<const Tokenizer> tokenizer() const = 0;
  /// Its chat templates; none of a model that is not for chats.
  virtual std::vector<NamedTemplate> chat_templates() const { return {}; }
  /// The one named "default"; nothing where there is none.
  std::optional<std::string> chat_template() const { return default_template(chat_templates()); }
  struct Text {
    std::string name;  ///< of the file, for messages
    std::string text;
  };
  /// What a Hugging Face folder has as config.json or generation_config.json; nothing where there
  /// is none.
  virtual std::optional<Text> settings(std::string_view /*file*/) const { return std::nullopt; }
  /// Copies what a new folder takes over of it. Returns a line for people for each file that was
  /// left out.
  virtual std::vector<std::string> carry(const std::string& /*to*/) const { return {}; }
};

/// The files of a Hugging Face folder.
std::shared_ptr<const Companions> of_folder(std::string folder);
/// Of a single file in that folder, beside which may lie anything: tokenizer, template and licence
/// are taken to be its own, settings are not.
std::shared_ptr<const Companions> of_file_in(std::string folder);
/// Of a model in memory.
std::shared_ptr<const Companions> tokenizer_alone(std::shared_ptr<const Tokenizer> tokenizer);

}  // namespace nibble
