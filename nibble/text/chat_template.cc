#include "nibble/text/chat_template.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <ctime>
#include <filesystem>

#include "nibble/core/error.h"
#include "nibble/core/in_file.h"
#include "nibble/core/mapped_file.h"
#include "nibble/text/json_tree.h"
#include "nibble/text/template_shape.h"
#include "nibble/text/utf8.h"

namespace nibble {
namespace {

constexpr size_t kLongestTemplate = 64 << 10;
constexpr int64_t kMaxTemplate = int64_t{16} << 20;

constexpr std::string_view kImSystem = "<|im_start|>system\n{system}<|im_end|>\n";
constexpr std::string_view kImTurn = "<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n";
constexpr std::string_view kImThink =
    "<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n<think>\n";
constexpr std::string_view kImEnd = "<|im_end|>";
constexpr std::string_view kLlama3Turn =
    "<|start_header_id|>user<|end_header_id|>\n\n{text:trim}<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n";

constexpr ChatFormat kFormats[] = {
    {"chatml", "", kImSystem, kImTurn, {}, kImEnd},
    {"chatml-bos", "{bos}", kImSystem, kImTurn, {}, kImEnd},
    {"qwen1.5", "", kImSystem, kImTurn, {}, kImEnd, "You are a helpful assistant"},
    {"qwen2", "", kImSystem, kImTurn, {}, kImEnd, "You are a helpful assistant."},
    {"qwen2.5",
     "",
     kImSystem,
     kImTurn,
     {},
     kImEnd,
     "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."},
    {"qwen-thinking", "", kImSystem, kImThink, {}, kImEnd},
    {"smollm2",
     "",
     kImSystem,
     kImTurn,
     {},
     kImEnd,
     "You are a helpful AI assistant named SmolLM, trained by Hugging Face"},
    {"llama-2", "{bos}", "", "[INST] {text:trim} [/INST]",
     "[INST] <<SYS>>\n{system}\n<</SYS>>\n\n{text:rtrim} [/INST]"},
    {"llama-3",
     "{bos}",
     "<|start_header_id|>system<|end_header_id|>\n\n{system:trim}<|eot_id|>",
     kLlama3Turn,
     {},
     "<|eot_id|>"},
    {"llama-3.1",
     "{bos}",
     "<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n"
     "Today Date: 26 Jul 2024\n\n{system:trim}<|eot_id|>",
     kLlama3Turn,
     {},
     "<|eot_id|>",
     ""},
    {"llama-3.2",
     "{bos}",
     "<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n"
     "Today Date: {date}\n\n{system:trim}<|eot_id|>",
     kLlama3Turn,
     {},
     "<|eot_id|>",
     ""},
    {"mistral", "{bos}", "", "[INST] {text} [/INST]"},
    {"mistral-v3", "{bos}", "", "[INST] {text}[/INST]", "[INST] {system}\n\n{text}[/INST]"},
    {"mistral-nemo", "{bos}", "", "[INST]{text}[/INST]", "[INST]{system}\n\n{text}[/INST]"},
    {"mistral-small", "{bos}", "[SYSTEM_PROMPT]{system}[/SYSTEM_PROMPT]", "[INST]{text}[/INST]"},
    {"zephyr", "", "<|system|>\n{system}{eos}\n", "<|user|>\n{text}{eos}\n<|assistant|>\n"},
    {"tulu", "", "<|system|>\n{system}\n", "<|user|>\n{text}\n<|assistant|>\n"},
};

struct KnownTemplate {
  uint64_t fingerprint;
  std::string_view format;
};
constexpr KnownTemplate kKnown[] = {
#define NIBBLE_CHAT_TEMPLATE(fingerprint, format) {fingerprint, format},
#include "nibble/text/chat_templates.inc"
#undef NIBBLE_CHAT_TEMPLATE
};

const ChatFormat* find_format(std::string_view name) {
  const auto* const found = std::find_if(std::begin(kFormats), std::end(kFormats),
                                         [&](const ChatFormat& f) { return f.name == name; });
  return found == std::end(kFormats) ? nullptr : found;
}

// What Python's str.strip() takes off.
bool is_python_space(char32_t c) {
  return c == ' ' || (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x1F) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

std::string_view trimmed(std::string_view text, bool left) {
  size_t begin = text.size(), end = 0;
  for (std::string_view rest = text; !rest.empty();) {
    const size_t at = text.size() - rest.size();
    if (is_python_space(take_code_point(rest, text))) continue;
    begin = std::min(begin, at);
    end = text.size() - rest.size();
  }
  if (!left) begin = 0;
  return text.substr(std::min(begin, end), end - std::min(begin, end));
}

// A pattern with its names replaced, appended part by part.
class Filler {
 public:
  Filler(const Tokenizer& tokenizer, std::string_view format, std::string_view user,
         std::string_view system, std::string_view day)
      : tokenizer_(tokenizer), format_(format), user_(user), system_(system), day_(day) {}

  void add(std::string_view pattern) {
    while (!pattern.empty()) {
      const size_t open = std::min(pattern.find('{'), pattern.size());
      text(pattern.substr(0, open), false);
      if (open == pattern.size()) return;
      const size_t close = pattern.find('}', open);
      NIBBLE_CHECK(close != std::string_view::npos);
      name(pattern.substr(open + 1, close - open - 1));
      pattern.remove_prefix(close + 1);
    }
  }
  std::vector<TextPart> parts;

 private:
  void name(std::string_view n) {
    if (n == "bos") return token(tokenizer_.bos(), "BOS");
    if (n == "eos") return token(tokenizer_.eos(), "EOS");
    if (n == "date") return text(day_, false);
    const std::string_view given = n.starts_with("system") ? system_ : user_;
    const bool left = n.ends_with(":trim");
    text(left || n.ends_with(":rtrim") ? trimmed(given, left) : given, true);
  }

  void text(std::string_view t, bool literal) {
    if (!t.empty()) parts.push_back({repaired_utf8(t), literal, -1});
  }

  void token(std::optional<int32_t> id, std::string_view what) {
    if (!id) {
      throw unsupported(fmt::format("the chat format {} needs a {} token, the tokenizer names none",
                                    format_, what));
    }
    parts.push_back({tokenizer_.token_text(*id), false, *id});
  }

  const Tokenizer& tokenizer_;
  std::string_view format_, user_, system_, day_;
};

// Of a list of named templates the one named "default".
std::optional<std::string> template_of(const JsonNode& root) {
  const JsonNode* node = root.find("chat_template");
  if (node == nullptr) return std::nullopt;
  if (node->type == JsonNode::Type::string) return node->text;
  if (node->type != JsonNode::Type::array) throw node->wrong("a string or a list of templates");
  for (const JsonNode& one : node->children) {
    if (one.string("name") == "default") return one.string("template");
  }
  return std::nullopt;
}

}  // namespace

const ChatFormat* recognise_chat_template(std::string_view text) {
  if (text.size() > kLongestTemplate) return nullptr;
  const uint64_t fingerprint = template_fingerprint(text);
  for (const KnownTemplate& known : kKnown) {
    if (known.fingerprint == fingerprint) return find_format(known.format);
  }
  return nullptr;
}

const ChatFormat& chat_format(std::string_view name) {
  if (const ChatFormat* found = find_format(name)) return *found;
  throw invalid_argument(fmt::format("no chat format {}; use one of {}", in_quotes(name),
                                     fmt::join(chat_format_names(), ", ")));
}

std::vector<std::string_view> chat_format_names() {
  std::vector<std::string_view> out;
  for (const ChatFormat& f : kFormats) out.push_back(f.name);
  return out;
}

std::optional<std::string> read_chat_template(const std::string& folder) {
  std::error_code ignored;
  const std::string jinja = folder + "/chat_template.jinja";
  if (std::filesystem::exists(jinja, ignored)) return read_file(jinja, kMaxTemplate);
  const std::string config = folder + "/tokenizer_config.json";
  if (!std::filesystem::exists(config, ignored)) return std::nullopt;
  return naming_file(config, [&] {
    JsonTreeBuilder builder;
    parse_json(read_file(config, kMaxTemplate), builder);
    return template_of(builder.root);
  });
}

const ChatFormat& require_chat_format(const std::optional<std::string>& text) {
  const std::string names = fmt::format("{}", fmt::join(chat_format_names(), ", "));
  if (!text) {
    throw unsupported(
        fmt::format("no chat template (chat_template.jinja, or chat_template in "
                    "tokenizer_config.json): is this a chat model? `chat_format` names one of {}",
                    names));
  }
  if (const ChatFormat* found = recognise_chat_template(*text)) return *found;
  throw corrupt(
      fmt::format("its chat template is none that nibble knows, and templates are never "
                  "executed: `chat_format` names one of {}",
                  names));
}

std::vector<TextPart> chat_prompt(const ChatFormat& f, const Tokenizer& tokenizer,
                                  const std::optional<std::string>& system, std::string_view user,
                                  std::string_view day) {
  if (system && f.system.empty() && f.merged.empty()) {
    throw invalid_argument(
        fmt::format("`system`: the chat format {} has no place for a system text", f.name));
  }
  const std::string_view text = system ? std::string_view(*system) : f.default_system.value_or("");
  Filler filler(tokenizer, f.name, user, text, day);
  filler.add(f.begin);
  if (!f.system.empty() && (system || f.default_system)) filler.add(f.system);
  filler.add(system && f.system.empty() ? f.merged : f.turn);
  return std::move(filler.parts);
}

std::string chat_day() {
  constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  return fmt::format("{:02} {} {}", parts.tm_mday, kMonths[parts.tm_mon], parts.tm_year + 1900);
}

std::vector<int32_t> answer_ends(const ChatFormat& format, const Tokenizer& tokenizer) {
  std::vector<int32_t> out = tokenizer.ends();
  const auto end = tokenizer.added_token(format.answer_end);
  if (end && std::find(out.begin(), out.end(), *end) == out.end()) out.push_back(*end);
  return out;
}

}  // namespace nibble
