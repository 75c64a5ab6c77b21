#include "nibble/text/prefix_space.h"

#include <algorithm>

namespace nibble {
namespace {

JsonNode* member(JsonNode& node, std::string_view name) {
  if (node.type != JsonNode::Type::object) return nullptr;
  const auto found = std::find_if(node.children.begin(), node.children.end(),
                                  [&](const JsonNode& child) { return child.key == name; });
  return found == node.children.end() || found->is_null() ? nullptr : &*found;
}

void set(JsonNode& node, const std::string& name, JsonNode value) {
  std::erase_if(node.children, [&](const JsonNode& child) { return child.key == name; });
  value.key = name;
  value.path = node.path + '.' + name;
  node.children.push_back(std::move(value));
}

JsonNode value(JsonNode::Type type, int64_t integer = 0, std::string text = "") {
  JsonNode out;
  out.type = type;
  out.integer = integer;
  out.text = std::move(text);
  return out;
}
JsonNode value(std::string text) { return value(JsonNode::Type::string, 0, std::move(text)); }

bool is(JsonNode& node, std::string_view type) {
  const JsonNode* name = member(node, "type");
  return name != nullptr && name->type == JsonNode::Type::string && name->text == type;
}

// A section's steps: those of a Sequence, or itself. JSON's depth bounds how deep they nest.
template <class Visit>
void each_step(JsonNode* section, std::string_view steps, const Visit& visit) {
  if (section == nullptr || section->type != JsonNode::Type::object) return;
  if (!is(*section, "Sequence")) return visit(*section);
  JsonNode* list = member(*section, steps);
  if (list == nullptr) return;
  for (JsonNode& step : list->children) each_step(&step, steps, visit);
}

bool puts_space(JsonNode& metaspace) {
  const JsonNode* scheme = member(metaspace, "prepend_scheme");
  if (scheme != nullptr) return scheme->text != "never";
  const JsonNode* flag = member(metaspace, "add_prefix_space");
  return flag == nullptr || flag->integer != 0;
}

// A step that stays and does nothing.
void make_nothing(JsonNode& step) {
  step.children.clear();
  set(step, "type", value("Sequence"));
  set(step, "normalizers", value(JsonNode::Type::array));
}

class PrefixSpaceOf {
 public:
  PrefixSpaceOf(const TokenizerConfig& config, JsonNode& root)
      : config_(config), wanted_(*config.add_prefix_space), root_(root) {}

  void run() {
    each_step(member(root_, "pre_tokenizer"), "pretokenizers", [&](JsonNode& step) {
      if (is(step, "ByteLevel")) byte_level(step);
      if (is(step, "Metaspace")) metaspace(step);
    });
    each_step(member(root_, "normalizer"), "normalizers", [&](JsonNode& step) {
      if (is(step, "Prepend")) prepend(step);
    });
    if (!there_ && wanted_)
      throw config_.not_supported("add_prefix_space", "true, where tokenizer.json puts no space,");
    if (taken_away_) change_decoder();
  }

 private:
  void byte_level(JsonNode& step) {
    there_ = true;
    set(step, "add_prefix_space", value(JsonNode::Type::boolean, wanted_ ? 1 : 0));
  }

  void metaspace(JsonNode& step) {
    there_ = true;
    if (puts_space(step) == wanted_) return;
    require_llama();
    taken_away_ = !wanted_;
    set(step, "prepend_scheme", value(!wanted_ ? "never" : config_.legacy ? "always" : "first"));
  }

  void prepend(JsonNode& step) {
    there_ = true;
    if (wanted_) return;
    require_llama();
    taken_away_ = true;
    make_nothing(step);
  }

  void change_decoder() {
    each_step(member(root_, "decoder"), "decoders", [&](JsonNode& step) {
      if (is(step, "Metaspace")) set(step, "prepend_scheme", value("never"));
      if (is(step, "Strip")) set(step, "start", value(JsonNode::Type::integer, 0));
    });
  }

  void require_llama() const {
    const std::string& name = config_.tokenizer_class;
    if (name.starts_with("Llama") || name.starts_with("CodeLlama")) return;
    throw config_.not_supported("add_prefix_space", "another prefix than tokenizer.json's");
  }

  const TokenizerConfig& config_;
  bool wanted_;
  JsonNode& root_;
  bool there_ = false, taken_away_ = false;
};

}  // namespace

void set_prefix_space(const TokenizerConfig& config, JsonNode& root) {
  if (config.add_prefix_space) PrefixSpaceOf(config, root).run();
}

}  // namespace nibble
