#include "nibble/text/chat_template.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>

#include "nibble/core/error.h"
#include "nibble/core/in_file.h"
#include "nibble/core/mapped_file.h"
#include "nibble/text/added_tokens.h"
#include "nibble/text/bpe_tokenizer.h"
#include "nibble/text/chat_formats.h"
#include "nibble/text/json_tree.h"

namespace nibble {
namespace {

constexpr int64_t kMaxTemplateFile = int64_t{16} << 20;
constexpr std::string_view kDefault = "default";

// "chat_template" of a file: a text, or a list of named ones.
std::vector<NamedTemplate> templates_in(const JsonNode& root) {
  const JsonNode* node = root.find("chat_template");
  if (node == nullptr) return {};
  if (node->type == JsonNode::Type::string) return {{std::string(kDefault), node->text}};
  if (node->type != JsonNode::Type::array) throw node->wrong("a string or a list of templates");
  std::vector<NamedTemplate> out;
  for (const JsonNode& one : node->children)
    out.push_back({one.string("name"), one.string("template")});
  return out;
}

std::vector<NamedTemplate> templates_in_file(const std::string& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return {};
  return naming_file(path, [&] {
    JsonTreeBuilder builder;
    parse_json(read_file(path, kMaxTemplateFile), builder);
    return templates_in(builder.root);
  });
}

// Those in files of their own, by their names.
void add_files(const std::string& folder, std::vector<NamedTemplate>& out) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    if (entry.path().extension() == ".jinja") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  for (const fs::path& file : files) {
    const std::string name = file.stem().string();
    std::erase_if(out, [&](const NamedTemplate& t) { return t.name == name; });
    out.push_back({name, read_file(file.string(), kMaxTemplateFile)});
  }
}

void name_token(const std::string& key, const std::string& text,
                std::vector<TemplateVariable>& out) {
  const auto found = std::find_if(out.begin(), out.end(),
                                  [&](const TemplateVariable& v) { return v.name == key; });
  if (key != "additional_special_tokens" && key != "extra_special_tokens") {
    if (found == out.end()) out.push_back({key, json_text_node(text), false});
    return;
  }
  TemplateVariable& list = found == out.end() ? out.emplace_back() : *found;
  list.name = key;
  list.people = false;
  list.value.type = JsonNode::Type::array;
  list.value.children.push_back(json_text_node(text));
}

// Its special tokens by the names that transformers gives them.
std::vector<TemplateVariable> token_variables(const Tokenizer& tokenizer) {
  std::vector<TemplateVariable> out;
  if (const auto bos = tokenizer.bos()) name_token("bos_token", tokenizer.token_text(*bos), out);
  if (const auto eos = tokenizer.eos()) name_token("eos_token", tokenizer.token_text(*eos), out);
  const BpeParts* parts = tokenizer.bpe_parts();
  if (parts == nullptr) return out;
  for (const auto& [key, text] : parts->named_tokens) name_token(key, text, out);
  if (parts->unknown) name_token("unk_token", tokenizer.token_text(*parts->unknown), out);
  return out;
}

// The longest token that a text begins with.
std::optional<int32_t> token_at(const Tokenizer& tokenizer, std::string_view text) {
  for (size_t n = std::min(text.size(), kMaxAddedContent); n > 0; --n) {
    if (const auto id = tokenizer.added_token(text.substr(0, n))) return id;
  }
  return std::nullopt;
}

}  // namespace

std::vector<NamedTemplate> read_chat_templates(const std::string& folder) {
  std::error_code ignored;
  const std::string jinja = folder + "/chat_template.jinja";
  std::vector<NamedTemplate> out;
  if (std::filesystem::exists(jinja, ignored))
    out.push_back({std::string(kDefault), read_file(jinja, kMaxTemplateFile)});
  for (const char* file : {"/tokenizer_config.json", "/chat_template.json"}) {
    if (out.empty()) out = templates_in_file(folder + file);
  }
  add_files(folder + "/additional_chat_templates", out);
  return out;
}

std::optional<std::string> default_template(const std::vector<NamedTemplate>& templates) {
  for (const NamedTemplate& t : templates) {
    if (t.name == kDefault) return t.source;
  }
  return std::nullopt;
}

const std::string& choose_template(const std::vector<NamedTemplate>& templates, bool tools) {
  const std::string_view wanted[] = {tools ? "tool_use" : kDefault, kDefault};
  for (const std::string_view name : wanted) {
    for (const NamedTemplate& t : templates) {
      if (t.name == name) return t.source;
    }
  }
  const std::string names = fmt::format("{}", fmt::join(chat_format_names(), ", "));
  throw unsupported(
      fmt::format("no chat template (chat_template.jinja, or chat_template in "
                  "tokenizer_config.json{}): is this "
                  "a chat model? `chat_format` names one of {}",
                  templates.empty() ? "" : ": there is none named default", names));
}

ChatTemplate::ChatTemplate(std::string_view source, const Tokenizer& tokenizer, const std::tm& now)
    : program_(ChatProgram::parse(source)), tokens_(token_variables(tokenizer)), now_(now) {}

std::vector<TemplateText> ChatTemplate::render(const Conversation& conversation) const {
  std::vector<TemplateVariable> all = tokens_;
  const auto& own = conversation.variables();
  all.insert(all.end(), own.begin(), own.end());
  return program_.render(all, now_);
}

// What stands behind an answer. A template that refuses so short a conversation names none.
std::optional<int32_t> ChatTemplate::answer_end(const Tokenizer& tokenizer) const {
  constexpr std::string_view kAnswer = "Answer";
  Conversation short_one;
  short_one.add("user", "Question");
  short_one.add("assistant", kAnswer);
  try {
    const auto made = render(short_one.beginning(2, false));
    for (size_t i = made.size(); i-- > 0;) {
      if (!made[i].people || !made[i].text.ends_with(kAnswer)) continue;
      return i + 1 < made.size() ? token_at(tokenizer, made[i + 1].text) : std::nullopt;
    }
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::corrupt) throw;
  }
  return std::nullopt;
}

std::vector<TextPart> text_parts(const std::vector<TemplateText>& made) {
  std::vector<TextPart> out;
  for (const TemplateText& one : made) {
    if (!out.empty() && out.back().literal == one.people)
      out.back().text += one.text;
    else
      out.push_back({one.text, one.people, -1});
  }
  return out;
}

std::string whole_text(const std::vector<TemplateText>& made) {
  std::string out;
  for (const TemplateText& one : made) out += one.text;
  return out;
}

std::vector<int32_t> answer_ends(const ChatTemplate& chat, const Tokenizer& tokenizer) {
  std::vector<int32_t> out = tokenizer.ends();
  const auto end = chat.answer_end(tokenizer);
  if (end && std::find(out.begin(), out.end(), *end) == out.end()) out.push_back(*end);
  return out;
}

}  // namespace nibble
